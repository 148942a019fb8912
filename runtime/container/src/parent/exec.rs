//! One more process in a container that runs.

use std::cell::Cell;
use std::os::fd::AsFd;
use std::path::PathBuf;

use corten_runtime_cgroup::{Cgroup, CgroupPath, Hierarchies};
use corten_sys_linux::clone::{CloneArgs, Cloned, Namespaces, clone3};
use corten_sys_linux::ns::Kind;

use super::undo::Undo;
use super::{
    ChildrenIn, Created, Parenthood, Stdio, cgroup, check_terminal, deliver, home,
    limit_capabilities, prepare, split, sync,
};
use crate::child::{self, Common, Gate};
use crate::plan::Process;
use crate::state::State;
use crate::{ContainerId, CreateError, PlanError, StateDir, Status};

/// What `exec` can be told besides the process.
#[derive(Debug, Clone, Default)]
pub struct ExecOptions {
    /// A cgroup below the container's, which must be there.
    pub cgroup: Option<String>,
    /// How many descriptors from number 3 on the program inherits.
    pub preserve_fds: u32,
    /// Also while the container is paused: the process then waits to be made, with the caller.
    pub ignore_paused: bool,
}

/// Runs a process in a container that runs; when this returns, its program has been executed.
///
/// It gets the namespaces and the cgroup of the container's first process, and of privileges what
/// `process` says and nothing else: in particular no inheritable capability that is not asked for
/// (CVE-2022-29162, CVE-2022-27650).
///
/// # Errors
/// See [`CreateError`].
pub fn exec(
    states: &StateDir,
    id: &ContainerId,
    process: &oci_spec::runtime::Process,
    stdio: Stdio,
    parenthood: Parenthood,
    options: &ExecOptions,
) -> Result<Created, CreateError> {
    let state = states.load(id)?;
    let status = states.status(&state);
    // Also in one that waits to be started, as with other runtimes.
    let target = match status {
        Status::Running | Status::Created => state.process(),
        Status::Creating | Status::Paused | Status::Stopped => None,
    };
    let target = target.ok_or(CreateError::NotRunning { status })?;
    let mut process = Process::new(process, "process")?;
    process.preserve_fds = options.preserve_fds;
    check_terminal(&process, &stdio)?;
    let namespaces = namespaces(&state);
    if process.needs_home {
        home::from_root_of(&PathBuf::from(format!("/proc/{}/root", state.pid)), &mut process);
    }
    let mut warnings = Vec::new();
    limit_capabilities(&mut process, namespaces, &mut warnings);
    let group = open_cgroup(&state, options)?;
    let error = |source| CreateError::Cgroup { path: state.cgroup_path.clone(), source };
    if !options.ignore_paused && group.frozen().map_err(error)? {
        return Err(CreateError::NotRunning { status: Status::Paused });
    }
    let sync = sync::Pair::new()?;
    let (streams, console) = split(stdio);
    let common = Common {
        process: &process,
        sync: Cell::new(sync.child.as_fd()),
        gate: Gate::Open,
        streams: streams.borrow(),
        keyring: None,
        seccomp: None,
    };
    let place = cgroup::Placement::new(&group).map_err(error)?;
    let mut undo = Undo::default();
    let cloned = {
        let _in_pid_namespace = state
            .has_namespace(Kind::Pid.name())
            .then(|| ChildrenIn::of(target.as_fd()))
            .transpose()?;
        let args = CloneArgs {
            namespaces: Namespaces::empty(),
            callers_parent: parenthood == Parenthood::CallersParent,
            into_cgroup: place.unified(),
        };
        clone3(&args, || child::run_exec(&common, target.as_fd(), namespaces))
            .map_err(|source| CreateError::Parent { step: "make the process", source })?
    };
    undo.process(&cloned, parenthood);
    let Cloned { pid, pidfd } = cloned;
    place.join(pid).map_err(error)?;
    prepare::oom_score(&process, pid, &mut warnings)?;
    let parent = sync.into_parent();
    sync::go(&parent)?;
    let master = sync::until_ready(&parent, pidfd.as_fd(), parenthood)?;
    let master = deliver(master, console)?;
    sync::until_executed(&parent)?;
    undo.keep();
    Ok(Created { pid, pidfd, master, warnings })
}

/// What the child enters: all that the container has of its own but the pid namespace, which is the
/// parent's to enter.
fn namespaces(state: &State) -> Namespaces {
    Kind::ALL
        .iter()
        .filter(|kind| **kind != Kind::Pid && state.has_namespace(kind.name()))
        .fold(Namespaces::empty(), |all, kind| all.with(kind.flag()))
}

fn open_cgroup(state: &State, options: &ExecOptions) -> Result<Cgroup, CreateError> {
    let error = |source| CreateError::Cgroup { path: state.cgroup_path.clone(), source };
    let mut path = CgroupPath::new(&state.cgroup_path).map_err(error)?;
    for part in options.cgroup.iter().flat_map(|below| below.split('/')) {
        if part == ".." {
            return Err(PlanError::invalid("cgroup", "must be below the container's own").into());
        }
        if !part.is_empty() && part != "." {
            path = path.join(part).map_err(error)?;
        }
    }
    let hierarchies = Hierarchies::probe().map_err(error)?;
    Cgroup::open(&hierarchies, &path).map_err(error)
}

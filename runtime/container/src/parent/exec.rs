//! One more process in a container that runs.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use corten_runtime_cgroup::{Cgroup, CgroupPath, Hierarchies};
use corten_sys_linux::SysError;
use corten_sys_linux::clone::{CloneArgs, Cloned, Namespaces, clone3};
use corten_sys_linux::ns::{self, Kind};
use corten_sys_linux::tuning::{MemoryPolicy, NODES_MAX};
use rustix::thread::CpuSet;

use super::agent::Agent;
use super::rights::Rights;
use super::undo::Undo;
use super::{
    ChildrenIn, Created, Parenthood, Stdio, cgroup, check_terminal, deliver, home, ids,
    limit_capabilities, lsm, prepare, split, sync,
};
use crate::child::{self, Common, Gate, Target};
use crate::hooks::Told;
use crate::plan::{Process, Seccomp, Tuning};
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
    tune(&mut process.tuning, &state);
    check_terminal(&process, &stdio)?;
    lsm::check_process(&process)?;
    lsm::simplify(&mut process);
    let rights = Rights::of_this_process();
    let in_user = state.has_namespace(Kind::User.name());
    let no_groups = in_user && ids::denies_groups(state.pid);
    ids::check_groups(&mut process, no_groups)?;
    if process.needs_home {
        home::from_root_of(&PathBuf::from(format!("/proc/{}/root", state.pid)), &mut process);
    }
    let mut warnings = Vec::new();
    limit_capabilities(&mut process, in_user, &mut warnings);
    let group = open_cgroup(&state, options)?;
    let error = |source| CreateError::Cgroup { path: state.cgroup_path.clone(), source };
    let paused = group.as_ref().map_or(Ok(false), |group| group.frozen()).map_err(error)?;
    if paused && !options.ignore_paused {
        return Err(CreateError::NotRunning { status: Status::Paused });
    }
    let seccomp = match state.seccomp {
        true => Some(Seccomp::of(states.filter(id)?)),
        false => None,
    };
    let sync = sync::Pair::new()?;
    let (streams, console) = split(stdio);
    let place = cgroup::Placement::new(group.as_ref()).map_err(error)?;
    let common = Common {
        process: &process,
        cgroups: place.v1(),
        sync: Cell::new(sync.child.as_fd()),
        gate: Gate::Open,
        streams: streams.borrow(),
        keyring: None,
        seccomp: seccomp.as_ref(),
        start_hooks: None,
    };
    let mut undo = Undo::default();
    let in_two_steps = !rights.privileged && state.has_namespace(Kind::Pid.name());
    let time = time_namespace(&state)?;
    let target = Target {
        container: target.as_fd(),
        namespaces: namespaces(&state, in_two_steps),
        time: time.as_ref().map(AsFd::as_fd),
        in_two_steps,
    };
    let mut cloned = make_process(&common, &target, &state, &place, parenthood)?;
    undo.process(&cloned, parenthood);
    let parent = sync.into_parent();
    if in_two_steps {
        sync::go(&parent)?;
        cloned = sync::second(&parent, cloned, parenthood)?;
        undo.process(&cloned, parenthood);
    }
    let Cloned { pid, pidfd } = cloned;
    prepare::oom_score(&process, pid, &mut warnings)?;
    sync::go(&parent)?;
    let agent = Agent::of(seccomp.as_ref(), || Told::of_state(&state, status, Some(state.pid)));
    let no_hooks = || Ok(());
    let master = sync::until_ready(&parent, pidfd.as_fd(), parenthood, no_hooks, |number| {
        let pid = pid.as_raw_nonzero().get();
        agent.iter().try_for_each(|agent| agent.hand_over(pidfd.as_fd(), pid, number))
    })?;
    let master = deliver(master, console)?;
    sync::until_executed(&parent)?;
    undo.keep();
    Ok(Created { pid, pidfd, master, warnings })
}

/// What holds for every process of the container.
fn tune(tuning: &mut Tuning, state: &State) {
    tuning.personality = state.personality;
    tuning.memory_policy = state.memory_policy.as_ref().map(|(mode, given)| {
        let mut nodes = [0; NODES_MAX / 64];
        for (to, from) in nodes.iter_mut().zip(given) {
            *to = *from;
        }
        MemoryPolicy { mode: *mode, nodes }
    });
}

/// While this lives, children of this thread start on those processors.
struct ChildrenOn {
    own: CpuSet,
}

impl ChildrenOn {
    fn new(cpus: &CpuSet) -> Result<Self, CreateError> {
        let error = |errno| CreateError::Prepare {
            field: "process.execCPUAffinity.initial".to_owned(),
            source: SysError::of("sched_setaffinity", || "")(errno),
        };
        let own = rustix::thread::sched_getaffinity(None).map_err(error)?;
        rustix::thread::sched_setaffinity(None, cpus).map_err(error)?;
        Ok(Self { own })
    }
}

impl Drop for ChildrenOn {
    fn drop(&mut self) {
        // Where it was before, it may be again; and a drop could tell nobody.
        rustix::thread::sched_setaffinity(None, &self.own).unwrap_or_default();
    }
}

/// The child, or the one that makes it.
fn make_process(
    common: &Common<'_>,
    target: &Target<'_>,
    state: &State,
    place: &cgroup::Placement<'_>,
    parenthood: Parenthood,
) -> Result<Cloned, CreateError> {
    let args = CloneArgs {
        namespaces: Namespaces::empty(),
        callers_parent: parenthood == Parenthood::CallersParent,
        into_cgroup: place.unified(),
    };
    let _on_cpus = common.process.tuning.cpus_initial.as_ref().map(ChildrenOn::new).transpose()?;
    let error = |source| CreateError::Parent { step: "make the process", source };
    if target.in_two_steps {
        return clone3(&args, || child::run_exec_steps(common, target)).map_err(error);
    }
    let _in_pid_namespace = state
        .has_namespace(Kind::Pid.name())
        .then(|| ChildrenIn::of(target.container))
        .transpose()?;
    clone3(&args, || child::run_exec(common, target)).map_err(error)
}

/// What the child enters at once: all that the container has of its own but the time namespace. The
/// pid namespace is the parent's to enter, if it may.
fn namespaces(state: &State, pid: bool) -> Namespaces {
    Kind::ALL
        .iter()
        .filter(|kind| **kind != Kind::Time && (pid || **kind != Kind::Pid))
        .filter(|kind| state.has_namespace(kind.name()))
        .fold(Namespaces::empty(), |all, kind| all.with(kind.flag()))
}

/// The time namespace that the first process's program is or will be in.
fn time_namespace(state: &State) -> Result<Option<OwnedFd>, CreateError> {
    if !state.has_namespace(Kind::Time.name()) {
        return Ok(None);
    }
    let path = PathBuf::from(format!("/proc/{}/ns/time_for_children", state.pid));
    ns::open(&path)
        .map(Some)
        .map_err(|source| CreateError::Parent { step: "join the time namespace", source })
}

fn open_cgroup(state: &State, options: &ExecOptions) -> Result<Option<Cgroup>, CreateError> {
    if state.cgroup_path.is_empty() {
        return Ok(None);
    }
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
    Cgroup::open(&hierarchies, &path).map(Some).map_err(error)
}

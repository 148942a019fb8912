//! The parent's side: what can fail without a child is done before there is one.

mod agent;
mod cgroup;
mod device_filter;
mod exec;
mod home;
mod idmap;
mod ids;
mod lsm;
mod net_devices;
mod prepare;
mod rights;
mod sync;
mod undo;

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use corten_sys_linux::clone::{CloneArgs, Cloned, Namespaces, clone3};
use corten_sys_linux::ns::{self, Kind};
use corten_sys_linux::{SysError, caps};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

pub use exec::{ExecOptions, exec};
pub use sync::{parse_failure, release};

use crate::child::{self, Common, Gate, Prepared, StartHooks, Streams};
use crate::plan::{Plan, Process};
use crate::state::{FIFO_FILE, STATE_VERSION, State, now_rfc3339, process_stat};
use crate::{CreateError, PlanError, StateDir, Status, hooks, rdt};
use agent::Agent;
use rights::Rights;
use undo::Undo;

/// Where a terminal's master goes.
#[derive(Debug)]
pub enum Console {
    /// Into [`Created::master`].
    Keep,
    /// To whoever listens on this connected unix socket (`--console-socket`).
    Socket(OwnedFd),
}

/// The program's standard streams.
#[derive(Debug)]
pub enum Stdio {
    /// The caller's.
    Inherit,
    /// These.
    Fds {
        /// Descriptor 0.
        stdin: OwnedFd,
        /// Descriptor 1.
        stdout: OwnedFd,
        /// Descriptor 2.
        stderr: OwnedFd,
    },
    /// A new terminal; needs `process.terminal`.
    Terminal(Console),
}

/// Whose child the process becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parenthood {
    /// The caller's.
    Caller,
    /// The caller's parent's (`CLONE_PARENT`): for a builder that its supervisor has forked.
    CallersParent,
}

/// What a created container waits for.
#[derive(Debug)]
pub enum StartGate {
    /// A FIFO in its state folder; [`crate::start`] writes to it.
    Fifo,
    /// One end of a stream socket pair: [`release`] on the other end lets the container go, the end
    /// of the stream ends it. Only the starter may hold the other end; the container closes its own
    /// copy of everything else.
    Socket(OwnedFd),
}

/// A process that has been made.
#[derive(Debug)]
pub struct Created {
    /// Its id on the host.
    pub pid: Pid,
    /// Itself.
    pub pidfd: OwnedFd,
    /// Its terminal's master, with [`Console::Keep`].
    pub master: Option<OwnedFd>,
    /// What was asked for and does not quite hold here, for a person to read.
    pub warnings: Vec<String>,
}

/// Makes a container up to the point where it waits to be started.
///
/// On any failure nothing of it is left: process, cgroup, mounts and state.
///
/// # Errors
/// See [`CreateError`].
pub fn create(
    states: &StateDir,
    mut plan: Plan,
    stdio: Stdio,
    parenthood: Parenthood,
    gate: StartGate,
) -> Result<Created, CreateError> {
    check_terminal(&plan.process, &stdio)?;
    lsm::check(&plan)?;
    check_time(&plan)?;
    lsm::simplify(&mut plan.process);
    states.reserve(&plan.id)?;
    let mut undo = Undo::new(states, &plan.id);
    let mut warnings = Vec::new();
    if plan.process.needs_home {
        home::from_rootfs(&mut plan);
    }
    let rights = Rights::of_this_process();
    let no_groups = ids::will_deny_groups(&plan, rights);
    ids::check_groups(&mut plan.process, no_groups)?;
    limit_capabilities(&mut plan.process, plan.namespaces.in_user(), &mut warnings);
    let cgroup::Made { group, first: _lives_until_the_container_does } =
        cgroup::make(&plan, rights, &mut warnings)?;
    if let Some(group) = &group {
        undo.cgroup(group, plan.unit.as_ref());
    }
    let prepared = prepare::open(&plan, group.as_ref(), rights)?;
    let gate = open_gate(states, &plan, gate)?;
    let start_state = match plan.hooks.start_container.is_empty() {
        true => None,
        false => Some(hooks::sealed_file().map_err(hook_state)?),
    };
    let sync = sync::Pair::new()?;
    let (streams, console) = split(stdio);
    let place = cgroup::Placement::new(group.as_ref()).map_err(|e| cgroup_error(&plan, e))?;
    let common = Common {
        process: &plan.process,
        cgroups: place.v1(),
        sync: Cell::new(sync.child.as_fd()),
        gate: match &gate {
            OpenGate::Fifo(fd) => Gate::Fifo(fd.as_fd()),
            OpenGate::Socket(fd) => Gate::Socket(fd.as_fd()),
        },
        streams: streams.borrow(),
        keyring: plan.keyring.as_deref(),
        seccomp: plan.seccomp.as_ref(),
        start_hooks: start_state
            .as_ref()
            .map(|state| StartHooks { hooks: &plan.hooks.start_container, state: state.as_fd() }),
    };
    let mut cloned = make_process(&common, &plan, &prepared, &place, parenthood, rights)?;
    undo.process(&cloned, parenthood);
    let parent = sync.into_parent();
    if plan.namespaces.in_two_steps() {
        sync::go(&parent)?;
        cloned = sync::second(&parent, cloned, parenthood)?;
        undo.process(&cloned, parenthood);
    }
    let Cloned { pid, pidfd } = cloned;
    ids::map(&plan, pid, rights)?;
    net_devices::give(&plan, &prepared, pid)?;
    let folders = join_rdt(&plan, pid)?;
    prepare::oom_score(&plan.process, pid, &mut warnings)?;
    if let Some(file) = &start_state {
        hooks::tell_start(&plan, pid, file)?;
    }
    sync::go(&parent)?;
    let raw_pid = pid.as_raw_nonzero().get();
    let agent = Agent::of(plan.seccomp.as_ref(), || {
        hooks::Told::of_plan(&plan, Status::Creating, Some(raw_pid))
    });
    let run_hooks = || {
        undo.hooks(hooks::Poststop::of_plan(&plan));
        hooks::while_created(&plan, pid, pidfd.as_fd())
    };
    let master = sync::until_ready(&parent, pidfd.as_fd(), parenthood, run_hooks, |number| {
        agent.iter().try_for_each(|agent| agent.hand_over(pidfd.as_fd(), raw_pid, number))
    })?;
    let master = deliver(master, console)?;
    if matches!(gate, OpenGate::Socket(_)) {
        states.mark_pending(&plan.id)?;
    }
    folders.keep(states, plan.id.as_str())?;
    hooks::keep(states, &plan)?;
    if let Some(seccomp) = &plan.seccomp {
        states.keep_filter(&plan.id, seccomp.filter())?;
    }
    states.save(&plan.id, &state_of(&plan, pid, group.is_some())?)?;
    undo.keep();
    Ok(Created { pid, pidfd, master, warnings })
}

/// The child, or the one that makes it.
fn make_process(
    common: &Common<'_>,
    plan: &Plan,
    prepared: &Prepared,
    place: &cgroup::Placement<'_>,
    parenthood: Parenthood,
    rights: Rights,
) -> Result<Cloned, CreateError> {
    let mut args = CloneArgs {
        namespaces: Namespaces::empty(),
        callers_parent: parenthood == Parenthood::CallersParent,
        into_cgroup: place.unified(),
    };
    let error = |source| CreateError::Parent { step: "make the process", source };
    if plan.namespaces.in_two_steps() {
        let user_first = !rights.privileged;
        return clone3(&args, || child::run_steps(common, plan, prepared, user_first))
            .map_err(error);
    }
    let _in_pid_namespace = prepared
        .join
        .iter()
        .find(|(kind, _)| *kind == Kind::Pid)
        .map(|(_, namespace)| ChildrenIn::new(namespace.as_fd()))
        .transpose()?;
    // The cgroup namespace is the child's to make, once it is in its cgroup; the time namespace as
    // well, for it must not be in it yet.
    args.namespaces = plan.namespaces.new.without(Namespaces::CGROUP).without(Namespaces::TIME);
    clone3(&args, || child::run_init(common, plan, prepared)).map_err(error)
}

/// An exec brings a program into its time namespace since Linux 6.1; before, it would silently stay
/// outside.
fn check_time(plan: &Plan) -> Result<(), PlanError> {
    if !plan.namespaces.new.contains(Namespaces::TIME) {
        return Ok(());
    }
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (6, 1) {
        return Ok(());
    }
    let reason = format!("a time namespace needs Linux 6.1, and this is {release}");
    Err(PlanError::unsupported("linux.namespaces (time)", reason))
}

fn join_rdt(plan: &Plan, pid: Pid) -> Result<rdt::Folders, CreateError> {
    let Some(wanted) = &plan.rdt else { return Ok(rdt::Folders::default()) };
    rdt::join(&rdt::root()?, wanted, pid).map_err(|failure| match failure {
        rdt::Failure::Plan(error) => error.into(),
        rdt::Failure::System(field, source) => {
            CreateError::Prepare { field: field.to_owned(), source }
        }
    })
}

fn hook_state(source: SysError) -> CreateError {
    CreateError::Parent { step: "write a hook's state", source }
}

fn cgroup_error(plan: &Plan, source: corten_runtime_cgroup::Error) -> CreateError {
    CreateError::Cgroup { path: plan.cgroup.as_str().to_owned(), source }
}

/// A terminal is asked for in two places, which must agree.
fn check_terminal(process: &Process, stdio: &Stdio) -> Result<(), CreateError> {
    let reason = match (process.terminal, stdio) {
        (true, Stdio::Terminal(_)) | (false, Stdio::Inherit | Stdio::Fds { .. }) => return Ok(()),
        (true, _) => "is set, so the terminal's master needs somewhere to go: a console socket",
        (false, _) => "is not set, so there is no terminal whose master could go anywhere",
    };
    Err(CreateError::Terminal { reason })
}

/// A capability that this process does not have cannot be given; the specification wants that said
/// and not failed (config.md, "Linux Process").
fn limit_capabilities(process: &mut Process, in_user: bool, warnings: &mut Vec<String>) {
    let own = if in_user {
        // In a user namespace of its own the child has all there are.
        caps::bounding()
    } else {
        caps::effective().unwrap_or(0) & caps::bounding()
    };
    let sets = &mut process.caps;
    let asked = sets.bounding | sets.permitted | sets.inheritable;
    let missing = asked & !own;
    for number in (0..64_u8).filter(|number| missing & (1 << number) != 0) {
        let name = ::caps::all()
            .into_iter()
            .find(|capability| capability.index() == number)
            .map_or_else(|| number.to_string(), |capability| capability.to_string());
        warnings.push(format!("{name} is not available to the runtime and is left out"));
    }
    for set in [
        &mut sets.bounding,
        &mut sets.effective,
        &mut sets.permitted,
        &mut sets.inheritable,
        &mut sets.ambient,
    ] {
        *set &= own;
    }
}

/// The parent's side of the gate.
enum OpenGate {
    Fifo(OwnedFd),
    Socket(OwnedFd),
}

fn open_gate(states: &StateDir, plan: &Plan, gate: StartGate) -> Result<OpenGate, CreateError> {
    let socket = match gate {
        StartGate::Socket(fd) => return Ok(OpenGate::Socket(fd)),
        StartGate::Fifo => states.container(&plan.id).join(FIFO_FILE),
    };
    let describe = || socket.display().to_string();
    let error = |source| CreateError::Parent { step: "make the start FIFO", source };
    rustix::fs::mkfifoat(rustix::fs::CWD, &socket, Mode::RUSR | Mode::WUSR)
        .map_err(SysError::of("mkfifo", describe))
        .map_err(error)?;
    // Open for both directions, so that a read waits for a writer instead of finding none (fifo(7)).
    rustix::fs::open(&socket, OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
        .map(OpenGate::Fifo)
        .map_err(SysError::of("open", describe))
        .map_err(error)
}

/// Standard streams without the console.
enum OwnedStreams {
    Inherit,
    Fds([OwnedFd; 3]),
    Terminal,
}

impl OwnedStreams {
    fn borrow(&self) -> Streams<'_> {
        match self {
            Self::Inherit => Streams::Inherit,
            Self::Fds([stdin, stdout, stderr]) => {
                Streams::Fds([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])
            }
            Self::Terminal => Streams::Terminal,
        }
    }
}

fn split(stdio: Stdio) -> (OwnedStreams, Option<Console>) {
    match stdio {
        Stdio::Inherit => (OwnedStreams::Inherit, None),
        Stdio::Fds { stdin, stdout, stderr } => (OwnedStreams::Fds([stdin, stdout, stderr]), None),
        Stdio::Terminal(console) => (OwnedStreams::Terminal, Some(console)),
    }
}

/// Gives the master to who wants it.
fn deliver(
    master: Option<OwnedFd>,
    console: Option<Console>,
) -> Result<Option<OwnedFd>, CreateError> {
    match (master, console) {
        (Some(master), Some(Console::Socket(socket))) => {
            corten_sys_linux::fdpass::send(&socket, b"/dev/ptmx", &[master.as_fd()])
                .map_err(|source| CreateError::Parent { step: "send the terminal", source })?;
            Ok(None)
        }
        (master, _) => Ok(master),
    }
}

/// While this lives, children of this thread are born into a pid namespace.
struct ChildrenIn {
    own: OwnedFd,
}

impl ChildrenIn {
    fn new(namespace: BorrowedFd<'_>) -> Result<Self, CreateError> {
        let error = |source| CreateError::Parent { step: "join the pid namespace", source };
        let own = ns::own_pid_for_children().map_err(error)?;
        ns::enter(namespace, Kind::Pid).map_err(SysError::of("setns", || "pid")).map_err(error)?;
        Ok(Self { own })
    }

    /// Into the pid namespace of a process.
    fn of(process: BorrowedFd<'_>) -> Result<Self, CreateError> {
        let error = |source| CreateError::Parent { step: "join the pid namespace", source };
        let own = ns::own_pid_for_children().map_err(error)?;
        ns::enter_of(process, Namespaces::PID)
            .map_err(SysError::of("setns", || "pid"))
            .map_err(error)?;
        Ok(Self { own })
    }
}

impl Drop for ChildrenIn {
    fn drop(&mut self) {
        // Back to one's own is always allowed (setns(2)); and a drop could tell nobody.
        ns::enter(self.own.as_fd(), Kind::Pid).unwrap_or_default();
    }
}

fn state_of(plan: &Plan, pid: Pid, own_cgroup: bool) -> Result<State, CreateError> {
    let (pid_start_time, _) = process_stat(pid).ok_or_else(|| CreateError::Parent {
        step: "read the process's start time",
        source: SysError::of("open", || format!("/proc/{}/stat", pid.as_raw_nonzero()))(
            Errno::SRCH,
        ),
    })?;
    Ok(State {
        v: STATE_VERSION,
        oci_version: plan.oci_version.clone(),
        id: plan.id.to_string(),
        pid: pid.as_raw_nonzero().get(),
        pid_start_time,
        bundle: plan.bundle.clone(),
        rootfs: plan.rootfs.clone(),
        created: now_rfc3339(),
        owner: rustix::process::geteuid().as_raw(),
        annotations: plan.annotations.clone(),
        cgroup_path: if own_cgroup { plan.cgroup.as_str().to_owned() } else { String::new() },
        systemd_unit: plan.unit.as_ref().map(|unit| unit.name().to_owned()),
        namespaces: plan.namespaces.own_names(),
        seccomp: plan.seccomp.is_some(),
        personality: plan.process.tuning.personality,
        memory_policy: plan
            .process
            .tuning
            .memory_policy
            .map(|policy| (policy.mode, policy.nodes.to_vec())),
    })
}

//! The child: system calls over the plan, nothing else.
//!
//! Everything here runs after `clone3` in a copy of a process that may have had threads. So nothing
//! allocates, locks, prints or panics; strings and lists were laid out before, and what fails is
//! told as three numbers and a string that already exists.

mod copy_up;
mod devices;
mod filter;
mod hooks;
mod lsm;
mod process;
mod report;
mod rootfs;
mod sources;
mod steps;
mod tuning;

use std::cell::Cell;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use corten_runtime_cgroup::TasksFile;
use corten_sys_linux::clone::Namespaces;
use corten_sys_linux::ns::{self, Kind};
use corten_sys_linux::procfs;
use corten_sys_linux::rustix::io::Errno;
use rustix::mount::MountPropagationFlags;
use rustix::process::DumpableBehavior;

pub(crate) use hooks::StartHooks;
use report::{At as _, Failure, HOOKS, Outcome, Step};
pub(crate) use report::{Message, RECORD_BYTES_MAX, parse};
pub(crate) use sources::set_bind_attributes;

/// The step of looking for the program, as failures name it.
pub(crate) const PROGRAM: &str = Step::Program.name();

use crate::plan::{Plan, Process, Seccomp};

/// What releases the child to its program.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gate<'a> {
    /// Nothing: it goes on at once, and its failure to exec goes to the parent that still listens.
    Open,
    /// A byte from a FIFO that nobody listens on for an answer.
    Fifo(BorrowedFd<'a>),
    /// A byte from a socket, on which a failure to exec is answered.
    Socket(BorrowedFd<'a>),
}

/// Where the program's standard streams come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Streams<'a> {
    Inherit,
    Fds([BorrowedFd<'a>; 3]),
    Terminal,
}

/// What both a container's first process and a later one need.
#[derive(Debug)]
pub(crate) struct Common<'a> {
    pub(crate) process: &'a Process,
    /// The v1 cgroups that the process is to be in.
    pub(crate) cgroups: &'a [TasksFile],
    /// The child's end of the socket to its parent; it moves once, in the child.
    pub(crate) sync: Cell<BorrowedFd<'a>>,
    pub(crate) gate: Gate<'a>,
    pub(crate) streams: Streams<'a>,
    pub(crate) keyring: Option<&'a CStr>,
    pub(crate) seccomp: Option<&'a Seccomp>,
    /// What runs between the gate and the program.
    pub(crate) start_hooks: Option<StartHooks<'a>>,
}

/// What the parent could do for a mount.
#[derive(Debug)]
pub(crate) enum Source {
    /// A new file system; the child makes it in its own namespaces.
    Fresh,
    /// The child has to open it: its parent may not, but in its own user namespace the child may.
    Deferred,
    /// A detached bind mount, and whether it is a directory.
    Tree(OwnedFd, bool),
    /// The container's cgroup in the one hierarchy.
    Unified(OwnedFd),
    /// The container's cgroup in each of several, by the folder it is shown in.
    Several(Vec<Hierarchy>),
}

/// A cgroup hierarchy, as a container that has several sees it.
#[derive(Debug)]
pub(crate) struct Hierarchy {
    /// Its folder.
    pub(crate) name: std::ffi::CString,
    /// Links to the folder by each controller's name, where it has several.
    pub(crate) links: Vec<std::ffi::CString>,
    /// The container's own cgroup there.
    pub(crate) tree: OwnedFd,
}

/// What the parent opened for a new container.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The root file system, detached; `None` if the child has to open it.
    pub(crate) root: Option<OwnedFd>,
    /// In the order of the plan's mounts.
    pub(crate) sources: Vec<Source>,
    pub(crate) join: Vec<(Kind, OwnedFd)>,
    /// Nodes cannot be made here (as in every user namespace but the first): the host's are bound.
    pub(crate) bind_devices: bool,
    /// The parent is root of its user namespace.
    pub(crate) privileged: bool,
}

/// The container that one more process comes into.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    /// Its first process.
    pub(crate) container: BorrowedFd<'a>,
    /// What is entered, all at once. The pid namespace is among them in two steps only: it is for
    /// children, and otherwise the parent's to enter.
    pub(crate) namespaces: Namespaces,
    /// The time namespace of the program, in which a first process that waits is not yet.
    pub(crate) time: Option<BorrowedFd<'a>>,
    /// A process of its own enters, and makes the one that stays.
    pub(crate) in_two_steps: bool,
}

impl Target<'_> {
    fn enter<'a>(&self) -> Outcome<'a, ()> {
        ns::enter_of(self.container, self.namespaces).at(Step::Setns, b"of the container")?;
        match self.time {
            Some(time) => ns::enter(time, Kind::Time).at(Step::Setns, b"time"),
            None => Ok(()),
        }
    }
}

/// The first process of a container. Returns only to end with a status.
pub(crate) fn run_init(common: &Common<'_>, plan: &Plan, prepared: &Prepared) -> i32 {
    match init(common, plan, prepared) {
        Ok(never) => match never {},
        Err(failure) => failure.tell(common.sync.get()),
    }
}

/// The process that makes the first one. Returns only to end with a status.
pub(crate) fn run_steps(
    common: &Common<'_>,
    plan: &Plan,
    prepared: &Prepared,
    user_first: bool,
) -> i32 {
    match steps::init(common, plan, prepared, user_first) {
        Ok(()) => 0,
        Err(failure) => failure.tell(common.sync.get()),
    }
}

/// The process that makes one more. Returns only to end with a status.
pub(crate) fn run_exec_steps(common: &Common<'_>, target: &Target<'_>) -> i32 {
    match steps::exec(common, target) {
        Ok(()) => 0,
        Err(failure) => failure.tell(common.sync.get()),
    }
}

/// A process in a container that runs. Returns only to end with a status.
pub(crate) fn run_exec(common: &Common<'_>, target: &Target<'_>) -> i32 {
    match exec(common, target) {
        Ok(never) => match never {},
        Err(failure) => failure.tell(common.sync.get()),
    }
}

fn init<'a>(
    common: &'a Common<'_>,
    plan: &'a Plan,
    prepared: &'a Prepared,
) -> Outcome<'a, std::convert::Infallible> {
    begin(common.sync.get())?;
    if !plan.namespaces.in_two_steps() {
        join_cgroups(common)?;
    }
    // The cgroup namespace's root is where its maker is: this process is in its cgroup by now.
    if plan.namespaces.new.contains(Namespaces::CGROUP) {
        ns::unshare(Namespaces::CGROUP).at(Step::Unshare, b"cgroup")?;
    }
    if !plan.namespaces.in_two_steps() {
        for (kind, namespace) in &prepared.join {
            // The pid namespace was the parent's to join: it is for children only.
            if *kind != Kind::Pid {
                ns::enter(namespace.as_fd(), *kind).at(Step::Setns, kind.name().as_bytes())?;
            }
        }
    }
    // Nothing that is mounted from here on shows on the host.
    // By mount(2), because before Linux 6.9 mount_setattr refuses the root of an initramfs.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", private).at(Step::Propagation, b"/")?;
    let tree = rootfs::attach(plan, prepared)?;
    if plan.namespaces.in_user() {
        // Until here the files on the way were the host's; from here on they are the container's.
        process::become_root()?;
    }
    if plan.namespaces.new.contains(Namespaces::TIME) {
        time(plan)?;
    }
    if let Some(name) = &plan.hostname {
        rustix::system::sethostname(name.to_bytes()).at(Step::Hostname, name.to_bytes())?;
    }
    if let Some(name) = &plan.domainname {
        rustix::system::setdomainname(name.to_bytes()).at(Step::Domainname, name.to_bytes())?;
    }
    let root = rootfs::Root::new(tree)?;
    rootfs::mounts(&root, plan, prepared)?;
    if plan.set_up_dev {
        devices::set_up(&root, plan, prepared.bind_devices)?;
    }
    let terminal = match common.streams {
        Streams::Terminal => Some(process::open_terminal(&root, common)?),
        Streams::Inherit | Streams::Fds(_) => None,
    };
    sysctls(plan)?;
    if plan.hooks.while_created() {
        // All is mounted, and the root is still the host's: what these hooks look for.
        // Without privileges the namespaces of a process that is not dumpable cannot be entered. In
        // a user namespace made for it alone there is nobody else yet who could look into it.
        let alone = plan.namespaces.new.contains(Namespaces::USER) && !prepared.privileged;
        if alone {
            rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)
                .at(Step::Dumpable, b"")?;
        }
        report::say(common.sync.get(), HOOKS).at(Step::Wait, b"hooks")?;
        wait_for_parent(common.sync.get(), b"hooks")?;
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .at(Step::Dumpable, b"")?;
    }
    rootfs::finish(&root, plan)?;
    rootfs::switch(&root, plan)?;
    process::finish(common, terminal.as_ref())
}

fn exec<'a>(common: &'a Common<'_>, target: &Target<'_>) -> Outcome<'a, std::convert::Infallible> {
    begin(common.sync.get())?;
    if !target.in_two_steps {
        join_cgroups(common)?;
        target.enter()?;
    }
    if target.namespaces.contains(Namespaces::USER) {
        process::become_root()?;
    }
    let terminal = match common.streams {
        Streams::Terminal => {
            let root = rustix::fs::open(
                c"/",
                rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
                rustix::fs::Mode::empty(),
            )
            .at(Step::Terminal, b"/")?;
            Some(process::open_terminal_in(root.as_fd(), common)?)
        }
        Streams::Inherit | Streams::Fds(_) => None,
    };
    process::finish(common, terminal.as_ref())
}

/// A time namespace: this process stays outside of it, or its offsets could not be set any more,
/// and comes into it as it executes its program (time_namespaces(7), Linux 6.1).
fn time(plan: &Plan) -> Outcome<'_, ()> {
    ns::unshare(Namespaces::TIME).at(Step::Unshare, b"time")?;
    let Some(offsets) = &plan.namespaces.time_offsets else { return Ok(()) };
    let proc = procfs::ProcFs::open().at(Step::Proc, b"")?;
    proc.write(c"self/timens_offsets", offsets.to_bytes()).at(Step::TimeOffsets, offsets.to_bytes())
}

/// Waits for the parent to have done its part, and leaves its session.
fn begin<'a>(sync: BorrowedFd<'_>) -> Outcome<'a, ()> {
    wait_for_parent(sync, b"parent")?;
    // /proc/<this> belongs to the host's root while host handles are open here (CVE-2016-9962,
    // CVE-2019-5736).
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .at(Step::Dumpable, b"")?;
    // Modes are as the plan says while nodes and directories are made; the program's own mask
    // comes last.
    rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::setsid().at(Step::Session, b"").map(drop)
}

/// For the process that the parent made: one that is made by it is born there. Not before the parent
/// has done its part, which needs a process that lives.
fn join_cgroups<'a>(common: &'a Common<'_>) -> Outcome<'a, ()> {
    common.cgroups.iter().try_for_each(|tasks| {
        rustix::io::write(&tasks.file, b"0").map(drop).at(Step::Cgroup, tasks.path.as_bytes())
    })
}

fn wait_for_parent<'a>(sync: BorrowedFd<'_>, what: &'static [u8]) -> Outcome<'a, ()> {
    let mut byte = [0_u8; 1];
    let read =
        rustix::io::retry_on_intr(|| rustix::io::read(sync, &mut byte)).at(Step::Wait, what)?;
    if read == 0 {
        // The parent gave up or died; there is nobody to tell.
        return Err(Failure::new(Step::Wait, what, Errno::PIPE));
    }
    Ok(())
}

fn sysctls(plan: &Plan) -> Outcome<'_, ()> {
    if plan.sysctls.is_empty() {
        return Ok(());
    }
    let proc = procfs::ProcFs::open().at(Step::Proc, b"")?;
    for (path, value) in &plan.sysctls {
        proc.write(path, value.to_bytes()).at(Step::Sysctl, path.to_bytes())?;
    }
    Ok(())
}

//! The container's cgroup.

use std::os::fd::BorrowedFd;

use corten_runtime_cgroup::{Cgroup, Error, Hierarchies, Systemd, TasksFile, Unit};
use corten_sys_linux::bpf;
use corten_sys_linux::clone::{CloneArgs, Namespaces, clone3};
use corten_sys_linux::pidfd::Pidfd;
use rustix::fs::AtFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use super::device_filter;
use super::rights::Rights;
use crate::CreateError;
use crate::lifecycle::stop_unit;
use crate::plan::Plan;

/// The cgroup, before the container's first process is in it.
pub(super) struct Made {
    pub(super) group: Option<Cgroup>,
    /// What holds the place for it: a scope of systemd's ends with its last process.
    pub(super) first: Option<Placeholder>,
}

/// Makes the cgroup and sets its limits, before anything runs in it.
///
/// An unprivileged user mostly has none to give; then the container stays in its maker's, unless
/// the specification asks for a cgroup or a limit.
pub(super) fn make(
    plan: &Plan,
    rights: Rights,
    warnings: &mut Vec<String>,
) -> Result<Made, CreateError> {
    match make_own(plan, rights, warnings) {
        Ok(made) => Ok(made),
        Err(CreateError::Cgroup { source, .. })
            if rights.rootless() && !plan.needs_cgroup && no_right(&source) =>
        {
            Ok(Made { group: None, first: None })
        }
        Err(error) => Err(error),
    }
}

fn no_right(error: &Error) -> bool {
    matches!(error, Error::NoHierarchy)
        || matches!(error.errno(), Some(Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::NOENT))
}

fn make_own(plan: &Plan, rights: Rights, warnings: &mut Vec<String>) -> Result<Made, CreateError> {
    let error = |source| CreateError::Cgroup { path: plan.cgroup.as_str().to_owned(), source };
    let hierarchies = Hierarchies::probe().map_err(error)?;
    if let Ok(there) = Cgroup::open(&hierarchies, &plan.cgroup) {
        if !there.pids().map_err(error)?.is_empty() {
            return Err(CreateError::CgroupInUse { path: plan.cgroup.as_str().to_owned() });
        }
        // A fresh one: limits of whoever had it before must not stay; and Linux 6.18 kills at birth
        // what is cloned into a cgroup that cgroup.kill was once written to.
        there.remove().map_err(error)?;
    }
    let first = plan.unit.as_ref().map(|unit| begin_unit(plan, unit, &hierarchies)).transpose()?;
    let group = Cgroup::create(&hierarchies, &plan.cgroup).map_err(error)?;
    let made = limit(plan, rights, &hierarchies, &group, warnings)
        .and_then(|()| delegate(plan, &group).map_err(error));
    match made {
        Ok(()) => Ok(Made { group: Some(group), first }),
        Err(failure) => {
            // The first failure is the one to tell.
            drop(first);
            drop(stop_unit(plan.unit.as_ref().map(Unit::name)));
            drop(group.remove());
            Err(failure)
        }
    }
}

fn begin_unit(
    plan: &Plan,
    unit: &Unit,
    hierarchies: &Hierarchies,
) -> Result<Placeholder, CreateError> {
    let first = Placeholder::new()?;
    let description = format!("container {}", plan.id);
    Systemd::connect()
        .and_then(|mut systemd| {
            systemd.start(unit, &description, first.pid, hierarchies, &plan.resources)
        })
        .map_err(|source| CreateError::Cgroup { path: plan.cgroup.as_str().to_owned(), source })?;
    Ok(first)
}

/// A process that does nothing: systemd wants a scope to begin with one, and the container's own
/// is born into the cgroup that is then there. It ends when this is dropped.
pub(super) struct Placeholder {
    pid: Pid,
    pidfd: Pidfd,
}

impl Placeholder {
    fn new() -> Result<Self, CreateError> {
        let args =
            CloneArgs { namespaces: Namespaces::empty(), callers_parent: false, into_cgroup: None };
        let cloned = clone3(&args, || {
            // Should this process be killed meanwhile, nobody else would end it.
            if rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).is_ok() {
                rustix::event::pause();
            }
            0
        })
        .map_err(|source| CreateError::Parent { step: "make a process for systemd", source })?;
        Ok(Self { pid: cloned.pid, pidfd: Pidfd::from(cloned.pidfd) })
    }
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        // It has no handlers and nobody else's business: it ends, and is reaped.
        drop(self.pidfd.send_signal(9));
        drop(self.pidfd.wait());
    }
}

fn limit(
    plan: &Plan,
    rights: Rights,
    hierarchies: &Hierarchies,
    group: &Cgroup,
    warnings: &mut Vec<String>,
) -> Result<(), CreateError> {
    let mut resources = plan.resources.clone();
    // v2 has no devices controller; there a program decides.
    let by_program = match hierarchies.version_of("devices") {
        Some(_v1) => None,
        None => resources.devices.take(),
    };
    if !rights.first_user_namespace {
        // The kernel takes device rules from the first user namespace only; in any other nobody
        // can make or open what is not there already.
        resources.devices = None;
    }
    let missing = group
        .apply(&resources)
        .map_err(|source| CreateError::Cgroup { path: plan.cgroup.as_str().to_owned(), source })?;
    warnings.extend(missing.iter().map(ToString::to_string));
    if let (Some(rules), Some(directory), false) =
        (by_program, group.clone_into_fd(), rights.rootless())
    {
        let error =
            |source| CreateError::Prepare { field: "linux.resources.devices".to_owned(), source };
        let program = bpf::load_device_program(&device_filter::compile(&rules)).map_err(error)?;
        bpf::attach_device_program(directory, std::os::fd::AsFd::as_fd(&program)).map_err(error)?;
    }
    Ok(())
}

/// Hands the cgroup to the container's root, where that is another user of the host and sees its
/// cgroup as a root of its own that it may write to: it can then have cgroups below.
fn delegate(plan: &Plan, group: &Cgroup) -> Result<(), Error> {
    // What the kernel says is safe to hand over, and before it said so (cgroups(7)).
    const DEFAULT: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";
    let (Some(owner), Some(directory)) = (plan.cgroup_owner, group.clone_into_fd()) else {
        return Ok(());
    };
    let files = std::fs::read_to_string("/sys/kernel/cgroup/delegate");
    let files = files.unwrap_or_else(|_before_4_15| DEFAULT.to_owned());
    let owner = Some(rustix::fs::Uid::from_raw(owner));
    for name in std::iter::once(".").chain(files.lines()) {
        match rustix::fs::chownat(directory, name, owner, None, AtFlags::SYMLINK_NOFOLLOW) {
            // A file of a controller that this cgroup does not have.
            Ok(()) | Err(Errno::NOENT) => (),
            Err(source) => {
                let path = format!("{name} of {}", group.path().as_str()).into();
                return Err(Error::File { call: "chown", path, source });
            }
        }
    }
    Ok(())
}

/// How a process gets into the cgroup: born in it on v2, by its first steps on v1.
pub(super) struct Placement<'a> {
    group: Option<&'a Cgroup>,
    v1: Vec<TasksFile>,
}

impl<'a> Placement<'a> {
    pub(super) fn new(group: Option<&'a Cgroup>) -> Result<Self, Error> {
        let v1 = group.map(Cgroup::tasks_to_join).transpose()?.unwrap_or_default();
        Ok(Self { group, v1 })
    }

    /// For `CLONE_INTO_CGROUP`.
    pub(super) fn unified(&self) -> Option<BorrowedFd<'_>> {
        self.group?.clone_into_fd()
    }

    /// For the child to write to.
    pub(super) fn v1(&self) -> &[TasksFile] {
        &self.v1
    }
}

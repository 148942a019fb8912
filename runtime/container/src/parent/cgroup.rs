//! The container's cgroup.

use std::os::fd::{BorrowedFd, OwnedFd};

use corten_runtime_cgroup::{Cgroup, Error, Hierarchies};
use corten_sys_linux::bpf;
use rustix::fs::AtFlags;
use rustix::io::Errno;
use rustix::process::Pid;

use super::device_filter;
use super::rights::Rights;
use crate::CreateError;
use crate::plan::Plan;

/// Makes the cgroup and sets its limits, before anything runs in it.
///
/// An unprivileged user mostly has none to give; then the container stays in its maker's, unless
/// the specification asks for a cgroup or a limit.
pub(super) fn make(
    plan: &Plan,
    rights: Rights,
    warnings: &mut Vec<String>,
) -> Result<Option<Cgroup>, CreateError> {
    match make_own(plan, rights, warnings) {
        Ok(group) => Ok(Some(group)),
        Err(CreateError::Cgroup { source, .. })
            if rights.rootless() && !plan.needs_cgroup && no_right(&source) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn no_right(error: &Error) -> bool {
    matches!(error, Error::NoHierarchy)
        || matches!(error.errno(), Some(Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::NOENT))
}

fn make_own(
    plan: &Plan,
    rights: Rights,
    warnings: &mut Vec<String>,
) -> Result<Cgroup, CreateError> {
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
    let group = Cgroup::create(&hierarchies, &plan.cgroup).map_err(error)?;
    let made = limit(plan, rights, &hierarchies, &group, warnings)
        .and_then(|()| delegate(plan, &group).map_err(error));
    match made {
        Ok(()) => Ok(group),
        Err(failure) => {
            // The first failure is the one to tell.
            drop(group.remove());
            Err(failure)
        }
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
    warnings.extend(missing.into_iter().map(|warning| {
        format!(
            "{} does not hold: the cgroup controller {:?} is not available ({})",
            warning.field, warning.controller, warning.reason
        )
    }));
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

/// How a process gets into the cgroup: born in it on v2, moved there on v1.
pub(super) struct Placement<'a> {
    group: Option<&'a Cgroup>,
    v1: Vec<OwnedFd>,
}

impl<'a> Placement<'a> {
    pub(super) fn new(group: Option<&'a Cgroup>) -> Result<Self, Error> {
        let v1 = group.map(Cgroup::procs_to_join).transpose()?.unwrap_or_default();
        Ok(Self { group, v1 })
    }

    /// For `CLONE_INTO_CGROUP`.
    pub(super) fn unified(&self) -> Option<BorrowedFd<'_>> {
        self.group?.clone_into_fd()
    }

    /// Moves the process into the v1 hierarchies, while it still waits.
    pub(super) fn join(&self, pid: Pid) -> Result<(), Error> {
        let text = pid.as_raw_nonzero().to_string();
        for procs in &self.v1 {
            rustix::io::write(procs, text.as_bytes()).map_err(|source| Error::Write {
                path: match self.group {
                    Some(group) => format!("cgroup.procs of {}", group.path().as_str()).into(),
                    None => "cgroup.procs".into(),
                },
                value: text.clone(),
                source,
            })?;
        }
        Ok(())
    }
}

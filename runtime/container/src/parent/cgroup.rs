//! The container's cgroup.

use std::os::fd::{BorrowedFd, OwnedFd};

use corten_runtime_cgroup::{Cgroup, Error, Hierarchies, Systemd, Unit};
use corten_sys_linux::bpf;
use corten_sys_linux::clone::{CloneArgs, Namespaces, clone3};
use corten_sys_linux::pidfd::Pidfd;
use rustix::process::{Pid, Signal};

use super::device_filter;
use crate::CreateError;
use crate::lifecycle::stop_unit;
use crate::plan::Plan;

/// The cgroup, before the container's first process is in it.
pub(super) struct Made {
    pub(super) group: Cgroup,
    /// What holds the place for it: a scope of systemd's ends with its last process.
    pub(super) first: Option<Placeholder>,
}

/// Makes the cgroup and sets its limits, before anything runs in it.
pub(super) fn make(plan: &Plan, warnings: &mut Vec<String>) -> Result<Made, CreateError> {
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
    match limit(plan, &hierarchies, &group, warnings) {
        Ok(()) => Ok(Made { group, first }),
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
    let missing = group
        .apply(&resources)
        .map_err(|source| CreateError::Cgroup { path: plan.cgroup.as_str().to_owned(), source })?;
    warnings.extend(missing.iter().map(ToString::to_string));
    if let (Some(rules), Some(directory)) = (by_program, group.clone_into_fd()) {
        let error =
            |source| CreateError::Prepare { field: "linux.resources.devices".to_owned(), source };
        let program = bpf::load_device_program(&device_filter::compile(&rules)).map_err(error)?;
        bpf::attach_device_program(directory, std::os::fd::AsFd::as_fd(&program)).map_err(error)?;
    }
    Ok(())
}

/// How a process gets into the cgroup: born in it on v2, moved there on v1.
pub(super) struct Placement<'a> {
    group: &'a Cgroup,
    v1: Vec<OwnedFd>,
}

impl<'a> Placement<'a> {
    pub(super) fn new(group: &'a Cgroup) -> Result<Self, Error> {
        Ok(Self { group, v1: group.procs_to_join()? })
    }

    /// For `CLONE_INTO_CGROUP`.
    pub(super) fn unified(&self) -> Option<BorrowedFd<'_>> {
        self.group.clone_into_fd()
    }

    /// Moves the process into the v1 hierarchies, while it still waits.
    pub(super) fn join(&self, pid: Pid) -> Result<(), Error> {
        let text = pid.as_raw_nonzero().to_string();
        for procs in &self.v1 {
            rustix::io::write(procs, text.as_bytes()).map_err(|source| Error::Write {
                path: format!("cgroup.procs of {}", self.group.path().as_str()).into(),
                value: text.clone(),
                source,
            })?;
        }
        Ok(())
    }
}

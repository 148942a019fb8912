//! The container's cgroup.

use std::os::fd::{BorrowedFd, OwnedFd};

use corten_runtime_cgroup::{Cgroup, Error, Hierarchies};
use corten_sys_linux::bpf;
use rustix::process::Pid;

use super::device_filter;
use crate::CreateError;
use crate::plan::Plan;

/// Makes the cgroup and sets its limits, before anything runs in it.
pub(super) fn make(plan: &Plan, warnings: &mut Vec<String>) -> Result<Cgroup, CreateError> {
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
    match limit(plan, &hierarchies, &group, warnings) {
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

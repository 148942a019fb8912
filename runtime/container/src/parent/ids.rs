//! Which ids of the host a new user namespace's are.

use std::process::Command;

use corten_sys_linux::SysError;
use corten_sys_linux::clone::Namespaces;
use corten_sys_linux::procfs::ProcFs;
use rustix::io::Errno;
use rustix::process::Pid;

use super::rights::Rights;
use crate::plan::{IdMap, Plan, Process};
use crate::{CreateError, PlanError};

/// Where the helpers of `shadow` are: never by the caller's `PATH`, for they may be setuid.
const HELPER_DIRS: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/bin"];

/// Maps them, by itself where that is allowed, else by `newuidmap(1)` and `newgidmap(1)`, which
/// know the ranges that `/etc/subuid` gives to a user.
pub(super) fn map(plan: &Plan, pid: Pid, rights: Rights) -> Result<(), CreateError> {
    if !plan.namespaces.new.contains(Namespaces::USER) {
        return Ok(());
    }
    let (uids, gids) = (&plan.namespaces.uid_map, &plan.namespaces.gid_map);
    let proc = ProcFs::open().map_err(SysError::of("fsopen", || "proc")).map_err(step)?;
    let own_uid = rustix::process::geteuid().as_raw();
    if rights.privileged || is_own(uids, own_uid) {
        set(&proc, pid, "uid_map", uids)?;
    } else {
        helper("newuidmap", "linux.uidMappings", pid, uids)?;
    }
    if rights.privileged {
        return set(&proc, pid, "gid_map", gids);
    }
    if !is_own(gids, rustix::process::getegid().as_raw()) {
        return helper("newgidmap", "linux.gidMappings", pid, gids);
    }
    // Without privileges a group can only be mapped once none can be dropped any more: a group may
    // be what keeps its members from a file (CVE-2014-8989).
    proc.set(&format!("{}/setgroups", pid.as_raw_nonzero()), "deny").map_err(step)?;
    set(&proc, pid, "gid_map", gids)
}

/// Whether the process may set its groups: not in a user namespace where that is denied.
pub(super) fn check_groups(process: &mut Process, denied: bool) -> Result<(), PlanError> {
    if !denied {
        return Ok(());
    }
    if !process.groups.is_empty() {
        return Err(PlanError::invalid(
            "process.user.additionalGids",
            "cannot be set by an unprivileged user without newgidmap and a range in /etc/subgid; \
             remove the field",
        ));
    }
    process.may_set_groups = false;
    Ok(())
}

/// Whether a new user namespace will deny `setgroups(2)`.
pub(super) fn will_deny_groups(plan: &Plan, rights: Rights) -> bool {
    let gids = &plan.namespaces.gid_map;
    plan.namespaces.new.contains(Namespaces::USER)
        && !rights.privileged
        && is_own(gids, rustix::process::getegid().as_raw())
}

/// Whether a process is in a user namespace that denies `setgroups(2)`.
pub(super) fn denies_groups(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/setgroups"))
        .is_ok_and(|text| text.trim() == "deny")
}

/// One id, the caller's own: what everybody may map.
fn is_own(map: &[IdMap], own: u32) -> bool {
    matches!(map, [IdMap { host, size: 1, .. }] if *host == own)
}

fn step(source: SysError) -> CreateError {
    CreateError::Parent { step: "map user and group ids", source }
}

fn set(proc: &ProcFs, pid: Pid, file: &str, map: &[IdMap]) -> Result<(), CreateError> {
    proc.set(&format!("{}/{file}", pid.as_raw_nonzero()), &lines(map)).map_err(step)
}

/// As `uid_map` and `gid_map` take them.
pub(super) fn lines(map: &[IdMap]) -> String {
    map.iter()
        .map(|IdMap { container, host, size }| format!("{container} {host} {size}\n"))
        .collect()
}

fn helper(name: &str, field: &str, pid: Pid, map: &[IdMap]) -> Result<(), CreateError> {
    let failed =
        |reason: String| CreateError::Plan(PlanError::Invalid { field: field.to_owned(), reason });
    let path = HELPER_DIRS
        .iter()
        .map(|dir| std::path::Path::new(dir).join(name))
        .find(|path| path.exists())
        .ok_or_else(|| {
            failed(format!("needs {name} (package uidmap) for more than the caller's own id"))
        })?;
    let output = Command::new(&path)
        .env_clear()
        .arg(pid.as_raw_nonzero().to_string())
        .args(map.iter().flat_map(|range| {
            [range.container, range.host, range.size].map(|number| number.to_string())
        }))
        .output()
        .map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            step(SysError::of("execve", || path.display().to_string())(errno))
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(format!("{name} refuses it: {}", said.trim())))
}

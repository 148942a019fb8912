//! Linux security modules: a label for one that is not on would look like protection and be none.

use rustix::fs::statfs;

use crate::PlanError;
use crate::plan::{Plan, Process};

/// `SELINUX_MAGIC` (statfs(2)).
const SELINUX_MAGIC: i64 = 0xf97c_ff8c;
const APPARMOR_ENABLED: &str = "/sys/module/apparmor/parameters/enabled";

/// Refuses labels of a container that nothing here would enforce.
pub(super) fn check(plan: &Plan) -> Result<(), PlanError> {
    if plan.mount_label.is_some() && !selinux() {
        return Err(off("linux.mountLabel", "SELinux"));
    }
    check_process(&plan.process)
}

/// The same for one process.
pub(super) fn check_process(process: &Process) -> Result<(), PlanError> {
    if process.selinux.is_some() && !selinux() {
        return Err(off("process.selinuxLabel", "SELinux"));
    }
    // Without AppArmor everything is unconfined.
    let confined = process.apparmor.as_ref().is_some_and(|text| text.to_bytes() != UNCONFINED);
    if confined && !apparmor() {
        return Err(off("process.apparmorProfile", "AppArmor"));
    }
    Ok(())
}

/// What goes to AppArmor for a program that it shall leave alone.
const UNCONFINED: &[u8] = b"exec unconfined";

/// Drops what is true without being asked for.
pub(super) fn simplify(process: &mut Process) {
    let unconfined = process.apparmor.as_ref().is_some_and(|text| text.to_bytes() == UNCONFINED);
    if unconfined && !apparmor() {
        process.apparmor = None;
    }
}

fn off(field: &str, module: &str) -> PlanError {
    PlanError::unsupported(field, format!("{module} is not enabled on this host; remove the field"))
}

fn apparmor() -> bool {
    std::fs::read_to_string(APPARMOR_ENABLED).is_ok_and(|text| text.starts_with('Y'))
}

fn selinux() -> bool {
    statfs("/sys/fs/selinux").is_ok_and(|stat| stat.f_type == SELINUX_MAGIC)
}

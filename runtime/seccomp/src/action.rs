//! From an action's name to what a filter returns (`SECCOMP_RET_*`, seccomp(2)).

use oci_spec::runtime::LinuxSeccompAction as Action;

use crate::CompileError;

pub(crate) const KILL_THREAD: u32 = 0;
const KILL_PROCESS: u32 = 0x8000_0000;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

const EPERM: u32 = 1;
pub(crate) const ENOSYS: u32 =
    if cfg!(any(target_arch = "mips", target_arch = "mips64")) { 89 } else { 38 };
/// `MAX_ERRNO`: the kernel cuts what is above down to it.
const ERRNO_MAX: u32 = 4095;

/// "There is no such system call".
pub(crate) const NO_SUCH_CALL: u32 = ERRNO | ENOSYS;

/// What a filter returns for an action. `errno` is the number that comes with it, from `field`.
pub(crate) fn value(action: Action, errno: Option<u32>, field: &str) -> Result<u32, CompileError> {
    let limit = |most: u32| match errno.unwrap_or(EPERM) {
        number if number <= most => Ok(number),
        number => Err(CompileError::invalid(field, format!("{number} is above {most}"))),
    };
    let plain = |value| match errno {
        None => Ok(value),
        // The specification wants this refused.
        Some(_) => Err(CompileError::invalid(field, format!("{action} takes no number"))),
    };
    match action {
        Action::ScmpActErrno => limit(ERRNO_MAX).map(|errno| ERRNO | errno),
        Action::ScmpActTrace => limit(u32::from(u16::MAX)).map(|data| TRACE | data),
        Action::ScmpActKill | Action::ScmpActKillThread => plain(KILL_THREAD),
        Action::ScmpActKillProcess => plain(KILL_PROCESS),
        Action::ScmpActTrap => plain(TRAP),
        Action::ScmpActNotify => plain(NOTIFY),
        Action::ScmpActLog => plain(LOG),
        Action::ScmpActAllow => plain(ALLOW),
    }
}

/// Whether a call that nobody has thought of goes ahead, or to a tracer that knows what to do.
pub(crate) fn lets_pass(action: Action) -> bool {
    matches!(action, Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace)
}

//! What a child has used, told when it is waited for.

use std::time::Duration;

use rustix::process::Pid;

use crate::SysError;
use crate::syscall::{check, to_int};

/// What a process, and those that it waited for, used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in user space.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// The most memory that was resident at a time, in KiB.
    pub resident_kib: u64,
}

/// Waits for a child (`wait4(2)`): the raw status (0: it ended well), and what it used.
///
/// # Errors
/// `ECHILD` for what is no child of this process's, or was waited for.
pub fn wait(pid: Pid) -> Result<(i32, Usage), SysError> {
    let raw = pid.as_raw_nonzero().get();
    let describe = || format!("process {raw}");
    let mut status: libc::c_int = 0;
    // SAFETY: rusage is plain numbers, for which all zeroes is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let ended = rustix::io::retry_on_intr(|| {
        // SAFETY: both pointers are to locals that live through the call.
        let ended = unsafe { libc::wait4(raw, &raw mut status, 0, &raw mut usage) };
        check(libc::c_long::from(ended))
    });
    ended.and_then(to_int).map_err(SysError::of("wait4", describe))?;
    let time = |value: libc::timeval| {
        let micros = |part: i64| Duration::from_micros(part.unsigned_abs());
        Duration::from_secs(value.tv_sec.unsigned_abs()) + micros(value.tv_usec)
    };
    let used = Usage {
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        resident_kib: usage.ru_maxrss.unsigned_abs(),
    };
    Ok((status, used))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clone::{CloneArgs, Namespaces, clone3};

    #[test]
    fn a_childs_status_and_memory() {
        let args =
            CloneArgs { namespaces: Namespaces::empty(), callers_parent: false, into_cgroup: None };
        let pid = clone3(&args, || 3).unwrap().pid;
        let (status, usage) = wait(pid).unwrap();
        assert_eq!(status, 3 << 8);
        assert!(usage.resident_kib > 0);
        wait(pid).unwrap_err();
    }
}

//! Signals: masks, dispositions, `signalfd(2)`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::SysError;
use crate::syscall::{check, to_int};

/// The highest signal number (`_NSIG`).
pub const LAST: i32 = 64;

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// A set of signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignalSet(u64);

impl SignalSet {
    /// Every signal.
    pub const ALL: Self = Self(u64::MAX);

    /// The set of those numbers; others than 1 to [`LAST`] are left out.
    #[must_use]
    pub fn of(signals: &[i32]) -> Self {
        Self(signals.iter().filter(|s| (1..=LAST).contains(s)).fold(0, |set, s| set | bit(*s)))
    }

    /// Whether the set holds the signal.
    #[must_use]
    pub fn contains(self, signal: i32) -> bool {
        (1..=LAST).contains(&signal) && self.0 & bit(signal) != 0
    }
}

/// Sets the calling thread's signal mask and returns the former one. Does not allocate.
///
/// # Errors
/// None that a valid set can cause.
pub fn set_mask(set: SignalSet) -> rustix::io::Result<SignalSet> {
    let mut old = 0_u64;
    // SAFETY: both sets are 64 bits, the size passed.
    check(unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const set.0,
            &raw mut old,
            size_of::<u64>(),
        )
    })?;
    Ok(SignalSet(old))
}

/// Gives every signal its default action and blocks none: what a new program must start with.
/// Rust's runtime ignores SIGPIPE, and ignored signals survive exec. Does not allocate.
pub fn reset_for_exec() {
    for signal in 1..=LAST {
        // SAFETY: SIG_DFL is no function; nothing can be called.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // A valid set cannot fail, and a child has nobody to tell.
    set_mask(SignalSet::default()).unwrap_or_default();
}

/// Signals as a pollable descriptor, close-on-exec and non-blocking.
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Blocks the signals for this thread and reads them here instead.
    ///
    /// # Errors
    /// What `signalfd4(2)` says.
    pub fn new(set: SignalSet) -> Result<Self, SysError> {
        let describe = || format!("set {:#x}", set.0);
        let mut blocked =
            set_mask(SignalSet::default()).map_err(SysError::of("rt_sigprocmask", describe))?;
        blocked.0 |= set.0;
        set_mask(blocked).map_err(SysError::of("rt_sigprocmask", describe))?;
        // SAFETY: the set is 64 bits, the size passed.
        let fd = check(unsafe {
            libc::syscall(
                libc::SYS_signalfd4,
                -1,
                &raw const set.0,
                size_of::<u64>(),
                libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
            )
        })
        .and_then(to_int)
        .map_err(SysError::of("signalfd4", describe))?;
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next pending signal's number, if any.
    ///
    /// # Errors
    /// What `read(2)` says.
    pub fn next(&self) -> Result<Option<i32>, SysError> {
        // signalfd_siginfo is 128 bytes and starts with the signal's number (signalfd(2)).
        let mut info = [0_u8; 128];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.0, &mut info)) {
            Ok(_whole) => {
                let number = u32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
                Ok(i32::try_from(number).ok())
            }
            Err(Errno::AGAIN) => Ok(None),
            Err(errno) => Err(SysError::of("read", || "signalfd")(errno)),
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `kill(2)` with any number from 0 (a probe) to [`LAST`], real-time ones as well.
///
/// # Errors
/// `ESRCH` when there is no such process, `EINVAL` for a number that is no signal.
pub fn kill(pid: rustix::process::Pid, signal: i32) -> rustix::io::Result<()> {
    // SAFETY: plain integers; the id is positive, so one process only is meant.
    check(unsafe { libc::syscall(libc::SYS_kill, pid.as_raw_nonzero().get(), signal) }).map(drop)
}

pub(crate) fn pidfd_send(pidfd: BorrowedFd<'_>, signal: i32) -> rustix::io::Result<()> {
    // SAFETY: plain integers and a null siginfo, which the kernel then fills in itself.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_is_read_from_the_descriptor() {
        // A thread of its own: the mask is per thread.
        std::thread::spawn(|| {
            let signals = SignalFd::new(SignalSet::of(&[libc::SIGRTMIN() + 3])).unwrap();
            assert_eq!(signals.next().unwrap(), None);
            // SAFETY: a signal to the calling thread, which has it blocked.
            unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGRTMIN() + 3) };
            assert_eq!(signals.next().unwrap(), Some(libc::SIGRTMIN() + 3));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_set_holds_what_it_was_given() {
        let set = SignalSet::of(&[1, 64, 0, 65, -3]);
        assert!(set.contains(1) && set.contains(64));
        assert!(!set.contains(2) && !set.contains(65) && !set.contains(0));
    }
}

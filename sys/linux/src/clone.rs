//! New processes: `clone3(2)` for a child that only makes system calls, `fork(2)` for processes
//! of a single thread.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;

use crate::syscall::{check, to_int};
use crate::{SysError, exec};

/// Which namespaces a child gets new: the `CLONE_NEW*` flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Namespaces(u64);

impl Namespaces {
    /// `CLONE_NEWNS`
    pub const MOUNT: Self = Self(0x0002_0000);
    /// `CLONE_NEWCGROUP`
    pub const CGROUP: Self = Self(0x0200_0000);
    /// `CLONE_NEWUTS`
    pub const UTS: Self = Self(0x0400_0000);
    /// `CLONE_NEWIPC`
    pub const IPC: Self = Self(0x0800_0000);
    /// `CLONE_NEWUSER`
    pub const USER: Self = Self(0x1000_0000);
    /// `CLONE_NEWPID`
    pub const PID: Self = Self(0x2000_0000);
    /// `CLONE_NEWNET`
    pub const NET: Self = Self(0x4000_0000);
    /// `CLONE_NEWTIME`; for [`crate::ns::unshare`] and children only: who is cloned into a new one
    /// can no longer set its offsets (`time_namespaces(7)`).
    pub const TIME: Self = Self(0x80);

    /// None.
    #[must_use]
    pub const fn empty() -> Self {
        Self(0)
    }

    /// Whether no namespace is named.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without those.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` are among these.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The kernel's bits; all fit in an `int`.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }
}

/// What [`clone3`] makes.
#[derive(Debug, Default)]
pub struct CloneArgs<'a> {
    /// Namespaces that the child gets new.
    pub namespaces: Namespaces,
    /// The child becomes its caller's sibling (`CLONE_PARENT`): the caller's parent reaps it.
    pub callers_parent: bool,
    /// A cgroup v2 directory that the child is born in (`CLONE_INTO_CGROUP`).
    pub into_cgroup: Option<BorrowedFd<'a>>,
}

/// `CLONE_INTO_CGROUP` (linux/sched.h); libc's constant is too narrow for it.
const CLONE_INTO_CGROUP: i64 = 0x2_0000_0000;

/// A child just made.
#[derive(Debug)]
pub struct Cloned {
    /// Its id, as this process sees it.
    pub pid: Pid,
    /// It, without the races of ids.
    pub pidfd: OwnedFd,
}

/// Ends the process at once when dropped: a child must never unwind into its parent's stack.
struct EndOnDrop;

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        exec::exit_now(125);
    }
}

/// Makes a child that runs `child` on a copy of this process's memory, and ends at once with the
/// status that it returns.
///
/// The child may be born of a process with many threads: it must make system calls only (those
/// of rustix and this crate's first layer), because a lock that another thread held at this moment
/// stays locked for ever in the child. That rules out allocation, printing and panics; a panic
/// ends the child with status 125.
///
/// # Errors
/// What the kernel says: `EPERM` without the right to make a namespace, `EBUSY` or `EOPNOTSUPP`
/// for a cgroup that cannot hold processes.
pub fn clone3(args: &CloneArgs<'_>, child: impl FnOnce() -> i32) -> Result<Cloned, SysError> {
    clone3_plain(args, child).map_err(SysError::of("clone3", || {
        let into = if args.into_cgroup.is_some() { ", into cgroup" } else { "" };
        format!("namespaces {:#x}{into}", args.namespaces.bits())
    }))
}

/// As [`clone3`], for a child that has children itself. Does not allocate.
///
/// # Errors
/// As [`clone3`].
pub fn clone3_plain(
    args: &CloneArgs<'_>,
    child: impl FnOnce() -> i32,
) -> rustix::io::Result<Cloned> {
    let flag = |condition: bool, bits: libc::c_int| if condition { i64::from(bits) } else { 0 };
    let mut pidfd: libc::c_int = -1;
    // With CLONE_PARENT the kernel insists on no exit signal of its own: the child takes the
    // caller's (clone(2)).
    let exit_signal = if args.callers_parent { 0 } else { libc::SIGCHLD };
    let flags = args.namespaces.bits().cast_signed()
        | flag(true, libc::CLONE_PIDFD)
        | flag(args.callers_parent, libc::CLONE_PARENT)
        | if args.into_cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 };
    let raw = libc::clone_args {
        flags: flags.cast_unsigned(),
        pidfd: (&raw mut pidfd).addr() as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::from(exit_signal.unsigned_abs()),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: args.into_cgroup.map_or(0, |fd| u64::from(fd.as_raw_fd().unsigned_abs())),
    };
    // SAFETY: `raw` is a clone_args of the size passed, and the pidfd pointer in it is valid for
    // the call. Without CLONE_VM the child has a copy of the memory and of this stack, so both
    // return here safely.
    let made =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const raw, size_of::<libc::clone_args>()) };
    let pid = check(made)?;
    if pid == 0 {
        let _guard = EndOnDrop;
        exec::exit_now(child());
    }
    // SAFETY: the kernel filled in a fresh descriptor, close-on-exec, that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let pid = to_int(pid).and_then(|raw| Pid::from_raw(raw).ok_or(Errno::SRCH))?;
    Ok(Cloned { pid, pidfd })
}

/// Which side of a [`fork`] this is.
#[derive(Debug)]
pub enum Forked {
    /// The new process.
    Child,
    /// The old one, with the new one's id.
    Parent(Pid),
}

/// `fork(2)`, refused unless this process has exactly one thread: only then may the child go on as
/// an ordinary program (allocate, lock, print).
///
/// # Errors
/// `EDEADLK` when there are several threads; else what the kernel says.
pub fn fork() -> Result<Forked, SysError> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads != 1 {
        return Err(SysError::of("fork", || format!("a process with {threads} threads"))(
            Errno::DEADLK,
        ));
    }
    // SAFETY: the process has one thread, so no lock can be held by another one in the child.
    let pid = unsafe { libc::fork() };
    match check(pid.into()).map_err(SysError::of("fork", || ""))? {
        0 => Ok(Forked::Child),
        _parent => Pid::from_raw(pid)
            .map(Forked::Parent)
            .ok_or(Errno::SRCH)
            .map_err(SysError::of("fork", || "the id it returned")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pidfd::{Exit, Pidfd};

    #[test]
    fn a_child_runs_its_closure_and_its_status_is_seen() {
        let child = clone3(&CloneArgs::default(), || 7).unwrap();
        assert_eq!(Pidfd::from(child.pidfd).wait().unwrap(), Exit::Code(7));
    }

    #[test]
    fn a_panicking_child_does_not_come_back() {
        let child = clone3(&CloneArgs::default(), || {
            std::panic::set_hook(Box::new(|_| ()));
            panic!("in the child")
        })
        .unwrap();
        assert_eq!(Pidfd::from(child.pidfd).wait().unwrap(), Exit::Code(125));
    }

    #[test]
    fn fork_is_refused_to_a_process_with_threads() {
        // The test harness itself has threads.
        assert_eq!(fork().unwrap_err().errno, Errno::DEADLK);
    }
}

//! Namespaces: enter, leave behind, keep alive.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::thread::{ThreadNameSpaceType, UnshareFlags, move_into_thread_name_spaces};

use crate::clone::Namespaces;
use crate::{SysError, mount};

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Mounts.
    Mount,
    /// Cgroup roots.
    Cgroup,
    /// Host and domain name.
    Uts,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// User and group ids.
    User,
    /// Process ids.
    Pid,
    /// Network.
    Net,
    /// Clocks: offsets of the monotonic and the boot time.
    Time,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Mount,
        Self::Cgroup,
        Self::Uts,
        Self::Ipc,
        Self::User,
        Self::Pid,
        Self::Net,
        Self::Time,
    ];

    /// Its name under `/proc/<pid>/ns`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mount => "mnt",
            Self::Cgroup => "cgroup",
            Self::Uts => "uts",
            Self::Ipc => "ipc",
            Self::User => "user",
            Self::Pid => "pid",
            Self::Net => "net",
            Self::Time => "time",
        }
    }

    /// The flag that makes a new one.
    #[must_use]
    pub const fn flag(self) -> Namespaces {
        match self {
            Self::Mount => Namespaces::MOUNT,
            Self::Cgroup => Namespaces::CGROUP,
            Self::Uts => Namespaces::UTS,
            Self::Ipc => Namespaces::IPC,
            Self::User => Namespaces::USER,
            Self::Pid => Namespaces::PID,
            Self::Net => Namespaces::NET,
            Self::Time => Namespaces::TIME,
        }
    }
}

/// Moves the calling thread into the namespace behind `fd`, if it is of that kind; for
/// [`Kind::Pid`] it is the next children that move. Does not allocate.
///
/// # Errors
/// `EINVAL` when it is of another kind, or is the user namespace one is in.
pub fn enter(fd: BorrowedFd<'_>, kind: Kind) -> rustix::io::Result<()> {
    crate::syscall::setns(fd, kind.flag())
}

/// Moves the calling thread into those namespaces of the process behind `pidfd`. Does not
/// allocate.
///
/// # Errors
/// `ESRCH` when the process has ended; `EPERM` without the rights.
pub fn enter_of(pidfd: BorrowedFd<'_>, namespaces: Namespaces) -> rustix::io::Result<()> {
    let bits = u32::try_from(namespaces.bits()).or(Err(rustix::io::Errno::INVAL))?;
    move_into_thread_name_spaces(pidfd, ThreadNameSpaceType::from_bits_retain(bits))
}

/// Gives the calling thread new namespaces. Does not allocate.
///
/// # Errors
/// `EINVAL` for a user namespace in a process with threads; `EPERM` without the rights.
pub fn unshare(namespaces: Namespaces) -> rustix::io::Result<()> {
    let bits = u32::try_from(namespaces.bits()).or(Err(rustix::io::Errno::INVAL))?;
    // SAFETY: namespace flags only: never CLONE_FILES, the one flag that could leave another
    // owner with a descriptor that is not in its table.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::from_bits_retain(bits)) }
}

/// The calling thread's own namespace of that kind.
///
/// # Errors
/// `ENOENT` when `/proc` is not mounted or the kernel lacks the kind.
pub fn own(kind: Kind) -> Result<OwnedFd, SysError> {
    open(Path::new(&format!("/proc/thread-self/ns/{}", kind.name())))
}

/// The namespace in which the calling thread's next children will have their process ids.
///
/// # Errors
/// `ENOENT` when `/proc` is not mounted.
pub fn own_pid_for_children() -> Result<OwnedFd, SysError> {
    open(Path::new("/proc/thread-self/ns/pid_for_children"))
}

/// A namespace by path: a pinned one, or `/proc/<pid>/ns/<kind>`.
///
/// # Errors
/// What `openat(2)` says.
pub fn open(path: &Path) -> Result<OwnedFd, SysError> {
    rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(SysError::of("openat", || format!("{}", path.display())))
}

/// Keeps a namespace alive under a name: makes the file `target` and mounts the namespace on it.
/// [`unpin`] undoes it. A failed pin leaves no file.
///
/// # Errors
/// `EEXIST` when the file is there already; else what `open_tree(2)` and `move_mount(2)` say.
pub fn pin(namespace: BorrowedFd<'_>, target: &Path) -> Result<(), SysError> {
    let describe = || format!("{}", target.display());
    let file = rustix::fs::openat(
        CWD,
        target,
        OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY,
        Mode::RUSR,
    )
    .map_err(SysError::of("openat", describe))?;
    let mounted = mount::clone_fd(namespace, false)
        .map_err(SysError::of("open_tree", || "the namespace"))
        .and_then(|tree| {
            mount::attach(tree.as_fd(), file.as_fd()).map_err(SysError::of("move_mount", describe))
        });
    if mounted.is_err() {
        // The first failure is the one to tell.
        rustix::fs::unlink(target).unwrap_or_default();
    }
    mounted
}

/// Lets go of a pinned namespace and removes its file; a file that is gone already is fine.
///
/// # Errors
/// What `umount2(2)` and `unlink(2)` say.
pub fn unpin(target: &Path) -> Result<(), SysError> {
    let describe = || format!("{}", target.display());
    match mount::detach(target) {
        // EINVAL: nothing is mounted there (any more).
        Ok(()) | Err(rustix::io::Errno::INVAL) => (),
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(SysError::of("umount2", describe)(errno)),
    }
    match rustix::fs::unlink(target) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(SysError::of("unlink", describe)(errno)),
    }
}

/// Whether two descriptors are the same namespace.
///
/// # Errors
/// What `fstat(2)` says.
pub fn same(one: BorrowedFd<'_>, two: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    let (one, two) = (rustix::fs::fstat(one)?, rustix::fs::fstat(two)?);
    Ok((one.st_dev, one.st_ino) == (two.st_dev, two.st_ino))
}

#[cfg(test)]
mod tests {
    use corten_tests_harness::skip_unless;

    use super::*;

    #[test]
    fn a_pinned_namespace_outlives_its_maker_and_can_be_entered() {
        skip_unless!(corten_tests_harness::is_root(), "mounting needs root");
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("uts");
        // In a mount namespace of this thread's own, so that nothing is left if the test fails.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                unshare(Namespaces::MOUNT).unwrap();
                let private =
                    mount::Attributes { propagation: mount::PRIVATE, ..Default::default() };
                mount::set_attributes_at(c"/", true, private).unwrap();
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        unshare(Namespaces::UTS).unwrap();
                        rustix::system::sethostname(b"pinned").unwrap();
                        // The thread keeps its maker's mount namespace: this is the same table.
                        pin(own(Kind::Uts).unwrap().as_fd(), &target).unwrap();
                    });
                });
                let namespace = open(&target).unwrap();
                assert_eq!(enter(namespace.as_fd(), Kind::Net).unwrap_err().raw_os_error(), 22);
                enter(namespace.as_fd(), Kind::Uts).unwrap();
                assert_eq!(rustix::system::uname().nodename(), c"pinned");
                assert!(same(namespace.as_fd(), own(Kind::Uts).unwrap().as_fd()).unwrap());
                unpin(&target).unwrap();
                assert!(!target.exists());
                unpin(&target).unwrap();
            });
        });
    }
}

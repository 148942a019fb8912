//! Terminals.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};

use crate::path::open_in_root;

/// `DEVPTS_SUPER_MAGIC` (statfs(2)).
const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;

/// Both ends of a terminal.
#[derive(Debug)]
pub struct Pty {
    /// The end that a user sits at.
    pub master: OwnedFd,
    /// The end that a program runs on.
    pub peer: OwnedFd,
}

/// A terminal of the devpts that is mounted inside `root` at `dev/pts`. Does not allocate.
///
/// The multiplexer is checked to be one (a character device 5:2 on devpts), because an image can
/// put anything there (CVE-2025-52565), and the peer is taken from the master by `TIOCGPTPEER`,
/// never by a path.
///
/// # Errors
/// `ENOENT` when there is no devpts, `ENODEV` when what is there is something else.
pub fn open_in(root: BorrowedFd<'_>) -> rustix::io::Result<Pty> {
    let handle =
        open_in_root(root, c"dev/pts/ptmx", OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?;
    let stat = rustix::fs::fstat(&handle)?;
    let device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    let on_devpts = rustix::fs::fstatfs(&handle)?.f_type == DEVPTS_SUPER_MAGIC;
    if device != (5, 2) || !on_devpts {
        return Err(Errno::NODEV);
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let master = open_in_root(root, c"dev/pts/ptmx", flags, Mode::empty())?;
    // Looked up twice: it must still be the same.
    let again = rustix::fs::fstat(&master)?;
    if (again.st_dev, again.st_ino) != (stat.st_dev, stat.st_ino) {
        return Err(Errno::NODEV);
    }
    unlockpt(&master)?;
    let peer = ioctl_tiocgptpeer(
        master.as_fd(),
        OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
    )?;
    Ok(Pty { master, peer })
}

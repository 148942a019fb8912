//! Descriptor tables.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

use crate::syscall::check;

/// Marks every descriptor from `first` on close-on-exec, whatever opened it (CVE-2024-21626: one
/// forgotten directory handle is an escape). Does not allocate.
///
/// # Errors
/// `ENOSYS` before Linux 5.11.
pub fn close_range_cloexec(first: u32) -> rustix::io::Result<()> {
    // SAFETY: marks descriptors only; none is closed, so no owner is surprised.
    check(unsafe {
        libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
    })
    .map(drop)
}

/// Closes every descriptor from `first` on. Does not allocate.
///
/// Only for a cloned child that goes on to exec or `_exit` and drops nothing: whatever owned these
/// numbers in its copy of the memory must never be used again.
///
/// # Errors
/// `ENOSYS` before Linux 5.9.
pub fn close_from(first: u32) -> rustix::io::Result<()> {
    // SAFETY: the caller is a child about to exec: no owner in it runs a destructor any more.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) }).map(drop)
}

/// Closes one descriptor by its number, by the one call that no filter denies. Does not allocate.
///
/// Only for a cloned child, as [`close_from`] is.
///
/// # Errors
/// `EBADF` when it is not open.
pub fn close_one(number: RawFd) -> rustix::io::Result<()> {
    // SAFETY: the caller is a child about to exec: no owner in it runs a destructor any more.
    check(unsafe { libc::close(number).into() }).map(drop)
}

/// Makes descriptor number `target` a copy of `fd`, inherited across exec. Does not allocate.
///
/// For a child that lays out its descriptor table before exec: whatever had that number is closed.
///
/// # Errors
/// What `dup3(2)` or `fcntl(2)` says.
pub fn place_at(fd: BorrowedFd<'_>, target: RawFd) -> rustix::io::Result<()> {
    if fd.as_raw_fd() == target {
        return rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty());
    }
    // SAFETY: plain integers; the caller is about to exec and owns the whole table.
    check(unsafe { libc::syscall(libc::SYS_dup3, fd.as_raw_fd(), target, 0) }).map(drop)
}

/// Borrows a descriptor by the number that this process itself has just given it. Does not
/// allocate.
///
/// # Errors
/// `EBADF` when that number is not open.
pub fn borrow_inherited(number: RawFd) -> rustix::io::Result<BorrowedFd<'static>> {
    if number < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: F_GETFD reads the table only.
    check(unsafe { libc::fcntl(number, libc::F_GETFD).into() })?;
    // SAFETY: open, as just seen; the caller is a process that never closes it (a child before
    // exec), as `close_from` demands as well.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}

/// A copy of an inherited descriptor (such as those that systemd or a caller of `--preserve-fds`
/// hands over), close-on-exec; the inherited one stays open.
///
/// # Errors
/// `EBADF` when that number is not open.
pub fn duplicate_inherited(number: RawFd) -> rustix::io::Result<OwnedFd> {
    if number < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: F_DUPFD_CLOEXEC reads the table only; a number that is not open gives EBADF.
    let copy =
        check(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3 as libc::c_int).into() })?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(crate::syscall::to_int(copy)?) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_number_that_is_not_open_is_ebadf() {
        assert_eq!(duplicate_inherited(900_000).unwrap_err(), Errno::BADF);
        assert_eq!(duplicate_inherited(-1).unwrap_err(), Errno::BADF);
    }

    #[test]
    fn a_copy_is_close_on_exec() {
        let (read, _write) = rustix::pipe::pipe().unwrap();
        let copy = duplicate_inherited(read.as_fd().as_raw_fd()).unwrap();
        assert!(rustix::io::fcntl_getfd(copy).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }
}

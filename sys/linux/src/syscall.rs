//! From libc's convention to a `Result`.

use rustix::io::Errno;

/// The value of a raw system call, or its errno.
pub(crate) fn check(value: libc::c_long) -> rustix::io::Result<libc::c_long> {
    if value == -1 {
        // SAFETY: errno is a thread-local integer, always readable.
        let raw = unsafe { *libc::__errno_location() };
        Err(Errno::from_raw_os_error(raw))
    } else {
        Ok(value)
    }
}

/// A value that the kernel promises to be an `int` (a descriptor, a process id).
pub(crate) fn to_int(value: libc::c_long) -> rustix::io::Result<libc::c_int> {
    libc::c_int::try_from(value).or(Err(Errno::OVERFLOW))
}

/// `setns(2)`; rustix has no name for every kind.
pub(crate) fn setns(
    fd: std::os::fd::BorrowedFd<'_>,
    kind: crate::clone::Namespaces,
) -> rustix::io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let bits = libc::c_int::try_from(kind.bits()).or(Err(Errno::INVAL))?;
    // SAFETY: plain integers.
    check(unsafe { libc::syscall(libc::SYS_setns, fd.as_raw_fd(), bits) }).map(drop)
}

//! Network devices, as far as one needs no netlink for them.

use std::os::fd::AsRawFd as _;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::SysError;

/// Brings the loopback device of the caller's network namespace up, with which it has its
/// addresses. A new namespace's is down: see `netdevice(7)`.
///
/// # Errors
/// What `socket(2)` or `ioctl(2)` says.
pub fn bring_loopback_up() -> Result<(), SysError> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(SysError::of("socket", || "AF_INET, SOCK_DGRAM"))?;
    let mut name = [0; libc::IFNAMSIZ];
    for (place, byte) in name.iter_mut().zip(b"lo") {
        *place = byte.cast_signed();
    }
    // Its value is 1.
    let up = libc::c_short::try_from(libc::IFF_UP).unwrap_or(1);
    let flags = libc::__c_anonymous_ifr_ifru { ifru_flags: up };
    let request = libc::ifreq { ifr_name: name, ifr_ifru: flags };
    // SAFETY: this request reads an `ifreq`, which `request` is for the whole call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 {
        return Ok(());
    }
    let errno = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO);
    Err(SysError::of("ioctl", || "SIOCSIFFLAGS, lo")(errno))
}

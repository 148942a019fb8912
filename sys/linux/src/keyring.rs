//! Session keyrings: a container must not share its starter's (`keyctl(2)`).

use std::ffi::CStr;

use crate::syscall::check;

/// Joins a new, empty session keyring of that name. Does not allocate.
///
/// # Errors
/// `ENOSYS` in a kernel without keys, `EDQUOT` past the user's quota.
pub fn join_session(name: &CStr) -> rustix::io::Result<()> {
    // SAFETY: the name is NUL-terminated and outlives the call.
    check(unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr())
    })
    .map(drop)
}

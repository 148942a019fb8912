//! System call filters.

use std::os::fd::{FromRawFd as _, OwnedFd};

use rustix::io::Errno;

use crate::syscall::{check, to_int};

/// One instruction of classic BPF.
pub type Instruction = libc::sock_filter;

/// An instruction from its parts: operation, the two distances of a conditional jump, operand.
#[must_use]
pub const fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt, jf, k }
}

/// The flag that asks for a listener: [`install_with_listener`]'s.
const NEW_LISTENER: u32 = 1 << 3;

/// Installs a compiled filter on the calling thread (`seccomp(2)`). Does not allocate.
///
/// # Errors
/// `EACCES` without `no_new_privs` or `CAP_SYS_ADMIN`, `EINVAL` for a program that is malformed or
/// longer than 4096 instructions, or for flags that the kernel does not know or that ask for a
/// listener.
pub fn install(program: &[Instruction], flags: u32) -> rustix::io::Result<()> {
    if flags & NEW_LISTENER != 0 {
        return Err(Errno::INVAL);
    }
    set_mode_filter(program, flags).map(drop)
}

/// As [`install`], for a filter that notifies: returns the descriptor, close-on-exec, through which
/// somebody else decides. Does not allocate.
///
/// # Errors
/// As [`install`], and `EBUSY` where a filter of the thread has a listener already.
pub fn install_with_listener(program: &[Instruction], flags: u32) -> rustix::io::Result<OwnedFd> {
    let fd = to_int(set_mode_filter(program, flags | NEW_LISTENER)?)?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set_mode_filter(program: &[Instruction], flags: u32) -> rustix::io::Result<libc::c_long> {
    let len = u16::try_from(program.len()).or(Err(Errno::INVAL))?;
    let raw = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: `raw` describes exactly the slice, which the kernel only reads.
    check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const raw)
    })
}

//! System call filters.

use crate::syscall::check;

/// One instruction of classic BPF.
pub type Instruction = libc::sock_filter;

/// Installs a compiled filter on the calling thread (`seccomp(2)`). Does not allocate.
///
/// # Errors
/// `EACCES` without `no_new_privs` or `CAP_SYS_ADMIN`, `EINVAL` for a program that is malformed or
/// longer than 4096 instructions.
pub fn install(program: &[Instruction], flags: u32) -> rustix::io::Result<()> {
    let len = u16::try_from(program.len()).or(Err(rustix::io::Errno::INVAL))?;
    let raw = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: `raw` describes exactly the slice, which the kernel only reads.
    check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const raw)
    })
    .map(drop)
}

//! Just enough of `bpf(2)` for device access programs on cgroup v2.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::SysError;
use crate::syscall::{check, to_int};

/// One eBPF instruction, as the kernel lays it out.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Destination register in the low half, source register in the high half.
    pub registers: u8,
    /// Jump distance or memory offset.
    pub offset: i16,
    /// Immediate operand.
    pub immediate: i32,
}

/// The attribute union at its full size: Linux 6.17 to 7.1 writes past a shorter one.
#[repr(C, align(8))]
struct Attributes([u64; 24]);

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_TYPE_CGROUP_DEVICE: u64 = 15;
const ATTACH_CGROUP_DEVICE: u64 = 6;
const F_ALLOW_MULTI: u64 = 2;

fn bpf(command: libc::c_int, attributes: &mut Attributes) -> rustix::io::Result<libc::c_long> {
    // SAFETY: the attributes are a live union of the size passed, and every pointer in it points
    // to memory that the caller keeps alive for the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<Attributes>(),
        )
    })
}

/// Loads a `BPF_PROG_TYPE_CGROUP_DEVICE` program.
///
/// # Errors
/// `EINVAL` or `EACCES` when the verifier refuses it, `EPERM` without `CAP_BPF`.
pub fn load_device_program(program: &[Instruction]) -> Result<OwnedFd, SysError> {
    const LICENCE: &std::ffi::CStr = c"Apache-2.0";
    let mut attributes = Attributes([0; 24]);
    // { u32 prog_type; u32 insn_cnt; u64 insns; u64 license; … }
    attributes.0[0] = PROG_TYPE_CGROUP_DEVICE | (program.len() as u64) << 32;
    attributes.0[1] = program.as_ptr().addr() as u64;
    attributes.0[2] = LICENCE.as_ptr().addr() as u64;
    let fd = bpf(PROG_LOAD, &mut attributes)
        .and_then(to_int)
        .map_err(SysError::of("bpf", || format!("PROG_LOAD, {} instructions", program.len())))?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a device program to a cgroup v2 directory, beside those that others attached.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` or when an ancestor forbids it; `EBADF` for another kind of
/// directory.
pub fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
) -> Result<(), SysError> {
    let mut attributes = Attributes([0; 24]);
    // { u32 target_fd; u32 attach_bpf_fd; u32 attach_type; u32 attach_flags; … }
    let number = |fd: BorrowedFd<'_>| u64::from(fd.as_raw_fd().unsigned_abs());
    attributes.0[0] = number(cgroup) | number(program) << 32;
    attributes.0[1] = ATTACH_CGROUP_DEVICE | F_ALLOW_MULTI << 32;
    bpf(PROG_ATTACH, &mut attributes)
        .map(drop)
        .map_err(SysError::of("bpf", || "PROG_ATTACH to a cgroup"))
}

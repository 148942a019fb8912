//! The ways a program can call one kernel.

use oci_spec::runtime::Arch;

use crate::table::{self, Numbers};

/// One way of calling the kernel: a table of numbers, and how arguments are passed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Abi {
    pub(crate) arch: Arch,
    /// `AUDIT_ARCH_*`, what a filter sees in `seccomp_data.arch`.
    pub(crate) audit: u32,
    /// Its column in the table of numbers.
    pub(crate) column: usize,
    /// Arguments have 64 bits. As for libseccomp, x32 has 32: its pointers and longs do.
    pub(crate) wide: bool,
    pub(crate) big_endian: bool,
}

const fn abi(arch: Arch, audit: u32, column: usize, wide: bool) -> Abi {
    // __AUDIT_ARCH_LE
    Abi { arch, audit, column, wide, big_endian: audit & 0x4000_0000 == 0 }
}

const X86_64: Abi = abi(Arch::ScmpArchX86_64, 0xc000_003e, table::X86_64, true);
const X86: Abi = abi(Arch::ScmpArchX86, 0x4000_0003, table::X86, false);
/// The kernel shows x32 as x86_64, and tells the two by bit 30 of the number.
const X32: Abi = abi(Arch::ScmpArchX32, X86_64.audit, table::X32, false);
const AARCH64: Abi = abi(Arch::ScmpArchAarch64, 0xc000_00b7, table::AARCH64, true);
const ARM: Abi = abi(Arch::ScmpArchArm, 0x4000_0028, table::ARM, false);
const RISCV64: Abi = abi(Arch::ScmpArchRiscv64, 0xc000_00f3, table::RISCV64, true);
const LOONGARCH64: Abi = abi(Arch::ScmpArchLoongarch64, 0xc000_0102, table::LOONGARCH64, true);
const PPC64LE: Abi = abi(Arch::ScmpArchPpc64le, 0xc000_0015, table::PPC64, true);
const PPC64: Abi = abi(Arch::ScmpArchPpc64, 0x8000_0015, table::PPC64, true);
const PPC: Abi = abi(Arch::ScmpArchPpc, 0x0000_0014, table::PPC, false);
const S390X: Abi = abi(Arch::ScmpArchS390x, 0x8000_0016, table::S390X, true);
const MIPSEL64: Abi = abi(Arch::ScmpArchMipsel64, 0xc000_0008, table::MIPS64, true);
const MIPSEL: Abi = abi(Arch::ScmpArchMipsel, 0x4000_0008, table::MIPS, false);
const MIPS64: Abi = abi(Arch::ScmpArchMips64, 0x8000_0008, table::MIPS64, true);
const MIPS: Abi = abi(Arch::ScmpArchMips, 0x0000_0008, table::MIPS, false);
const M68K: Abi = abi(Arch::ScmpArchM68k, 0x0000_0004, table::M68K, false);

/// Every architecture with a table.
pub(crate) const ALL: [Arch; 16] = [
    Arch::ScmpArchX86_64,
    Arch::ScmpArchX86,
    Arch::ScmpArchX32,
    Arch::ScmpArchAarch64,
    Arch::ScmpArchArm,
    Arch::ScmpArchRiscv64,
    Arch::ScmpArchLoongarch64,
    Arch::ScmpArchPpc64le,
    Arch::ScmpArchPpc64,
    Arch::ScmpArchPpc,
    Arch::ScmpArchS390x,
    Arch::ScmpArchMipsel64,
    Arch::ScmpArchMipsel,
    Arch::ScmpArchMips64,
    Arch::ScmpArchMips,
    Arch::ScmpArchM68k,
];

/// What a kernel of this architecture can be called by, itself first. Empty for one without a
/// table.
pub(crate) fn family(native: Arch) -> &'static [Abi] {
    match native {
        Arch::ScmpArchNative => family(NATIVE),
        Arch::ScmpArchX86_64 => &[X86_64, X86, X32],
        Arch::ScmpArchX86 => &[X86],
        Arch::ScmpArchX32 => &[X32],
        Arch::ScmpArchAarch64 => &[AARCH64, ARM],
        Arch::ScmpArchArm => &[ARM],
        Arch::ScmpArchRiscv64 => &[RISCV64],
        Arch::ScmpArchLoongarch64 => &[LOONGARCH64],
        Arch::ScmpArchPpc64le => &[PPC64LE],
        Arch::ScmpArchPpc64 => &[PPC64, PPC],
        Arch::ScmpArchPpc => &[PPC],
        Arch::ScmpArchS390x => &[S390X],
        Arch::ScmpArchMipsel64 => &[MIPSEL64, MIPSEL],
        Arch::ScmpArchMipsel => &[MIPSEL],
        Arch::ScmpArchMips64 => &[MIPS64, MIPS],
        Arch::ScmpArchMips => &[MIPS],
        Arch::ScmpArchM68k => &[M68K],
        Arch::ScmpArchMips64n32
        | Arch::ScmpArchMipsel64n32
        | Arch::ScmpArchS390
        | Arch::ScmpArchParisc
        | Arch::ScmpArchParisc64
        | Arch::ScmpArchSh
        | Arch::ScmpArchSheb => &[],
    }
}

/// The number of a system call, by its name in the kernel's headers.
#[must_use]
pub fn number(arch: Arch, name: &str) -> Option<u32> {
    Numbers::of(name)?.get(family(arch).first()?.column)
}

/// What this program is built for.
pub const NATIVE: Arch = native();

const fn native() -> Arch {
    let little = cfg!(target_endian = "little");
    if cfg!(target_arch = "x86_64") {
        Arch::ScmpArchX86_64
    } else if cfg!(target_arch = "x86") {
        Arch::ScmpArchX86
    } else if cfg!(target_arch = "aarch64") {
        Arch::ScmpArchAarch64
    } else if cfg!(target_arch = "arm") {
        Arch::ScmpArchArm
    } else if cfg!(target_arch = "riscv64") {
        Arch::ScmpArchRiscv64
    } else if cfg!(target_arch = "loongarch64") {
        Arch::ScmpArchLoongarch64
    } else if cfg!(target_arch = "powerpc64") {
        if little { Arch::ScmpArchPpc64le } else { Arch::ScmpArchPpc64 }
    } else if cfg!(target_arch = "s390x") {
        Arch::ScmpArchS390x
    } else {
        Arch::ScmpArchNative
    }
}

// An architecture without a table would be a filter that kills everything.
const _: () = assert!(!matches!(NATIVE, Arch::ScmpArchNative), "no table for this architecture");

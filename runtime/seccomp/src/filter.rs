//! The compiler's door.

use std::path::PathBuf;

use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompFilterFlag as Flag};
use serde::{Deserialize, Serialize};

use crate::abi::{self, Abi};
use crate::rules::Rules;
use crate::{CompileError, program};

/// The longest program that the kernel takes (`BPF_MAXINSNS`).
pub const INSTRUCTIONS_MAX: usize = 4096;

// SECCOMP_FILTER_FLAG_* of seccomp(2).
const LOG: u32 = 1 << 1;
const SPEC_ALLOW: u32 = 1 << 2;
const NEW_LISTENER: u32 = 1 << 3;
const WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// One instruction of classic BPF (`struct sock_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "(u16, u8, u8, u32)", into = "(u16, u8, u8, u32)")]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// How many instructions a conditional jump skips when it holds.
    pub jt: u8,
    /// And when it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

impl From<(u16, u8, u8, u32)> for Instruction {
    fn from((code, jt, jf, k): (u16, u8, u8, u32)) -> Self {
        Self { code, jt, jf, k }
    }
}

impl From<Instruction> for (u16, u8, u8, u32) {
    fn from(Instruction { code, jt, jf, k }: Instruction) -> Self {
        (code, jt, jf, k)
    }
}

/// Who is asked about the calls that have `SCMP_ACT_NOTIFY`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The unix socket that it listens on.
    pub path: PathBuf,
    /// What it is told besides the container's state.
    pub metadata: Option<String>,
}

/// A profile, compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The program.
    pub program: Vec<Instruction>,
    /// The flags for `seccomp(2)`.
    pub flags: u32,
    /// Set when a rule notifies: `seccomp(2)` then returns a descriptor, which goes there.
    pub listener: Option<Listener>,
    /// Names that no architecture knows: their rules have no effect.
    pub unknown: Vec<String>,
    /// Architectures that the profile names and whose programs are killed all the same: the kernel
    /// here does not run them, or their numbers are not known.
    pub left_out: Vec<Arch>,
}

/// Compiles a profile for a kernel of the architecture `native` ([`crate::NATIVE`] but in tests).
///
/// The architecture itself is always filtered, and of the others those that the profile names. What
/// calls the kernel in another way is killed, as libseccomp does it. Where the default action denies,
/// a call with a number above all that the profile names fails with `ENOSYS`: its author cannot have
/// meant it, and C libraries take another way then, where `EPERM` would be final.
///
/// `SECCOMP_FILTER_FLAG_TSYNC` is accepted and does nothing: the process that loads the filter has
/// one thread. `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV` has a meaning with a listener only.
///
/// # Errors
/// The first field that makes no sense, or that the program would be too long.
pub fn compile(profile: &LinuxSeccomp, native: Arch) -> Result<Filter, CompileError> {
    let family = abi::family(native);
    let Some(first) = family.first() else {
        return Err(CompileError::invalid(
            "architectures",
            format!("the system calls of {native} are not known"),
        ));
    };
    let rules = Rules::new(profile)?;
    let named = |arch: Arch| {
        let same = |other: &Arch| *other == arch;
        profile.architectures().as_deref().is_some_and(|list| list.iter().any(same))
    };
    let abis: Vec<&Abi> = family.iter().filter(|abi| *abi == first || named(abi.arch)).collect();
    let left_out = |arch: &&Arch| {
        **arch != Arch::ScmpArchNative && !family.iter().any(|abi| abi.arch == **arch)
    };
    let program = program::write(&rules, &abis);
    if program.len() > INSTRUCTIONS_MAX {
        return Err(CompileError::TooLong { instructions: program.len() });
    }
    Ok(Filter {
        program,
        flags: flags(profile, rules.notifies),
        listener: listener(profile, rules.notifies)?,
        unknown: rules.unknown,
        left_out: profile.architectures().iter().flatten().filter(left_out).copied().collect(),
    })
}

fn flags(profile: &LinuxSeccomp, notifies: bool) -> u32 {
    let asked = profile.flags().iter().flatten().map(|flag| match flag {
        Flag::SeccompFilterFlagLog => LOG,
        Flag::SeccompFilterFlagSpecAllow => SPEC_ALLOW,
        Flag::SeccompFilterFlagWaitKillableRecv if notifies => WAIT_KILLABLE_RECV,
        Flag::SeccompFilterFlagWaitKillableRecv | Flag::SeccompFilterFlagTsync => 0,
    });
    asked.fold(if notifies { NEW_LISTENER } else { 0 }, |all, flag| all | flag)
}

fn listener(profile: &LinuxSeccomp, notifies: bool) -> Result<Option<Listener>, CompileError> {
    let metadata = profile.listener_metadata().clone();
    let Some(path) = profile.listener_path().as_ref().filter(|path| !path.as_os_str().is_empty())
    else {
        let field = if metadata.is_some_and(|text| !text.is_empty()) {
            "listenerMetadata"
        } else if notifies {
            "SCMP_ACT_NOTIFY"
        } else {
            return Ok(None);
        };
        return Err(CompileError::invalid(field, "needs a listenerPath"));
    };
    if !notifies {
        return Ok(None);
    }
    if !path.is_absolute() {
        return Err(CompileError::invalid("listenerPath", "must be an absolute path"));
    }
    Ok(Some(Listener { path: path.clone(), metadata }))
}

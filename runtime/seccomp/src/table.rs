//! System call numbers by name and architecture.

#[path = "gen/syscalls.rs"]
mod generated;

pub(crate) use generated::{
    AARCH64, ARM, LOONGARCH64, M68K, MIPS, MIPS64, PPC, PPC64, RISCV64, S390X, X32, X86, X86_64,
};

/// There is no such call there.
const NONE: u32 = u32::MAX;

/// A call's number for each column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers(&'static Row);

type Row = [u32; generated::COLUMNS];

impl Numbers {
    /// The numbers of a call; `None` for a name that no architecture knows.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let index = generated::NAMES.binary_search(&name).ok()?;
        generated::NUMBERS.get(index).map(Self)
    }

    /// The number in one column.
    pub(crate) fn get(self, column: usize) -> Option<u32> {
        self.0.get(column).copied().filter(|number| *number != NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_found() {
        assert!(generated::NAMES.is_sorted());
        for name in generated::NAMES {
            assert!(Numbers::of(name).is_some(), "{name}");
        }
        assert!(Numbers::of("no such call").is_none());
    }

    #[test]
    fn numbers_are_the_kernels() {
        let of = |name, column| Numbers::of(name).and_then(|numbers| numbers.get(column));
        assert_eq!(of("execve", X86_64), Some(59));
        assert_eq!(of("execve", X86), Some(11));
        assert_eq!(of("execve", X32), Some(0x4000_0000 + 520));
        assert_eq!(of("execve", AARCH64), Some(221));
        assert_eq!(of("set_tls", ARM), Some(0x000f_0005));
        assert_eq!(of("fork", AARCH64), None);
        assert_eq!(of("openat2", MIPS64), Some(5437));
    }
}

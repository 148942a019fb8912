//! Runs a filter as the kernel does.

use corten_runtime_seccomp::Instruction;

/// `struct seccomp_data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) number: u32,
    pub(crate) arch: u32,
    pub(crate) args: [u64; 6],
}

impl Data {
    pub(crate) fn new(arch: u32, number: u32, args: [u64; 6]) -> Self {
        Self { number, arch, args }
    }

    fn word(&self, offset: u32, big_endian: bool) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            16..64 => {
                let index = usize::try_from((offset - 16) / 8).unwrap();
                let upper = (offset % 8 == 4) != big_endian;
                let word = if upper { self.args[index] >> 32 } else { self.args[index] };
                u32::try_from(word & 0xffff_ffff).unwrap()
            }
            other => panic!("a load from {other}"),
        }
    }
}

/// What a filter returns, and how many instructions it took.
pub(crate) fn run(program: &[Instruction], data: &Data) -> (u32, usize) {
    // __AUDIT_ARCH_LE
    run_with(program, data, data.arch & 0x4000_0000 == 0)
}

fn run_with(program: &[Instruction], data: &Data, big_endian: bool) -> (u32, usize) {
    let (mut at, mut steps) = (0, 0);
    let (mut a, mut memory) = (0_u32, [0_u32; 16]);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        steps += 1;
        let mut jump = |holds: bool| at += usize::from(if holds { jt } else { jf });
        match code {
            0x20 => {
                assert_eq!(k % 4, 0, "a load that is not aligned");
                a = data.word(k, big_endian);
            }
            0x54 => a &= k,
            0x05 => at += usize::try_from(k).unwrap(),
            0x06 => return (k, steps),
            0x15 => jump(a == k),
            0x25 => jump(a > k),
            0x35 => jump(a >= k),
            0x45 => jump(a & k != 0),
            // libseccomp keeps words in the scratch memory.
            0x02 => memory[usize::try_from(k).unwrap()] = a,
            0x60 => a = memory[usize::try_from(k).unwrap()],
            other => panic!("operation {other:#x}"),
        }
    }
}

/// What the kernel checks before it takes a program (`bpf_check_classic`, `seccomp_check_filter`).
pub(crate) fn check(program: &[Instruction]) {
    assert!((1..=corten_runtime_seccomp::INSTRUCTIONS_MAX).contains(&program.len()));
    for (at, Instruction { code, jt, jf, k }) in program.iter().enumerate() {
        let inside = |skip: usize| assert!(at + 1 + skip < program.len(), "a jump out at {at}");
        match code {
            0x20 => assert!(k % 4 == 0 && *k < 64),
            0x15 | 0x25 | 0x35 => {
                inside(usize::from(*jt));
                inside(usize::from(*jf));
            }
            0x05 => inside(usize::try_from(*k).unwrap()),
            0x54 | 0x06 => (),
            other => panic!("operation {other:#x}"),
        }
    }
    assert_eq!(program.last().unwrap().code, 0x06, "the last one returns");
}

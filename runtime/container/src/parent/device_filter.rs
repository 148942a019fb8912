//! Device rules as a program for cgroup v2 (`BPF_PROG_TYPE_CGROUP_DEVICE`).

use corten_runtime_cgroup::{DeviceAccess, DeviceKind, DeviceRule};
use corten_sys_linux::bpf::Instruction;

// Operations (Documentation/bpf/standardization/instruction-set.rst).
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xbf;
const MOVE_NUMBER: u8 = 0xb7;
const AND_32: u8 = 0x54;
const SHIFT_RIGHT_32: u8 = 0x74;
const JUMP_UNEQUAL: u8 = 0x55;
const JUMP_EQUAL: u8 = 0x15;
const EXIT: u8 = 0x95;

// What the kernel asks about: struct bpf_cgroup_dev_ctx { access_type, major, minor }, the access
// in the upper half of access_type and the kind in the lower.
const KIND_BLOCK: i32 = 1;
const KIND_CHAR: i32 = 2;
const ACCESS_MKNOD: i32 = 1;
const ACCESS_READ: i32 = 2;
const ACCESS_WRITE: i32 = 4;

// Registers.
const RESULT: u8 = 0;
const SCRATCH: u8 = 1;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const MAJOR: u8 = 3;
const MINOR: u8 = 4;
const ACCESS: u8 = 5;

const fn op(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: to | from << 4, offset, immediate }
}

/// The last rule that fits counts, so they are asked from the last to the first; none fits: denied.
pub(super) fn compile(rules: &[DeviceRule]) -> Vec<Instruction> {
    let mut program = vec![
        op(LOAD_WORD, KIND, CONTEXT, 0, 0),
        op(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        op(LOAD_WORD, MINOR, CONTEXT, 8, 0),
        op(MOVE, ACCESS, KIND, 0, 0),
        op(SHIFT_RIGHT_32, ACCESS, 0, 0, 16),
        op(AND_32, KIND, 0, 0, 0xffff),
    ];
    for rule in rules.iter().rev() {
        let block = block(rule);
        let unconditional = block.len() == 2;
        program.extend(block);
        if unconditional {
            // Nothing after it can be reached, and the verifier refuses what cannot.
            return program;
        }
    }
    program.extend([op(MOVE_NUMBER, RESULT, 0, 0, 0), op(EXIT, 0, 0, 0, 0)]);
    program
}

/// One rule: jumps past its own end where it does not fit.
fn block(rule: &DeviceRule) -> Vec<Instruction> {
    let mut tests = Vec::new();
    match rule.kind {
        DeviceKind::All => (),
        DeviceKind::Block => tests.push(op(JUMP_UNEQUAL, KIND, 0, 0, KIND_BLOCK)),
        DeviceKind::Char => tests.push(op(JUMP_UNEQUAL, KIND, 0, 0, KIND_CHAR)),
    }
    for (register, number) in [(MAJOR, rule.major), (MINOR, rule.minor)] {
        if let Some(number) = number {
            tests.push(op(JUMP_UNEQUAL, register, 0, 0, number.cast_signed()));
        }
    }
    let DeviceAccess { read, write, mknod } = rule.access;
    let bit = |set: bool, bit: i32| if set { bit } else { 0 };
    let mask = bit(read, ACCESS_READ) | bit(write, ACCESS_WRITE) | bit(mknod, ACCESS_MKNOD);
    if mask != ACCESS_READ | ACCESS_WRITE | ACCESS_MKNOD {
        tests.push(op(MOVE, SCRATCH, ACCESS, 0, 0));
        if rule.allow {
            // All that is asked for must be allowed by it.
            tests.push(op(AND_32, SCRATCH, 0, 0, !mask));
            tests.push(op(JUMP_UNEQUAL, SCRATCH, 0, 0, 0));
        } else {
            // Any that is asked for is denied by it.
            tests.push(op(AND_32, SCRATCH, 0, 0, mask));
            tests.push(op(JUMP_EQUAL, SCRATCH, 0, 0, 0));
        }
    }
    tests.extend([op(MOVE_NUMBER, RESULT, 0, 0, i32::from(rule.allow)), op(EXIT, 0, 0, 0, 0)]);
    let end = tests.len();
    for (at, test) in tests.iter_mut().enumerate() {
        if matches!(test.code, JUMP_UNEQUAL | JUMP_EQUAL) {
            // A jump counts from the instruction after it; a block has at most eight.
            test.offset = i16::try_from(end - at - 1).unwrap_or(i16::MAX);
        }
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel would, on the few operations that it uses.
    fn ask(program: &[Instruction], kind: i32, major: u32, minor: u32, access: i32) -> bool {
        let context = [(access << 16 | kind).cast_unsigned(), major, minor];
        let mut registers = [0_i64; 6];
        let mut at = 0;
        loop {
            let Instruction { code, registers: r, offset, immediate } = program[at];
            let (to, from) = (usize::from(r & 15), usize::from(r >> 4));
            at += 1;
            let jump = usize::try_from(offset).unwrap();
            match code {
                LOAD_WORD => registers[to] = i64::from(context[jump / 4]),
                MOVE => registers[to] = registers[from],
                MOVE_NUMBER => registers[to] = i64::from(immediate),
                AND_32 => registers[to] &= i64::from(immediate.cast_unsigned()),
                SHIFT_RIGHT_32 => registers[to] >>= immediate,
                JUMP_UNEQUAL if registers[to] != i64::from(immediate) => at += jump,
                JUMP_EQUAL if registers[to] == i64::from(immediate) => at += jump,
                JUMP_UNEQUAL | JUMP_EQUAL => (),
                EXIT => return registers[0] != 0,
                other => panic!("operation {other:#x}"),
            }
        }
    }

    fn rule(
        allow: bool,
        kind: DeviceKind,
        numbers: Option<(u32, u32)>,
        access: &str,
    ) -> DeviceRule {
        let has = |letter| access.contains(letter);
        DeviceRule {
            allow,
            kind,
            major: numbers.map(|(major, _)| major),
            minor: numbers.map(|(_, minor)| minor),
            access: DeviceAccess { read: has('r'), write: has('w'), mknod: has('m') },
        }
    }

    #[test]
    fn the_last_rule_that_fits_counts() {
        let program = compile(&[
            rule(false, DeviceKind::All, None, "rwm"),
            rule(true, DeviceKind::Char, Some((1, 3)), "rw"),
            rule(true, DeviceKind::Block, None, "m"),
            rule(false, DeviceKind::Char, Some((1, 3)), "w"),
        ]);
        assert!(ask(&program, KIND_CHAR, 1, 3, ACCESS_READ));
        assert!(!ask(&program, KIND_CHAR, 1, 3, ACCESS_READ | ACCESS_WRITE));
        assert!(!ask(&program, KIND_CHAR, 1, 3, ACCESS_MKNOD));
        assert!(!ask(&program, KIND_CHAR, 1, 5, ACCESS_READ));
        assert!(ask(&program, KIND_BLOCK, 8, 0, ACCESS_MKNOD));
        assert!(!ask(&program, KIND_BLOCK, 8, 0, ACCESS_MKNOD | ACCESS_READ));
    }

    #[test]
    fn without_rules_all_is_denied_and_an_allow_all_ends_the_program() {
        assert!(!ask(&compile(&[]), KIND_CHAR, 1, 3, ACCESS_READ));
        let program = compile(&[
            rule(false, DeviceKind::Char, None, "r"),
            rule(true, DeviceKind::All, None, "rwm"),
        ]);
        assert!(ask(&program, KIND_CHAR, 1, 3, ACCESS_READ));
        assert_eq!(program.len(), 8);
    }

    /// The verifier is the judge of what was written.
    #[test]
    fn the_kernel_takes_it() {
        corten_tests_harness::skip_unless!(corten_tests_harness::is_root(), "bpf needs root");
        let program = compile(&[
            rule(false, DeviceKind::All, None, "rwm"),
            rule(true, DeviceKind::Char, Some((1, 3)), "rwm"),
            rule(true, DeviceKind::Block, None, "m"),
            rule(false, DeviceKind::Char, Some((10, 200)), "w"),
        ]);
        corten_sys_linux::bpf::load_device_program(&program).unwrap();
    }
}

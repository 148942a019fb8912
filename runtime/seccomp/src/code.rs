//! Writes classic BPF from its end to its beginning.
//!
//! Jumps only go forward, and a conditional one at most 255 instructions. Written backwards, every
//! target is there before the jump to it, so distances are known at once, and what has moved too
//! far off gets a copy (a return) or a stepping stone (anything else) nearby.

use std::collections::HashMap;

use crate::Instruction;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA

/// The comparisons of a conditional jump, unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Condition {
    Equal = 0x15,
    Above = 0x25,
    AtLeast = 0x35,
}

/// Where a jump goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The end, with this value.
    Return(u32),
    /// An instruction, counted from the program's end; the last one is 1.
    At(usize),
}

/// A program being written.
#[derive(Debug, Default)]
pub(crate) struct Code {
    reversed: Vec<Instruction>,
    /// The latest return of each value.
    returns: HashMap<u32, usize>,
}

impl Code {
    fn push(&mut self, code: u16, k: u32, jt: u8, jf: u8) -> usize {
        self.reversed.push(Instruction { code, jt, jf, k });
        self.reversed.len()
    }

    /// How many instructions would be skipped by a jump written now.
    fn distance(&self, to: usize) -> usize {
        self.reversed.len() - to
    }

    /// Brings a target within `reach` of a jump written now.
    fn near(&mut self, target: Target, reach: usize) -> usize {
        match target {
            Target::Return(value) => match self.returns.get(&value) {
                Some(at) if self.distance(*at) <= reach => *at,
                _far => {
                    let at = self.push(RETURN, value, 0, 0);
                    self.returns.insert(value, at);
                    at
                }
            },
            Target::At(at) if self.distance(at) <= reach => at,
            Target::At(at) => {
                // A program is bounded long before 32 bits are.
                let skip = u32::try_from(self.distance(at)).unwrap_or(u32::MAX);
                self.push(JUMP, skip, 0, 0)
            }
        }
    }

    /// Makes a target the next instruction.
    fn next(&mut self, target: Target) {
        let at = match target {
            Target::At(at) => at,
            Target::Return(_) => self.near(target, 0),
        };
        if self.distance(at) > 0 {
            self.near(Target::At(at), 0);
        }
    }

    /// Compares what is loaded with `k`.
    pub(crate) fn branch(
        &mut self,
        condition: Condition,
        k: u32,
        yes: Target,
        no: Target,
    ) -> Target {
        if yes == no {
            return yes;
        }
        // Bringing the second near puts one instruction between at most.
        let yes = self.near(yes, 254);
        let no = self.near(no, 255);
        let offset = |to| u8::try_from(self.distance(to)).unwrap_or(u8::MAX);
        let (jt, jf) = (offset(yes), offset(no));
        Target::At(self.push(condition as u16, k, jt, jf))
    }

    /// Loads a word of `seccomp_data`, masks it, and goes on.
    pub(crate) fn load(&mut self, offset: u32, mask: u32, then: Target) -> Target {
        if let Target::Return(_) = then {
            return then;
        }
        self.next(then);
        if mask != u32::MAX {
            self.push(AND, mask, 0, 0);
        }
        Target::At(self.push(LOAD, offset, 0, 0))
    }

    /// Finds the range that what is loaded lies in. The ranges are sorted by their starts; the first
    /// starts at 0.
    pub(crate) fn search(&mut self, ranges: &[(u32, Target)]) -> Target {
        match ranges {
            [] => Target::Return(crate::action::KILL_THREAD),
            [(_, only)] => *only,
            [(_, below), (one, at), (next, above)] if below == above && *next == one + 1 => {
                self.branch(Condition::Equal, *one, *at, *below)
            }
            [(_, below), (one, above)] => self.branch(Condition::AtLeast, *one, *above, *below),
            _more => {
                let (left, right) = ranges.split_at(ranges.len() / 2);
                let start = right.first().map_or(0, |(start, _)| *start);
                let right = self.search(right);
                let left = self.search(left);
                self.branch(Condition::AtLeast, start, right, left)
            }
        }
    }

    /// The program, beginning with `first`.
    pub(crate) fn finish(mut self, first: Target) -> Vec<Instruction> {
        self.next(first);
        self.reversed.reverse();
        self.reversed
    }
}

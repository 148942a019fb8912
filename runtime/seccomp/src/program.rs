//! From verdicts to a program.

use std::collections::{BTreeMap, HashMap};

use crate::abi::Abi;
use crate::code::{Code, Condition, Target};
use crate::rules::{Compare, Rule, Rules, Test, Verdict};
use crate::{Instruction, action};

// Where the parts of struct seccomp_data lie (linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// x32's numbers have this bit (`__X32_SYSCALL_BIT`).
const X32_BIT: u32 = 0x4000_0000;

/// Ranges of numbers, each from its start to the next one's.
#[derive(Debug, Default)]
struct Ranges<'a>(Vec<(u32, &'a Abi, Verdict)>);

impl<'a> Ranges<'a> {
    fn push(&mut self, start: u32, abi: &'a Abi, verdict: Verdict) {
        if self.0.last().is_some_and(|(last, ..)| *last == start) {
            self.0.pop();
        }
        let same = |(_, before, last): &(u32, &Abi, Verdict)| {
            *last == verdict && (last.rules.is_empty() || *before == abi)
        };
        if !self.0.last().is_some_and(same) {
            self.0.push((start, abi, verdict));
        }
    }

    /// The numbers of one way of calling, from `first` on.
    fn fill(&mut self, first: u32, abi: &'a Abi, rules: &Rules) {
        let (calls, highest) = rules.on(abi);
        let default = Verdict::always(rules.default);
        self.push(first, abi, default.clone());
        for (number, verdict) in calls {
            self.push(number, abi, verdict);
            self.push(number + 1, abi, default.clone());
        }
        if let (true, Some(highest)) = (rules.hides_unknown, highest) {
            self.push(highest + 1, abi, Verdict::always(action::NO_SUCH_CALL));
            if abi.arch == oci_spec::runtime::Arch::ScmpArchS390x {
                // Numbers above 255 come through call 0, and one that the kernel does not know
                // keeps this number.
                if let Some((_, _, zero)) = self.0.first_mut() {
                    *zero = Verdict::always(action::NO_SUCH_CALL);
                }
                if self.0.get(1).is_none_or(|(next, ..)| *next > 1) {
                    self.0.insert(1, (1, abi, default));
                }
            }
        }
    }
}

/// Writes the program for these ways of calling, the most frequent first.
pub(crate) fn write(rules: &Rules, abis: &[&Abi]) -> Vec<Instruction> {
    let mut kernels: Vec<(u32, Vec<&Abi>)> = Vec::new();
    for abi in abis {
        match kernels.iter_mut().find(|(audit, _)| *audit == abi.audit) {
            Some((_, shared)) => shared.push(abi),
            None => kernels.push((abi.audit, vec![abi])),
        }
    }
    let mut code = Code::default();
    // Anything else has no rules that could judge it.
    let mut next = Target::Return(action::KILL_THREAD);
    for (audit, abis) in kernels.iter().rev() {
        let ranges = ranges(rules, abis);
        let judge = judge(&mut code, &ranges);
        let judge = code.load(NUMBER, u32::MAX, judge);
        next = code.branch(Condition::Equal, *audit, judge, next);
    }
    let first = code.load(ARCHITECTURE, u32::MAX, next);
    code.finish(first)
}

fn ranges<'a>(rules: &Rules, abis: &[&'a Abi]) -> Ranges<'a> {
    use oci_spec::runtime::Arch::{ScmpArchX32, ScmpArchX86_64};
    let find = |arch| abis.iter().copied().find(|abi: &&Abi| abi.arch == arch);
    let mut ranges = Ranges::default();
    match (find(ScmpArchX86_64), find(ScmpArchX32)) {
        (None, None) => {
            for abi in abis {
                ranges.fill(0, abi, rules);
            }
        }
        (Some(native), None) => {
            ranges.fill(0, native, rules);
            ranges.push(X32_BIT, native, Verdict::always(action::KILL_THREAD));
            // Not x32: what a tracer writes to skip a call.
            ranges.push(u32::MAX, native, Verdict::always(rules.default));
        }
        (native, Some(x32)) => {
            match native {
                Some(native) => ranges.fill(0, native, rules),
                None => ranges.push(0, x32, Verdict::always(action::KILL_THREAD)),
            }
            ranges.fill(X32_BIT, x32, rules);
        }
    }
    ranges
}

fn judge(code: &mut Code, ranges: &Ranges<'_>) -> Target {
    let mut known: HashMap<(bool, &Verdict), Target> = HashMap::new();
    let targets: Vec<(u32, Target)> = ranges
        .0
        .iter()
        .map(|(start, abi, verdict)| {
            let target = match verdict.rules.as_slice() {
                [] => Target::Return(verdict.otherwise),
                rules => *known.entry((abi.wide, verdict)).or_insert_with(|| {
                    Judge { code: &mut *code, abi }.rules(rules, verdict.otherwise)
                }),
            };
            (*start, target)
        })
        .collect();
    code.search(&targets)
}

/// Writes the conditions of one call.
struct Judge<'a, 'b> {
    code: &'a mut Code,
    abi: &'b Abi,
}

impl Judge<'_, '_> {
    fn rules(&mut self, mut rules: &[Rule], otherwise: u32) -> Target {
        let mut next = Target::Return(otherwise);
        while let Some(last) = rules.last() {
            let many = rules.iter().rev().take_while(|rule| self.alike(rule, last)).count();
            if many > 1 {
                let (rest, group) = rules.split_at(rules.len() - many);
                next = self.choice(group, next);
                rules = rest;
                continue;
            }
            let mut then = Target::Return(last.returns);
            for test in last.tests.iter().rev() {
                then = self.test(*test, then, next);
            }
            next = then;
            rules = &rules[..rules.len() - 1];
        }
        next
    }

    /// Whether both only ask if one argument has a certain value, with the same upper half.
    fn alike(&self, one: &Rule, other: &Rule) -> bool {
        let plain = |rule: &Rule| match rule.tests.as_slice() {
            [test] if test.compare == Compare::Equal && !test.negated && test.mask == u64::MAX => {
                Some((test.argument, if self.abi.wide { high(test.value) } else { 0 }))
            }
            _more => None,
        };
        plain(one).is_some_and(|what| plain(other) == Some(what))
    }

    /// Such rules are one search among values.
    fn choice(&mut self, rules: &[Rule], next: Target) -> Target {
        let mut values = BTreeMap::new();
        let mut what = None;
        for Rule { tests, returns } in rules {
            for test in tests {
                values.entry(low(test.value)).or_insert(Target::Return(*returns));
                what = Some(*test);
            }
        }
        let Some(what) = what else { return next };
        let mut ranges: Vec<(u32, Target)> = vec![(0, next)];
        let mut push = |start: u32, target: Target| {
            if ranges.last().is_some_and(|(last, _)| *last == start) {
                ranges.pop();
            }
            if ranges.last().is_none_or(|(_, last)| *last != target) {
                ranges.push((start, target));
            }
        };
        for (value, target) in values {
            push(value, target);
            if let Some(after) = value.checked_add(1) {
                push(after, next);
            }
        }
        let found = self.code.search(&ranges);
        let found = self.load_low(what.argument, u32::MAX, found);
        self.upper_half_equals(what, found, next)
    }

    fn test(&mut self, test: Test, yes: Target, no: Target) -> Target {
        let (yes, no) = if test.negated { (no, yes) } else { (yes, no) };
        let condition = match test.compare {
            Compare::Equal => {
                let mask = low(test.mask);
                let lower = if mask == 0 && low(test.value) == 0 {
                    yes
                } else {
                    let lower = self.code.branch(Condition::Equal, low(test.value), yes, no);
                    self.load_low(test.argument, mask, lower)
                };
                return self.upper_half_equals(test, lower, no);
            }
            Compare::AtLeast => Condition::AtLeast,
            Compare::Above => Condition::Above,
        };
        let lower = self.code.branch(condition, low(test.value), yes, no);
        let lower = self.load_low(test.argument, u32::MAX, lower);
        if !self.abi.wide {
            return lower;
        }
        let upper = high(test.value);
        let same = self.code.branch(Condition::Equal, upper, lower, no);
        let either = self.code.branch(Condition::Above, upper, yes, same);
        self.load_high(test.argument, u32::MAX, either)
    }

    fn upper_half_equals(&mut self, test: Test, yes: Target, no: Target) -> Target {
        let (mask, value) = (high(test.mask), high(test.value));
        if !self.abi.wide || (mask == 0 && value == 0) {
            return yes;
        }
        let equal = self.code.branch(Condition::Equal, value, yes, no);
        self.load_high(test.argument, mask, equal)
    }

    fn load_low(&mut self, argument: u32, mask: u32, then: Target) -> Target {
        let offset = ARGUMENTS + 8 * argument + if self.abi.big_endian { 4 } else { 0 };
        self.code.load(offset, mask, then)
    }

    fn load_high(&mut self, argument: u32, mask: u32, then: Target) -> Target {
        let offset = ARGUMENTS + 8 * argument + if self.abi.big_endian { 0 } else { 4 };
        self.code.load(offset, mask, then)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
const fn low(value: u64) -> u32 {
    value as u32
}

const fn high(value: u64) -> u32 {
    low(value >> 32)
}

//! What a profile means, per architecture.
//!
//! - A rule whose action is the default one says nothing, and is left out.
//! - A rule without conditions decides its call, whatever other rules say of it; the first of
//!   several such counts.
//! - Else the first rule whose conditions all hold decides, and if there is none, the default.
//! - A rule with two conditions on one argument is as many rules as it has conditions: so runc and
//!   crun read it, and profiles are written for that.
//! - Where one call carries many (`socketcall`, `ipc`), a rule for one of the many is also a rule
//!   for the carrier with that call's number. The arguments then lie behind a pointer, which no
//!   filter can follow, so conditions on them do not count.

use std::collections::BTreeMap;

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompArg, LinuxSeccompOperator as Operator, LinuxSyscall,
};

use crate::abi::Abi;
use crate::table::Numbers;
use crate::{CompileError, INSTRUCTIONS_MAX, action};

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Compare {
    Equal,
    AtLeast,
    Above,
}

/// A condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Test {
    pub(crate) argument: u32,
    /// Which bits of the argument count.
    pub(crate) mask: u64,
    pub(crate) compare: Compare,
    pub(crate) value: u64,
    /// It holds where the comparison does not.
    pub(crate) negated: bool,
}

/// Conditions that must all hold, and what the filter returns then.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Rule {
    pub(crate) tests: Vec<Test>,
    pub(crate) returns: u32,
}

/// What becomes of a call: the first rule that holds, else the last word.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Verdict {
    pub(crate) rules: Vec<Rule>,
    pub(crate) otherwise: u32,
}

impl Verdict {
    pub(crate) fn always(returns: u32) -> Self {
        Self { rules: Vec::new(), otherwise: returns }
    }
}

/// A rule of the profile for one name, on no architecture yet.
#[derive(Debug)]
struct Named {
    numbers: Numbers,
    /// The calls that may carry it, and its number there.
    carried: Option<(&'static str, Test)>,
    /// Each of them alone is enough; none: no condition.
    alternatives: Vec<Vec<Test>>,
    /// `None` where the rule only repeats the default action.
    returns: Option<u32>,
}

/// A profile that has been read.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) default: u32,
    /// Calls that the profile's author could not know do not exist.
    pub(crate) hides_unknown: bool,
    pub(crate) notifies: bool,
    /// Names that no architecture knows.
    pub(crate) unknown: Vec<String>,
    named: Vec<Named>,
}

impl Rules {
    /// Reads a profile.
    pub(crate) fn new(profile: &LinuxSeccomp) -> Result<Self, CompileError> {
        use oci_spec::runtime::LinuxSeccompAction::ScmpActNotify;
        let errno = profile.default_errno_ret();
        let default = action::value(profile.default_action(), errno, "defaultErrnoRet")?;
        if profile.default_action() == ScmpActNotify {
            return Err(CompileError::invalid(
                "defaultAction",
                "cannot be SCMP_ACT_NOTIFY: the call that hands over the listener would wait for it",
            ));
        }
        let mut made = Self {
            default,
            hides_unknown: !action::lets_pass(profile.default_action()),
            notifies: false,
            unknown: Vec::new(),
            named: Vec::new(),
        };
        let mut conditions = 0;
        for (index, rule) in profile.syscalls().iter().flatten().enumerate() {
            let field = format!("syscalls[{index}]");
            let errno = format!("{field}.errnoRet");
            let returns = action::value(rule.action(), rule.errno_ret(), &errno)?;
            let alternatives = alternatives(rule, &field)?;
            conditions += alternatives.iter().flatten().count() * rule.names().len();
            if conditions > INSTRUCTIONS_MAX {
                // Each takes an instruction at least.
                return Err(CompileError::TooLong { instructions: conditions });
            }
            if rule.action() == ScmpActNotify {
                made.notifies = true;
                if rule.names().iter().any(|name| name == "write") {
                    return Err(CompileError::invalid(
                        format!("{field}.names"),
                        "write cannot have SCMP_ACT_NOTIFY: with it the listener is handed over",
                    ));
                }
            }
            made.add(rule, &field, &alternatives, (returns != default).then_some(returns))?;
        }
        Ok(made)
    }

    fn add(
        &mut self,
        rule: &LinuxSyscall,
        field: &str,
        alternatives: &[Vec<Test>],
        returns: Option<u32>,
    ) -> Result<(), CompileError> {
        if rule.names().is_empty() {
            return Err(CompileError::invalid(format!("{field}.names"), "is empty"));
        }
        for (index, name) in rule.names().iter().enumerate() {
            if name.is_empty() {
                return Err(CompileError::invalid(format!("{field}.names[{index}]"), "is empty"));
            }
            let Some(numbers) = Numbers::of(name) else {
                self.unknown.push(name.clone());
                continue;
            };
            self.named.push(Named {
                numbers,
                carried: carrier(name),
                alternatives: alternatives.to_vec(),
                returns,
            });
        }
        Ok(())
    }

    /// The verdict for each number that the profile names, and the highest of these numbers.
    pub(crate) fn on(&self, abi: &Abi) -> (BTreeMap<u32, Verdict>, Option<u32>) {
        let mut calls: BTreeMap<u32, Call> = BTreeMap::new();
        let mut highest = None;
        for named in &self.named {
            let direct = named.numbers.get(abi.column);
            let carrier = named
                .carried
                .and_then(|(carrier, test)| Some((Numbers::of(carrier)?.get(abi.column)?, test)));
            // Who knows a call knows what carries it.
            highest = highest.max(direct).max(carrier.map(|(number, _)| number));
            let Some(returns) = named.returns else { continue };
            if let Some(number) = direct {
                let call = calls.entry(number).or_default();
                if named.alternatives.is_empty() {
                    call.always.get_or_insert(returns);
                }
                let rules = named.alternatives.iter().cloned();
                call.rules.extend(rules.map(|tests| Rule { tests, returns }));
            }
            if let Some((number, test)) = carrier {
                let rule = Rule { tests: vec![test], returns };
                let rules = &mut calls.entry(number).or_default().rules;
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
        let verdict = |call: Call| match call.always {
            Some(returns) => Verdict::always(returns),
            None => Verdict { rules: call.rules, otherwise: self.default },
        };
        (calls.into_iter().map(|(number, call)| (number, verdict(call))).collect(), highest)
    }
}

/// The rules of one number, as they are gathered.
#[derive(Debug, Default)]
struct Call {
    rules: Vec<Rule>,
    always: Option<u32>,
}

/// The conditions of a rule: all of one list must hold.
fn alternatives(rule: &LinuxSyscall, field: &str) -> Result<Vec<Vec<Test>>, CompileError> {
    let Some(args) = rule.args().as_deref().filter(|args| !args.is_empty()) else {
        return Ok(Vec::new());
    };
    let mut seen = [false; 6];
    let mut several = false;
    let mut tests = Vec::new();
    for (index, arg) in args.iter().enumerate() {
        let Some(seen) = seen.get_mut(arg.index()) else {
            return Err(CompileError::invalid(
                format!("{field}.args[{index}].index"),
                format!("{} is not between 0 and 5: a system call has six arguments", arg.index()),
            ));
        };
        several |= std::mem::replace(seen, true);
        tests.push(test(arg));
    }
    Ok(if several { tests.into_iter().map(|test| vec![test]).collect() } else { vec![tests] })
}

fn test(arg: &LinuxSeccompArg) -> Test {
    let (compare, negated) = match arg.op() {
        Operator::ScmpCmpEq | Operator::ScmpCmpMaskedEq => (Compare::Equal, false),
        Operator::ScmpCmpNe => (Compare::Equal, true),
        Operator::ScmpCmpGe => (Compare::AtLeast, false),
        Operator::ScmpCmpLt => (Compare::AtLeast, true),
        Operator::ScmpCmpGt => (Compare::Above, false),
        Operator::ScmpCmpLe => (Compare::Above, true),
    };
    let (mask, value) = if arg.op() == Operator::ScmpCmpMaskedEq {
        (arg.value(), arg.value_two().unwrap_or(0))
    } else {
        (u64::MAX, arg.value())
    };
    // Between 0 and 5.
    let argument = u32::try_from(arg.index()).unwrap_or(u32::MAX);
    Test { argument, mask, compare, value, negated }
}

/// The calls that `socketcall` carries, from number 1 on (linux/net.h).
const SOCKET_CALLS: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// The calls that `ipc` carries, and their numbers (linux/ipc.h).
const IPC_CALLS: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

fn carrier(name: &str) -> Option<(&'static str, Test)> {
    let test =
        |mask, value| Test { argument: 0, mask, compare: Compare::Equal, value, negated: false };
    if let Some(index) = SOCKET_CALLS.iter().position(|call| *call == name) {
        // The kernel takes it as an int.
        return Some(("socketcall", test(0xffff_ffff, u64::try_from(index).ok()? + 1)));
    }
    let (_, number) = IPC_CALLS.iter().find(|(call, _)| *call == name)?;
    // The upper half is the version of the call's interface, which the kernel cuts off.
    Some(("ipc", test(0xffff, *number)))
}

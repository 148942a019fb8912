//! `devices`: which device nodes may be opened or made. A controller of v1 only; on v2 the same is
//! done by a BPF program, which is loaded where the container is made.

use std::fmt::Write as _;

use super::set;
use crate::resources::Missing;
use crate::{Cgroup, DeviceKind, DeviceRule, Error, Resources};

pub(crate) const NAME: &str = "devices";

pub(crate) fn apply(
    group: &Cgroup,
    wanted: &Resources,
    missing: &mut Missing,
) -> Result<(), Error> {
    let Some(rules) = &wanted.devices else { return Ok(()) };
    for rule in rules {
        let (file, line) = v1_line(rule)?;
        set(group, missing, NAME, "devices", file, &line)?;
    }
    Ok(())
}

/// The file to write to and what to write (`Documentation/admin-guide/cgroup-v1/devices.rst`).
/// The kernel takes each line as a change to the list it has, so the last one counts.
fn v1_line(rule: &DeviceRule) -> Result<(&'static str, String), Error> {
    let file = if rule.allow { "devices.allow" } else { "devices.deny" };
    let kind = match rule.kind {
        // The kernel takes `a` for everything, whatever follows it; a rule that means less must
        // not become one that means all.
        DeviceKind::All => {
            let access = rule.access;
            let whole = rule.major.is_none() && rule.minor.is_none();
            if !(whole && access.read && access.write && access.mknod) {
                return Err(Error::InvalidValue {
                    field: "devices".to_owned(),
                    value: format!("{rule:?}"),
                    reason: "a rule for all kinds must be for all numbers and all access; \
                             write one for char and one for block",
                });
            }
            return Ok((file, "a".to_owned()));
        }
        DeviceKind::Char => 'c',
        DeviceKind::Block => 'b',
    };
    let mut line = String::new();
    let number = |number: Option<u32>| number.map_or("*".to_owned(), |n| n.to_string());
    write!(line, "{kind} {}:{} ", number(rule.major), number(rule.minor)).unwrap_or_default();
    for (set, letter) in
        [(rule.access.read, 'r'), (rule.access.write, 'w'), (rule.access.mknod, 'm')]
    {
        if set {
            line.push(letter);
        }
    }
    Ok((file, line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceAccess;

    const ALL: DeviceAccess = DeviceAccess { read: true, write: true, mknod: true };

    #[test]
    fn rules_as_the_kernel_takes_them() {
        let rule =
            |allow, kind, major, minor, access| DeviceRule { allow, kind, major, minor, access };
        let read = DeviceAccess { read: true, write: false, mknod: false };
        for (rule, expected) in [
            (rule(false, DeviceKind::All, None, None, ALL), ("devices.deny", "a")),
            (rule(true, DeviceKind::Char, Some(1), Some(3), ALL), ("devices.allow", "c 1:3 rwm")),
            (rule(true, DeviceKind::Block, None, None, read), ("devices.allow", "b *:* r")),
        ] {
            let (file, line) = v1_line(&rule).unwrap();
            assert_eq!((file, line.as_str()), expected);
        }
    }

    #[test]
    fn a_narrow_rule_never_becomes_a_wide_one() {
        let rule = DeviceRule {
            allow: true,
            kind: DeviceKind::All,
            major: Some(1),
            minor: None,
            access: ALL,
        };
        v1_line(&rule).unwrap_err();
    }
}

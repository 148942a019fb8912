//! Limits as systemd's properties (systemd.resource-control(5)), so that a `daemon-reload` keeps
//! them.

use super::message::Value;
use crate::controller::cpu::{shares_from_weight, weight_from_shares};
use crate::resources::Limit;
use crate::{DeviceKind, DeviceRule, Resources, Version};

/// How systemd counts "no limit".
const INFINITY: u64 = u64::MAX;
/// systemd rounds quotas to this, and refuses what rounds to nothing.
const QUOTA_STEP_US: u64 = 10_000;
const PERIOD_DEFAULT_US: u64 = 100_000;

type Property = (&'static str, Value);

/// All limits that systemd has a property for. `version` is that of the hierarchies.
pub(super) fn of(wanted: &Resources, version: Version) -> Vec<Property> {
    let mut made = Vec::new();
    cpu(wanted, version, &mut made);
    let memory = &wanted.memory;
    let max = if version == Version::V2 { "MemoryMax" } else { "MemoryLimit" };
    let swap = match (memory.with_swap, memory.max) {
        (Some(Limit::Max), _) => Some(Limit::Max),
        (Some(Limit::Value(total)), Some(Limit::Value(memory))) => {
            Some(Limit::Value(total.saturating_sub(memory)))
        }
        (Some(Limit::Value(_)), _) => None,
        (None, _) => memory.swap,
    };
    let v2 = version == Version::V2;
    for (name, limit) in [
        (max, memory.max),
        ("MemoryLow", memory.low.filter(|_| v2)),
        ("MemoryHigh", memory.high.filter(|_| v2)),
        ("MemorySwapMax", swap.filter(|_| v2)),
        ("TasksMax", wanted.pids.max),
    ] {
        if let Some(limit) = limit {
            made.push((name, number(limit)));
        }
    }
    if let Some(weight) = wanted.io.weight {
        let name = if v2 { "IOWeight" } else { "BlockIOWeight" };
        made.push((name, Value::Number(weight.into())));
    }
    if let Some(rules) = &wanted.devices {
        devices(rules, &mut made);
    }
    made
}

fn number(limit: Limit) -> Value {
    Value::Number(match limit {
        Limit::Max => INFINITY,
        Limit::Value(value) => value,
    })
}

fn cpu(wanted: &Resources, version: Version, made: &mut Vec<Property>) {
    let cpu = &wanted.cpu;
    let shares = cpu.shares.filter(|shares| *shares != 0);
    match version {
        Version::V2 => {
            if let Some(weight) = cpu.weight.or(shares.map(weight_from_shares)) {
                made.push(("CPUWeight", Value::Number(weight)));
            }
        }
        Version::V1 => {
            if let Some(shares) = cpu.weight.map(shares_from_weight).or(shares) {
                made.push(("CPUShares", Value::Number(shares)));
            }
        }
    }
    if let Some(period) = cpu.period_us {
        made.push(("CPUQuotaPeriodUSec", Value::Number(period)));
    }
    if let Some(quota) = cpu.quota_us {
        let period = cpu.period_us.unwrap_or(PERIOD_DEFAULT_US).max(1);
        let each_second = match quota {
            Limit::Max => INFINITY,
            Limit::Value(quota) => {
                let exact = quota.saturating_mul(1_000_000) / period;
                exact.checked_next_multiple_of(QUOTA_STEP_US).unwrap_or(INFINITY)
            }
        };
        made.push(("CPUQuotaPerSecUSec", Value::Number(each_second)));
    }
    if version == Version::V2 {
        for (name, list) in [("AllowedCPUs", &cpu.cpus), ("AllowedMemoryNodes", &cpu.mems)] {
            if let Some(mask) = list.as_deref().and_then(mask) {
                made.push((name, Value::Bytes(mask)));
            }
        }
    }
}

/// A list like `0-2,7` as bits, the first eight in the first byte; none for what is no such list.
fn mask(list: &str) -> Option<Vec<u8>> {
    const NUMBERS_MAX: usize = 8192;
    let mut mask = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last >= NUMBERS_MAX {
            return None;
        }
        for number in first..=last {
            mask.resize(mask.len().max(number / 8 + 1), 0);
            mask[number / 8] |= 1_u8 << (number % 8);
        }
    }
    Some(mask)
}

/// What systemd lets through must be no less than what is allowed here: of all programs and lists
/// that guard a cgroup, each may say no. More is harmless, so rules that take away are left to the
/// cgroup's own guard, which systemd does not touch.
fn devices(rules: &[DeviceRule], made: &mut Vec<Property>) {
    let any = rules.iter().any(|rule| rule.allow && rule.kind == DeviceKind::All);
    if any {
        made.push(("DevicePolicy", Value::Text("auto".to_owned())));
        made.push(("DeviceAllow", Value::Pairs(Vec::new())));
        return;
    }
    let allowed = rules.iter().filter(|rule| rule.allow).map(|rule| {
        let kind = if rule.kind == DeviceKind::Block { "block" } else { "char" };
        let device = match (rule.major, rule.minor) {
            (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
            (Some(major), None) => format!("{kind}-{major}"),
            // All of one minor number there is no word for.
            (None, _) => format!("{kind}-*"),
        };
        let letters = [(rule.access.read, 'r'), (rule.access.write, 'w'), (rule.access.mknod, 'm')];
        let access = letters.iter().filter(|(on, _)| *on).map(|(_, letter)| *letter).collect();
        (device, access)
    });
    let mut allowed: Vec<(String, String)> = allowed.collect();
    allowed.sort();
    allowed.dedup();
    made.push(("DevicePolicy", Value::Text("strict".to_owned())));
    made.push(("DeviceAllow", Value::Pairs(allowed)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cpu, DeviceAccess, Memory};

    #[test]
    fn limits() {
        let wanted = Resources {
            cpu: Cpu {
                shares: Some(1024),
                quota_us: Some(Limit::Value(12_345)),
                period_us: Some(50_000),
                cpus: Some("0-2,9".to_owned()),
                ..Cpu::default()
            },
            memory: Memory {
                max: Some(Limit::Value(100)),
                with_swap: Some(Limit::Value(150)),
                ..Memory::default()
            },
            ..Resources::default()
        };
        let made = of(&wanted, Version::V2);
        let get = |name: &str| made.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
        assert_eq!(get("CPUWeight"), Some(&Value::Number(100)));
        // 24.69 % of a processor, rounded up.
        assert_eq!(get("CPUQuotaPerSecUSec"), Some(&Value::Number(250_000)));
        assert_eq!(get("AllowedCPUs"), Some(&Value::Bytes(vec![0b111, 0b10])));
        assert_eq!(get("MemorySwapMax"), Some(&Value::Number(50)));
        let made = of(&wanted, Version::V1);
        assert!(made.contains(&("CPUShares", Value::Number(1024))));
        assert!(made.contains(&("MemoryLimit", Value::Number(100))));
        assert!(!made.iter().any(|(name, _)| *name == "AllowedCPUs"));
    }

    #[test]
    fn odd_lists_are_no_mask() {
        assert_eq!(mask("0"), Some(vec![1]));
        assert_eq!(mask("9999999"), None);
        assert_eq!(mask("a-b"), None);
    }

    #[test]
    fn systemd_allows_no_less_than_we_do() {
        let access = DeviceAccess { read: true, write: true, mknod: false };
        let rule = |allow, kind, major, minor| DeviceRule { allow, kind, major, minor, access };
        let rules = [
            rule(false, DeviceKind::All, None, None),
            rule(true, DeviceKind::Char, Some(136), None),
            rule(true, DeviceKind::Block, Some(8), Some(1)),
            rule(false, DeviceKind::Block, Some(8), Some(1)),
        ];
        let mut made = Vec::new();
        devices(&rules, &mut made);
        let pair = |device: &str| (device.to_owned(), "rw".to_owned());
        let expected = Value::Pairs(vec![pair("/dev/block/8:1"), pair("char-136")]);
        assert_eq!(made[1], ("DeviceAllow", expected));
        made.clear();
        devices(&[rule(true, DeviceKind::All, None, None)], &mut made);
        assert_eq!(made[0], ("DevicePolicy", Value::Text("auto".to_owned())));
    }
}

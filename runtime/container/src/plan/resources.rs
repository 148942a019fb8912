//! `linux.resources` as limits of a cgroup.

use corten_runtime_cgroup::{
    Cpu, DeviceAccess, DeviceKind, DeviceRule, HugepageLimit, Limit, Memory, Pids, Resources,
};
use oci_spec::runtime::{
    Linux, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxResources,
};

use super::DEFAULT_DEVICES;
use crate::PlanError;

const ALL: DeviceAccess = DeviceAccess { read: true, write: true, mknod: true };

/// Zero means "not set" wherever zero would be no sensible limit, as with other runtimes.
pub(super) fn plan(linux: &Linux, allow_missing: bool) -> Result<Resources, PlanError> {
    let empty = LinuxResources::default();
    let given = linux.resources().as_ref().unwrap_or(&empty);
    refuse(given)?;
    Ok(Resources {
        cpu: given.cpu().as_ref().map(cpu).transpose()?.unwrap_or_default(),
        memory: given.memory().as_ref().map(memory).transpose()?.unwrap_or_default(),
        pids: Pids {
            max: given
                .pids()
                .as_ref()
                .map(|pids| pids.limit())
                .filter(|limit| *limit != 0)
                .map(Limit::from_signed),
        },
        hugepages: given
            .hugepage_limits()
            .iter()
            .flatten()
            .map(|limit| HugepageLimit {
                page_size: limit.page_size().clone(),
                max: Limit::from_signed(limit.limit()),
            })
            .collect(),
        devices: Some(devices(given.devices().as_deref().unwrap_or_default())?),
        unified: given.unified().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
        allow_missing,
    })
}

/// Whether any limit is asked for. Device rules are none: every container comes with some.
pub(super) fn any(linux: &Linux) -> bool {
    linux.resources().as_ref().is_some_and(|given| {
        let mut limits = given.clone();
        limits.set_devices(None);
        limits != *LinuxResources::default().set_devices(None)
    })
}

fn refuse(given: &LinuxResources) -> Result<(), PlanError> {
    let later = "this runtime does not honour it yet; remove the field";
    let present = [
        (given.block_io().as_ref().is_some_and(|b| *b != Default::default()), "blockIO"),
        (given.network().as_ref().is_some_and(|n| *n != Default::default()), "network"),
        (given.rdma().as_ref().is_some_and(|r| !r.is_empty()), "rdma"),
    ];
    match present.into_iter().find(|(present, _)| *present) {
        Some((_, name)) => Err(PlanError::unsupported(format!("linux.resources.{name}"), later)),
        None => Ok(()),
    }
}

fn cpu(given: &LinuxCpu) -> Result<Cpu, PlanError> {
    let later = "this runtime does not honour it yet; remove the field";
    let present = [
        (given.burst().is_some_and(|burst| burst != 0), "burst"),
        (given.realtime_runtime().is_some_and(|runtime| runtime != 0), "realtimeRuntime"),
        (given.realtime_period().is_some_and(|period| period != 0), "realtimePeriod"),
    ];
    if let Some((_, name)) = present.into_iter().find(|(present, _)| *present) {
        return Err(PlanError::unsupported(format!("linux.resources.cpu.{name}"), later));
    }
    let text = |list: &Option<String>| list.clone().filter(|list| !list.is_empty());
    Ok(Cpu {
        weight: None,
        shares: given.shares().filter(|shares| *shares != 0),
        quota_us: given.quota().filter(|quota| *quota != 0).map(Limit::from_signed),
        period_us: given.period().filter(|period| *period != 0),
        idle: given.idle().map(|idle| idle != 0),
        cpus: text(given.cpus()),
        mems: text(given.mems()),
    })
}

fn memory(given: &LinuxMemory) -> Result<Memory, PlanError> {
    const FIELD: &str = "linux.resources.memory";
    let present = [
        (given.kernel().is_some_and(|limit| limit > 0), "kernel"),
        (given.kernel_tcp().is_some_and(|limit| limit > 0), "kernelTCP"),
        (given.swappiness().is_some(), "swappiness"),
        (given.disable_oom_killer().unwrap_or(false), "disableOOMKiller"),
        (given.check_before_update().unwrap_or(false), "checkBeforeUpdate"),
    ];
    if let Some((_, name)) = present.into_iter().find(|(present, _)| *present) {
        return Err(PlanError::unsupported(
            format!("{FIELD}.{name}"),
            "this runtime does not honour it; remove the field",
        ));
    }
    let max = given.limit().filter(|limit| *limit != 0);
    // The specification counts memory and swap together, the cgroup swap alone.
    let swap = match given.swap().filter(|swap| *swap != 0) {
        None => None,
        Some(swap) if swap < 0 => Some(Limit::Max),
        Some(swap) => match max {
            Some(max) if max > 0 && swap >= max => Some(Limit::from_signed(swap - max)),
            Some(max) if max > 0 => {
                return Err(PlanError::invalid(
                    format!("{FIELD}.swap"),
                    "is memory and swap together, so it cannot be below memory.limit",
                ));
            }
            _unlimited => {
                return Err(PlanError::invalid(
                    format!("{FIELD}.swap"),
                    "needs memory.limit: it is memory and swap together",
                ));
            }
        },
    };
    Ok(Memory {
        max: max.map(Limit::from_signed),
        swap,
        low: given.reservation().filter(|low| *low != 0).map(Limit::from_signed),
        high: None,
        oom_group: None,
    })
}

/// Everything is denied first, then come the specification's rules, then what every container may:
/// make nodes (which opens nothing), its default devices, and terminals.
fn devices(rules: &[LinuxDeviceCgroup]) -> Result<Vec<DeviceRule>, PlanError> {
    let any = |allow, kind, access| DeviceRule { allow, kind, major: None, minor: None, access };
    let mut made = vec![any(false, DeviceKind::All, ALL)];
    for (index, rule) in rules.iter().enumerate() {
        rule_of(rule, &format!("linux.resources.devices[{index}]"), &mut made)?;
    }
    let make = DeviceAccess { read: false, write: false, mknod: true };
    made.push(any(true, DeviceKind::Char, make));
    made.push(any(true, DeviceKind::Block, make));
    let console_and_ptmx = [(5, Some(1)), (5, Some(2)), (136, None)];
    let defaults = DEFAULT_DEVICES.iter().map(|(_, major, minor)| (*major, Some(*minor)));
    for (major, minor) in defaults.chain(console_and_ptmx) {
        made.push(DeviceRule {
            allow: true,
            kind: DeviceKind::Char,
            major: Some(major),
            minor,
            access: ALL,
        });
    }
    Ok(made)
}

fn rule_of(
    rule: &LinuxDeviceCgroup,
    field: &str,
    made: &mut Vec<DeviceRule>,
) -> Result<(), PlanError> {
    let mut access = DeviceAccess { read: false, write: false, mknod: false };
    for letter in rule.access().as_deref().unwrap_or("rwm").chars() {
        match letter {
            'r' => access.read = true,
            'w' => access.write = true,
            'm' => access.mknod = true,
            _other => {
                return Err(PlanError::invalid(
                    format!("{field}.access"),
                    format!("{letter:?} is none of r, w and m"),
                ));
            }
        }
    }
    // A negative number is "any", as a missing one.
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    let (major, minor) = (number(rule.major()), number(rule.minor()));
    let one = |kind| DeviceRule { allow: rule.allow(), kind, major, minor, access };
    match rule.typ().unwrap_or(LinuxDeviceType::A) {
        LinuxDeviceType::A if major.is_none() && minor.is_none() && access == ALL => {
            made.push(one(DeviceKind::All));
        }
        LinuxDeviceType::A => made.extend([one(DeviceKind::Char), one(DeviceKind::Block)]),
        LinuxDeviceType::C | LinuxDeviceType::U => made.push(one(DeviceKind::Char)),
        LinuxDeviceType::B => made.push(one(DeviceKind::Block)),
        LinuxDeviceType::P => {
            return Err(PlanError::invalid(format!("{field}.type"), "must be a, b or c"));
        }
    }
    Ok(())
}

//! `linux.resources` as limits of a cgroup.

use corten_runtime_cgroup::{
    Cpu, DeviceAccess, DeviceKind, DeviceRule, HugepageLimit, Io, IoRate, IoThrottle, IoWeight,
    Limit, Memory, Network, Pids, RdmaLimit, Resources,
};
use oci_spec::runtime::{
    Linux, LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxNetwork,
    LinuxResources,
};

use super::DEFAULT_DEVICES;
use crate::PlanError;

const ALL: DeviceAccess = DeviceAccess { read: true, write: true, mknod: true };

/// The limits of a container that is made.
pub(super) fn plan(linux: &Linux, allow_missing: bool) -> Result<Resources, PlanError> {
    let empty = LinuxResources::default();
    let given = linux.resources().as_ref().unwrap_or(&empty);
    let devices = Some(devices(given.devices().as_deref().unwrap_or_default())?);
    let limits = limits(given)?;
    if matches!(limits.memory.with_swap, Some(Limit::Value(_))) && limits.memory.max.is_none() {
        return Err(PlanError::invalid(
            "linux.resources.memory.swap",
            "needs memory.limit: it is memory and swap together",
        ));
    }
    Ok(Resources { devices, allow_missing, ..limits })
}

/// All limits but the rules for devices. Zero means "not set" wherever zero would be no sensible
/// limit, as with other runtimes.
pub(crate) fn limits(given: &LinuxResources) -> Result<Resources, PlanError> {
    Ok(Resources {
        cpu: given.cpu().as_ref().map(cpu).unwrap_or_default(),
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
        io: given.block_io().as_ref().map(io).transpose()?.unwrap_or_default(),
        network: given.network().as_ref().map(network).unwrap_or_default(),
        rdma: given
            .rdma()
            .iter()
            .flatten()
            .map(|(device, limit)| {
                let (handles, objects) = (limit.hca_handles(), limit.hca_objects());
                (device.clone(), RdmaLimit { handles, objects })
            })
            .collect(),
        devices: None,
        unified: given.unified().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
        allow_missing: false,
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

fn cpu(given: &LinuxCpu) -> Cpu {
    let text = |list: &Option<String>| list.clone().filter(|list| !list.is_empty());
    Cpu {
        weight: None,
        shares: given.shares().filter(|shares| *shares != 0),
        quota_us: given.quota().filter(|quota| *quota != 0).map(Limit::from_signed),
        period_us: given.period().filter(|period| *period != 0),
        // Zero is a value here: it takes an older burst away.
        burst_us: given.burst(),
        realtime_runtime_us: given.realtime_runtime().filter(|runtime| *runtime != 0),
        realtime_period_us: given.realtime_period().filter(|period| *period != 0),
        idle: given.idle().map(|idle| idle != 0),
        cpus: text(given.cpus()),
        mems: text(given.mems()),
    }
}

fn memory(given: &LinuxMemory) -> Result<Memory, PlanError> {
    const FIELD: &str = "linux.resources.memory";
    let max = given.limit().filter(|limit| *limit != 0);
    let with_swap = given.swap().filter(|swap| *swap != 0);
    if let (Some(max), Some(swap)) = (max, with_swap)
        && swap > 0
        && swap < max
    {
        return Err(PlanError::invalid(
            format!("{FIELD}.swap"),
            "is memory and swap together, so it cannot be below memory.limit",
        ));
    }
    for (present, name, reason) in [
        (given.kernel().is_some_and(|limit| limit > 0), "kernel", "the kernel has it no more"),
        // Since Linux 5.11 there is no other way, so `true` is how it is.
        (
            given.use_hierarchy() == Some(false),
            "useHierarchy",
            "the kernel always counts a cgroup with those below it",
        ),
    ] {
        if present {
            let reason = format!("{reason}; remove the field");
            return Err(PlanError::unsupported(format!("{FIELD}.{name}"), reason));
        }
    }
    Ok(Memory {
        max: max.map(Limit::from_signed),
        swap: None,
        with_swap: with_swap.map(Limit::from_signed),
        low: given.reservation().filter(|low| *low != 0).map(Limit::from_signed),
        high: None,
        oom_group: None,
        swappiness: given.swappiness(),
        kernel_tcp: given.kernel_tcp().filter(|limit| *limit != 0).map(Limit::from_signed),
        disable_oom_killer: given.disable_oom_killer(),
        check_before_update: given.check_before_update().unwrap_or(false),
    })
}

fn io(given: &LinuxBlockIo) -> Result<Io, PlanError> {
    const FIELD: &str = "linux.resources.blockIO";
    let number = |number: i64, field: &str| {
        u32::try_from(number).map_err(|_no| {
            PlanError::invalid(format!("{FIELD}.{field}"), format!("{number} is no device number"))
        })
    };
    let weight = |weight: Option<u16>| weight.filter(|weight| *weight != 0);
    let mut devices = Vec::new();
    for device in given.weight_device().iter().flatten() {
        devices.push(IoWeight {
            major: number(device.major(), "weightDevice")?,
            minor: number(device.minor(), "weightDevice")?,
            weight: weight(device.weight()),
            leaf_weight: weight(device.leaf_weight()),
        });
    }
    let mut throttle = Vec::new();
    for (field, of, list) in [
        ("throttleReadBpsDevice", IoRate::ReadBytes, given.throttle_read_bps_device()),
        ("throttleWriteBpsDevice", IoRate::WriteBytes, given.throttle_write_bps_device()),
        ("throttleReadIOPSDevice", IoRate::Reads, given.throttle_read_iops_device()),
        ("throttleWriteIOPSDevice", IoRate::Writes, given.throttle_write_iops_device()),
    ] {
        for device in list.iter().flatten() {
            throttle.push(IoThrottle {
                major: number(device.major(), field)?,
                minor: number(device.minor(), field)?,
                of,
                rate: device.rate(),
            });
        }
    }
    Ok(Io {
        weight: weight(given.weight()),
        leaf_weight: weight(given.leaf_weight()),
        devices,
        throttle,
    })
}

fn network(given: &LinuxNetwork) -> Network {
    Network {
        class_id: given.class_id().filter(|class| *class != 0),
        priorities: given
            .priorities()
            .iter()
            .flatten()
            .map(|one| (one.name().clone(), one.priority()))
            .collect(),
    }
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

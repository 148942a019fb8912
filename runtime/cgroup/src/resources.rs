//! What a cgroup may use.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Error;

/// A limit: a number, or none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Limit {
    /// No limit.
    Max,
    /// This much.
    Value(u64),
}

impl Limit {
    /// OCI's way: a negative number is no limit.
    #[must_use]
    pub fn from_signed(value: i64) -> Self {
        u64::try_from(value).map_or(Self::Max, Self::Value)
    }

    /// As v2 files take it.
    pub(crate) fn v2(self) -> String {
        match self {
            Self::Max => "max".to_owned(),
            Self::Value(value) => value.to_string(),
        }
    }

    /// As v1 files take it.
    pub(crate) fn v1(self) -> String {
        match self {
            Self::Max => "-1".to_owned(),
            Self::Value(value) => value.to_string(),
        }
    }
}

/// What a cgroup may use. What is `None` or empty stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// Processor time, and which processors.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Processes and threads.
    pub pids: Pids,
    /// Huge pages.
    pub hugepages: Vec<HugepageLimit>,
    /// Block devices.
    #[serde(skip_serializing_if = "Io::is_empty")]
    pub io: Io,
    /// Marks on network packets. v1 only.
    #[serde(skip_serializing_if = "Network::is_empty")]
    pub network: Network,
    /// RDMA resources, by device.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rdma: BTreeMap<String, RdmaLimit>,
    /// Which device nodes may be opened or made, the last rule that fits being the one that
    /// counts; `None` leaves them as they are.
    pub devices: Option<Vec<DeviceRule>>,
    /// v2 files by name, written as they are, after all else.
    pub unified: BTreeMap<String, String>,
    /// A limit that no controller here can hold is a [`Warning`] instead of an error.
    pub allow_missing: bool,
}

/// Processor time, and which processors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Cpu {
    /// v2's share in contention, 1 to 10000; set this or `shares`.
    pub weight: Option<u64>,
    /// v1's share in contention, 2 to 262144.
    pub shares: Option<u64>,
    /// Microseconds of processor time in each period.
    pub quota_us: Option<Limit>,
    /// The period's length in microseconds; the kernel's default is 100000.
    pub period_us: Option<u64>,
    /// Microseconds of processor time that may be saved up from periods that were not used whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_us: Option<u64>,
    /// Microseconds of real-time scheduling in each real-time period. v1 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realtime_runtime_us: Option<i64>,
    /// That period's length in microseconds. v1 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realtime_period_us: Option<u64>,
    /// Only when nothing else wants to run.
    pub idle: Option<bool>,
    /// The processors it may run on, as a list like `0-2,7`.
    pub cpus: Option<String>,
    /// The memory nodes it may use, as a list.
    pub mems: Option<String>,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Memory {
    /// The hard limit; past it the OOM killer comes.
    pub max: Option<Limit>,
    /// Swap alone, beside memory (v2's sense; v1's memory + swap is worked out from `max`).
    pub swap: Option<Limit>,
    /// Memory and swap together (v1's and OCI's sense); wins over `swap`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_swap: Option<Limit>,
    /// What is left alone while others can be reclaimed from (v1: the soft limit).
    pub low: Option<Limit>,
    /// Past it, processes are throttled and reclaimed from. v2 only.
    pub high: Option<Limit>,
    /// The OOM killer takes all processes or none. v2 only.
    pub oom_group: Option<bool>,
    /// How eagerly anonymous memory is swapped, 0 to 100. v1 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swappiness: Option<u64>,
    /// Buffers of TCP. v1 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_tcp: Option<Limit>,
    /// Processes past the limit wait instead of being killed. v1 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_oom_killer: Option<bool>,
    /// A limit below what is in use is refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub check_before_update: bool,
}

/// Block devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Io {
    /// The share in contention as OCI counts, 10 to 1000.
    pub weight: Option<u16>,
    /// The share against cgroups below, 10 to 1000. v1 only, on kernels that still have it.
    pub leaf_weight: Option<u16>,
    /// Shares on single devices.
    pub devices: Vec<IoWeight>,
    /// Rates on single devices.
    pub throttle: Vec<IoThrottle>,
}

impl Io {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A share on one block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IoWeight {
    /// The device's major number.
    pub major: u32,
    /// The device's minor number.
    pub minor: u32,
    /// As [`Io::weight`].
    pub weight: Option<u16>,
    /// As [`Io::leaf_weight`].
    pub leaf_weight: Option<u16>,
}

/// What an [`IoThrottle`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IoRate {
    /// Bytes read.
    ReadBytes,
    /// Bytes written.
    WriteBytes,
    /// Reads.
    Reads,
    /// Writes.
    Writes,
}

/// A limit per second on one block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IoThrottle {
    /// The device's major number.
    pub major: u32,
    /// The device's minor number.
    pub minor: u32,
    /// Of what.
    pub of: IoRate,
    /// How much each second; 0 takes the limit away.
    pub rate: u64,
}

/// Marks on network packets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Network {
    /// The class that traffic control sees.
    pub class_id: Option<u32>,
    /// The priority on each interface.
    pub priorities: BTreeMap<String, u32>,
}

impl Network {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A limit on one RDMA device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RdmaLimit {
    /// Handles of host channel adapters.
    pub handles: Option<u32>,
    /// Objects of host channel adapters.
    pub objects: Option<u32>,
}

/// Processes and threads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Pids {
    /// How many there may be.
    pub max: Option<Limit>,
}

/// A limit on huge pages of one size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HugepageLimit {
    /// The size as the kernel names it, such as `2MB`.
    pub page_size: String,
    /// In bytes.
    pub max: Limit,
}

/// Block or character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeviceKind {
    /// Both, whatever their numbers.
    All,
    /// Character devices.
    Char,
    /// Block devices.
    Block,
}

/// What a [`DeviceRule`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceAccess {
    /// Opening to read.
    pub read: bool,
    /// Opening to write.
    pub write: bool,
    /// Making the node.
    pub mknod: bool,
}

/// Allows or denies some access to some devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceRule {
    /// Allows, else denies.
    pub allow: bool,
    /// Of which kind.
    pub kind: DeviceKind,
    /// Major number; any if none.
    pub major: Option<u32>,
    /// Minor number; any if none.
    pub minor: Option<u32>,
    /// Which access.
    pub access: DeviceAccess,
}

/// A limit that was asked for and does not hold, because [`Resources::allow_missing`] said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The controller that is missing.
    pub controller: String,
    /// The field that does not hold.
    pub field: String,
    /// Why.
    pub reason: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { controller, field, reason } = self;
        write!(
            f,
            "{field} does not hold: the cgroup controller {controller:?} is not available ({reason})"
        )
    }
}

/// Collects what cannot be held, or refuses it.
#[derive(Debug)]
pub(crate) struct Missing {
    allowed: bool,
    pub(crate) warnings: Vec<Warning>,
}

impl Missing {
    pub(crate) fn new(allowed: bool) -> Self {
        Self { allowed, warnings: Vec::new() }
    }

    pub(crate) fn report(
        &mut self,
        controller: &str,
        field: &str,
        reason: &str,
    ) -> Result<(), Error> {
        let (controller, field, reason) =
            (controller.to_owned(), field.to_owned(), reason.to_owned());
        if !self.allowed {
            return Err(Error::ControllerMissing { controller, field, reason });
        }
        self.warnings.push(Warning { controller, field, reason });
        Ok(())
    }
}

//! What a cgroup uses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a cgroup and those below it use. A part is none where its controller is not available.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Processor time.
    pub cpu: Option<CpuStats>,
    /// Memory.
    pub memory: Option<MemoryStats>,
    /// Processes and threads.
    pub pids: Option<PidsStats>,
    /// Huge pages, for each size.
    pub hugepages: Vec<HugepageStats>,
}

/// Processor time since the cgroup was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CpuStats {
    /// In all, in microseconds.
    pub usage_usec: u64,
    /// In user space, in microseconds.
    pub user_usec: u64,
    /// In the kernel, in microseconds.
    pub system_usec: u64,
    /// Periods in which it wanted to run, under a quota.
    pub periods: u64,
    /// Periods in which it had to wait.
    pub throttled: u64,
    /// How long it had to wait, in microseconds.
    pub throttled_usec: u64,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryStats {
    /// All that is charged, page cache included.
    pub usage: u64,
    /// `usage` less inactive page cache: what eviction looks at.
    pub working_set: u64,
    /// The hard limit, if there is one.
    pub limit: Option<u64>,
    /// Swap.
    pub swap: u64,
    /// Anonymous memory.
    pub rss: u64,
    /// Page cache.
    pub cache: u64,
    /// Page faults.
    pub page_faults: u64,
    /// Page faults that had to read.
    pub major_page_faults: u64,
    /// Processes that the OOM killer took.
    pub oom_kills: u64,
}

/// Processes and threads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PidsStats {
    /// Now.
    pub current: u64,
    /// The limit, if there is one.
    pub limit: Option<u64>,
}

/// Huge pages of one size.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HugepageStats {
    /// The size as the kernel names it, such as `2MB`.
    pub page_size: String,
    /// In use, in bytes.
    pub usage: u64,
    /// The limit in bytes, if there is one.
    pub limit: Option<u64>,
}

/// All that is counted, for who wants to see it: more files are read for it than for [`Stats`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    /// The few numbers that matter most.
    pub stats: Stats,
    /// Nanoseconds on each processor: in all, in the kernel and in user space. v1 only.
    pub per_cpu_nsec: [Vec<u64>; 3],
    /// Processors and memory nodes, as lists.
    pub cpuset: CpusetStats,
    /// `memory.stat`, whole.
    pub memory: BTreeMap<String, u64>,
    /// Memory as a whole.
    pub memory_usage: Counter,
    /// Memory and swap (v1), or swap alone (v2).
    pub swap_usage: Counter,
    /// The kernel's memory. v1 only.
    pub kernel_usage: Counter,
    /// Buffers of TCP. v1 only.
    pub kernel_tcp_usage: Counter,
    /// Huge pages, by size.
    pub hugepages: BTreeMap<String, Counter>,
    /// Block devices.
    pub io: Vec<IoStats>,
    /// RDMA devices.
    pub rdma: Vec<RdmaStats>,
    /// How long was waited for processor, memory and block devices. v2 only.
    pub pressure: [Option<Pressure>; 3],
}

/// A resource with its limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counter {
    /// In use.
    pub usage: u64,
    /// The limit, if there is one.
    pub limit: Option<u64>,
    /// The most that was ever in use.
    pub max_usage: u64,
    /// How often the limit was hit.
    pub failures: u64,
}

/// Processors and memory nodes that may be used, as lists like `0-2,7`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpusetStats {
    /// Processors.
    pub cpus: String,
    /// Memory nodes.
    pub mems: String,
}

/// What one block device was used for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IoStats {
    /// The device's major number.
    pub major: u32,
    /// The device's minor number.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Bytes given back to the device.
    pub discard_bytes: u64,
    /// How often bytes were given back.
    pub discards: u64,
}

/// What one RDMA device is used for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RdmaStats {
    /// Its name.
    pub device: String,
    /// Handles of host channel adapters.
    pub handles: u64,
    /// Objects of host channel adapters.
    pub objects: u64,
}

/// Pressure stall information (`Documentation/accounting/psi.rst`).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// Some processes waited.
    pub some: PressureLine,
    /// All of them did.
    pub full: PressureLine,
}

/// One line of it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PressureLine {
    /// Percent of the last 10 seconds.
    pub avg10: f64,
    /// Percent of the last 60 seconds.
    pub avg60: f64,
    /// Percent of the last 300 seconds.
    pub avg300: f64,
    /// Microseconds in all.
    pub total_usec: u64,
}

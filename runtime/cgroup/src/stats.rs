//! What a cgroup uses.

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

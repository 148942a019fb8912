//! Reading and changing the cgroups of containers and pods.

use std::fmt;

use corten_api_cri::v1::LinuxContainerResources;

mod system;

pub(crate) use system::SystemCgroups;

/// Something asked of a cgroup failed.
pub(crate) type CgroupFailure = Box<dyn std::error::Error + Send + Sync>;

/// What a cgroup has used so far, and holds now. What its controllers do not tell is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CgroupUsage {
    pub(crate) cpu_ns: Option<u64>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) memory_working_set_bytes: Option<u64>,
    pub(crate) memory_rss_bytes: Option<u64>,
    pub(crate) memory_limit_bytes: Option<u64>,
    pub(crate) page_faults: Option<u64>,
    pub(crate) page_faults_major: Option<u64>,
    pub(crate) swap_bytes: Option<u64>,
    pub(crate) processes: Option<u64>,
}

/// The cgroups of this node. The calls block.
pub(crate) trait Cgroups: Send + Sync + fmt::Debug {
    /// What the cgroup used; nothing when there is none.
    fn usage(&self, path: &str) -> Result<Option<CgroupUsage>, CgroupFailure>;
    /// Sets the limits that are given, and leaves the others.
    fn update(&self, path: &str, limits: &LinuxContainerResources) -> Result<(), CgroupFailure>;
    /// Kills every process in it and removes it; fine when there is none.
    fn destroy(&self, path: &str) -> Result<(), CgroupFailure>;
}

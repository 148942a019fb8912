//! The cgroups of this machine.

use corten_api_cri::v1::LinuxContainerResources;
use corten_runtime_cgroup::{
    Cgroup, CgroupPath, Cpu, Error, Hierarchies, HugepageLimit, Limit, Memory, Resources,
};

use super::{CgroupFailure, CgroupUsage, Cgroups};

/// What is mounted here, found out once.
#[derive(Debug)]
pub(crate) struct SystemCgroups {
    hierarchies: Hierarchies,
}

impl SystemCgroups {
    pub(crate) fn probe() -> Result<Self, Error> {
        Ok(Self { hierarchies: Hierarchies::probe()? })
    }

    /// Whether any hierarchy has it: one that is half made, or half removed, still is there.
    fn exists(&self, path: &CgroupPath) -> bool {
        let below_mount = path.as_str().trim_start_matches('/');
        self.hierarchies.mounts().any(|(mount, _)| mount.join(below_mount).exists())
    }
}

impl Cgroups for SystemCgroups {
    fn usage(&self, path: &str) -> Result<Option<CgroupUsage>, CgroupFailure> {
        let path = CgroupPath::new(path)?;
        if !self.exists(&path) {
            return Ok(None);
        }
        let stats = Cgroup::open(&self.hierarchies, &path)?.stats()?;
        let memory = stats.memory;
        let of_memory =
            |get: fn(&corten_runtime_cgroup::MemoryStats) -> u64| memory.as_ref().map(get);
        Ok(Some(CgroupUsage {
            cpu_ns: stats.cpu.as_ref().map(|cpu| cpu.usage_usec.saturating_mul(1000)),
            memory_bytes: of_memory(|memory| memory.usage),
            memory_working_set_bytes: of_memory(|memory| memory.working_set),
            memory_rss_bytes: of_memory(|memory| memory.rss),
            memory_limit_bytes: memory.as_ref().and_then(|memory| memory.limit),
            page_faults: of_memory(|memory| memory.page_faults),
            page_faults_major: of_memory(|memory| memory.major_page_faults),
            swap_bytes: of_memory(|memory| memory.swap),
            processes: stats.pids.as_ref().map(|pids| pids.current),
        }))
    }

    fn update(&self, path: &str, limits: &LinuxContainerResources) -> Result<(), CgroupFailure> {
        let cgroup = Cgroup::open(&self.hierarchies, &CgroupPath::new(path)?)?;
        // Nothing is allowed to be missing, so there is nothing to be warned of.
        cgroup.apply(&resources(limits))?;
        Ok(())
    }

    fn destroy(&self, path: &str) -> Result<(), CgroupFailure> {
        let path = CgroupPath::new(path)?;
        if !self.exists(&path) {
            return Ok(());
        }
        let cgroup = Cgroup::create(&self.hierarchies, &path)?;
        cgroup.kill()?;
        cgroup.remove()?;
        Ok(())
    }
}

/// From the interface's words, in which zero says nothing and -1 is no limit.
fn resources(limits: &LinuxContainerResources) -> Resources {
    let unsigned = |value: i64| u64::try_from(value).ok().filter(|value| *value != 0);
    let limit = |value: i64| (value != 0).then(|| Limit::from_signed(value));
    let text = |value: &String| (!value.is_empty()).then(|| value.clone());
    // CRI's swap limit includes memory, v2's does not.
    let swap = match (limits.memory_swap_limit_in_bytes, limits.memory_limit_in_bytes) {
        (0, _) => None,
        (both, memory) if both > 0 => unsigned(both)
            .map(|both| Limit::Value(both.saturating_sub(unsigned(memory).unwrap_or_default()))),
        (_, _) => Some(Limit::Max),
    };
    Resources {
        cpu: Cpu {
            shares: unsigned(limits.cpu_shares),
            quota_us: limit(limits.cpu_quota),
            period_us: unsigned(limits.cpu_period),
            cpus: text(&limits.cpuset_cpus),
            mems: text(&limits.cpuset_mems),
            ..Cpu::default()
        },
        memory: Memory { max: limit(limits.memory_limit_in_bytes), swap, ..Memory::default() },
        hugepages: limits
            .hugepage_limits
            .iter()
            .map(|one| HugepageLimit {
                page_size: one.page_size.clone(),
                max: Limit::Value(one.limit),
            })
            .collect(),
        unified: limits.unified.clone(),
        ..Resources::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_is_told_without_memory() {
        let limits = |memory, both| LinuxContainerResources {
            memory_limit_in_bytes: memory,
            memory_swap_limit_in_bytes: both,
            ..LinuxContainerResources::default()
        };
        assert_eq!(resources(&limits(100, 150)).memory.swap, Some(Limit::Value(50)));
        assert_eq!(resources(&limits(100, 100)).memory.swap, Some(Limit::Value(0)));
        assert_eq!(resources(&limits(100, -1)).memory.swap, Some(Limit::Max));
        assert_eq!(resources(&limits(100, 0)).memory.swap, None);
        assert_eq!(resources(&limits(-1, 0)).memory.max, Some(Limit::Max));
    }

    #[test]
    fn what_is_not_said_stays_as_it_is() {
        let none = resources(&LinuxContainerResources::default());
        assert_eq!(none, Resources::default());
    }
}

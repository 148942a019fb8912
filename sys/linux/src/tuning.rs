//! How the kernel treats a process: scheduling, disk priority, memory policy, personality. All act on
//! the calling thread and do not allocate.

use crate::syscall::check;

/// For `sched_setattr(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scheduling {
    /// `SCHED_*`
    pub policy: u32,
    /// `SCHED_FLAG_*`
    pub flags: u64,
    /// For the policies that are not real-time.
    pub nice: i32,
    /// For the real-time ones.
    pub priority: u32,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub runtime: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub deadline: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub period: u64,
}

/// `struct sched_attr` of its first version (linux/sched/types.h).
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets the scheduling policy.
///
/// # Errors
/// `EPERM` without `CAP_SYS_NICE`, `EINVAL` for values that do not go together, `EBUSY` when there is
/// no bandwidth left for a deadline.
pub fn set_scheduling(wanted: Scheduling) -> rustix::io::Result<()> {
    const SIZE: u32 = 48;
    const { assert!(size_of::<SchedAttr>() == SIZE as usize) };
    let Scheduling { policy, flags, nice, priority, runtime, deadline, period } = wanted;
    let raw = SchedAttr { size: SIZE, policy, flags, nice, priority, runtime, deadline, period };
    // SAFETY: `raw` is a sched_attr of the size that it says, and only read.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const raw, 0) }).map(drop)
}

/// Sets the disk priority: a class in the upper bits, a level in the lower 13 (`ioprio_set(2)`).
///
/// # Errors
/// `EPERM` for a class that needs `CAP_SYS_ADMIN` or `CAP_SYS_NICE`.
pub fn set_io_priority(priority: u16) -> rustix::io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    // SAFETY: plain integers.
    check(unsafe {
        libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, libc::c_int::from(priority))
    })
    .map(drop)
}

/// How many memory nodes a policy can name; no kernel has more.
pub const NODES_MAX: usize = 1024;

/// For `set_mempolicy(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// `MPOL_*` with `MPOL_F_*`.
    pub mode: i32,
    /// A bit for each node.
    pub nodes: [u64; NODES_MAX / 64],
}

/// Sets the memory policy.
///
/// # Errors
/// `EINVAL` for nodes that are not there or not allowed, or do not go with the mode.
pub fn set_memory_policy(policy: &MemoryPolicy) -> rustix::io::Result<()> {
    let empty = policy.nodes.iter().all(|word| *word == 0);
    // Some modes want no nodes at all, which is no mask rather than an empty one.
    let mask = if empty { std::ptr::null() } else { policy.nodes.as_ptr() };
    // The kernel takes one bit less than it is told.
    let bits = if empty { 0 } else { NODES_MAX + 1 };
    // SAFETY: the mask is null, or has the bits said but for the one that is not read.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, policy.mode, mask, bits) }).map(drop)
}

/// `PER_LINUX`
pub const PERSONALITY_LINUX: u32 = 0;
/// `PER_LINUX32`
pub const PERSONALITY_LINUX32: u32 = 8;

/// Sets the personality.
///
/// # Errors
/// `EINVAL` for one that the kernel does not know.
pub fn set_personality(personality: u32) -> rustix::io::Result<()> {
    // SAFETY: a plain integer.
    check(unsafe { libc::syscall(libc::SYS_personality, libc::c_ulong::from(personality)) })
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On threads of their own, for what is set stays.
    #[test]
    fn what_is_set_is_shown_by_the_kernel() {
        std::thread::spawn(|| {
            let batch = Scheduling { policy: 3, nice: 7, ..Scheduling::default() };
            set_scheduling(batch).unwrap();
            set_io_priority(3 << 13).unwrap();
            set_personality(PERSONALITY_LINUX32).unwrap();
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
            // Counted from the third: nice is the 19th, the policy the 41st (proc_pid_stat(5)).
            assert_eq!((fields[16], fields[38]), ("7", "3"));
            let personality = std::fs::read_to_string("/proc/thread-self/personality").unwrap();
            assert_eq!(personality.trim(), "00000008");
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_memory_policy_is_taken_or_refused() {
        std::thread::spawn(|| {
            let mut policy = MemoryPolicy { mode: 2, nodes: [0; NODES_MAX / 64] };
            // MPOL_BIND to nothing.
            assert_eq!(set_memory_policy(&policy), Err(rustix::io::Errno::INVAL));
            policy.nodes[0] = 1;
            set_memory_policy(&policy).unwrap();
            let maps = std::fs::read_to_string("/proc/thread-self/numa_maps").unwrap();
            assert!(maps.contains("bind:0"), "{maps}");
        })
        .join()
        .unwrap();
    }
}

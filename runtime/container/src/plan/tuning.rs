//! How the kernel shall treat a process: `scheduler`, `ioPriority`, `execCPUAffinity`, `personality`,
//! `memoryPolicy`.

use corten_sys_linux::tuning::{
    MemoryPolicy, NODES_MAX, PERSONALITY_LINUX, PERSONALITY_LINUX32, Scheduling,
};
use oci_spec::runtime::{
    IOPriorityClass, Linux, LinuxMemoryPolicy, LinuxPersonalityDomain, LinuxSchedulerFlag,
    LinuxSchedulerPolicy, MemoryPolicyFlagType, MemoryPolicyModeType, Scheduler,
};
use rustix::thread::CpuSet;

use crate::PlanError;

/// What is set; the rest stays as it is inherited.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tuning {
    pub(crate) scheduling: Option<Scheduling>,
    pub(crate) io_priority: Option<u16>,
    pub(crate) personality: Option<u32>,
    pub(crate) memory_policy: Option<MemoryPolicy>,
    /// For an exec until its program is executed.
    pub(crate) cpus_initial: Option<CpuSet>,
    /// For an exec's program.
    pub(crate) cpus_final: Option<CpuSet>,
}

impl Tuning {
    /// What belongs to one process.
    pub(super) fn of_process(
        given: &oci_spec::runtime::Process,
        field: &str,
    ) -> Result<Self, PlanError> {
        let affinity = given.exec_cpu_affinity().as_ref();
        let cpus = |list: Option<&String>, name: &str| {
            list.filter(|list| !list.is_empty())
                .map(|list| cpu_set(list, &format!("{field}.execCPUAffinity.{name}")))
                .transpose()
        };
        Ok(Self {
            scheduling: given
                .scheduler()
                .as_ref()
                .map(|given| scheduling(given, &format!("{field}.scheduler")))
                .transpose()?,
            io_priority: given
                .io_priority()
                .as_ref()
                .map(|given| io_priority(given, &format!("{field}.ioPriority")))
                .transpose()?,
            cpus_initial: cpus(affinity.and_then(|one| one.initial().as_ref()), "initial")?,
            cpus_final: cpus(affinity.and_then(|one| one.cpu_affinity_final().as_ref()), "final")?,
            ..Self::default()
        })
    }

    /// What belongs to all processes of a container.
    pub(super) fn add_container(&mut self, linux: &Linux) -> Result<(), PlanError> {
        if let Some(given) = linux.personality() {
            if given.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
                let reason = "the specification defines no flags yet";
                return Err(PlanError::unsupported("linux.personality.flags", reason));
            }
            self.personality = Some(match given.domain() {
                LinuxPersonalityDomain::PerLinux => PERSONALITY_LINUX,
                LinuxPersonalityDomain::PerLinux32 => PERSONALITY_LINUX32,
            });
        }
        self.memory_policy = linux.memory_policy().as_ref().map(memory_policy).transpose()?;
        Ok(())
    }
}

fn scheduling(given: &Scheduler, field: &str) -> Result<Scheduling, PlanError> {
    // SCHED_* and SCHED_FLAG_* (linux/sched.h).
    let policy = match given.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let mut flags = 0;
    for flag in given.flags().iter().flatten() {
        flags |= match flag {
            LinuxSchedulerFlag::SchedResetOnFork => 0x01,
            LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
            LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
            LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
            LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
            LinuxSchedulerFlag::SchedFlagUtilClampMin
            | LinuxSchedulerFlag::SchedFlagUtilClampMax => {
                return Err(PlanError::unsupported(
                    format!("{field}.flags"),
                    format!("the specification has no value for what {flag} clamps to"),
                ));
            }
        };
    }
    let priority = given.priority().unwrap_or(0);
    let nice = given.nice().unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        return Err(PlanError::invalid(format!("{field}.nice"), "is not between -20 and 19"));
    }
    Ok(Scheduling {
        policy,
        flags,
        nice,
        priority: u32::try_from(priority).map_err(|_negative| {
            PlanError::invalid(format!("{field}.priority"), "is below zero")
        })?,
        runtime: given.runtime().unwrap_or(0),
        deadline: given.deadline().unwrap_or(0),
        period: given.period().unwrap_or(0),
    })
}

/// Class and level as `ioprio_set(2)` wants them.
fn io_priority(given: &oci_spec::runtime::LinuxIOPriority, field: &str) -> Result<u16, PlanError> {
    let class = match given.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3_u16,
    };
    match u16::try_from(given.priority()) {
        Ok(level @ 0..=7) => Ok(class << 13 | level),
        _other => Err(PlanError::invalid(format!("{field}.priority"), "is not between 0 and 7")),
    }
}

fn memory_policy(given: &LinuxMemoryPolicy) -> Result<MemoryPolicy, PlanError> {
    const FIELD: &str = "linux.memoryPolicy";
    // MPOL_* and MPOL_F_* (linux/mempolicy.h).
    let mode = match given.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let flags = given.flags().iter().flatten().fold(0, |all, flag| {
        all | match flag {
            MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
            MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
            MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
        }
    });
    let mut nodes = [0_u64; NODES_MAX / 64];
    let list = given.nodes().as_deref().unwrap_or("");
    if !list.is_empty() {
        for number in numbers(list, NODES_MAX, &format!("{FIELD}.nodes"))? {
            nodes[number / 64] |= 1 << (number % 64);
        }
    }
    Ok(MemoryPolicy { mode: mode | flags, nodes })
}

fn cpu_set(list: &str, field: &str) -> Result<CpuSet, PlanError> {
    let mut set = CpuSet::new();
    for number in numbers(list, CpuSet::MAX_CPU, field)? {
        set.set(number);
    }
    Ok(set)
}

/// A list like `0-3,7` (cpuset(7), "List format"), of numbers below `limit`.
fn numbers(list: &str, limit: usize, field: &str) -> Result<Vec<usize>, PlanError> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten().filter(|number: &usize| *number < limit)
    };
    let mut all = Vec::new();
    for part in list.split(',') {
        let part = part.trim();
        let range = match part.split_once('-') {
            Some((first, last)) => number(first).zip(number(last)),
            None => number(part).map(|one| (one, one)),
        };
        match range {
            Some((first, last)) if first <= last => all.extend(first..=last),
            _other => {
                return Err(PlanError::invalid(
                    field,
                    format!("{list:?} is no list of numbers below {limit} such as \"0-3,7\""),
                ));
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let read = |list| numbers(list, 100, "x").ok();
        assert_eq!(read("0-2, 7"), Some(vec![0, 1, 2, 7]));
        for wrong in ["", "a", "3-1", "1-", "-1", "100", "1,,2", "0-99999999999999999999"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}

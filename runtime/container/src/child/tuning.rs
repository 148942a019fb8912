//! How the kernel shall treat this process. Set while it may still do so, before its credentials go.

use corten_sys_linux::tuning;
use rustix::thread::sched_setaffinity;

use super::report::{At as _, Outcome, Step};
use crate::plan::Tuning;

pub(super) fn apply(wanted: &Tuning) -> Outcome<'_, ()> {
    if let Some(policy) = &wanted.memory_policy {
        tuning::set_memory_policy(policy).at(Step::MemoryPolicy, b"linux.memoryPolicy")?;
    }
    if let Some(personality) = wanted.personality {
        tuning::set_personality(personality).at(Step::Personality, b"linux.personality")?;
    }
    if let Some(priority) = wanted.io_priority {
        tuning::set_io_priority(priority).at(Step::IoPriority, b"process.ioPriority")?;
    }
    if let Some(scheduling) = wanted.scheduling {
        tuning::set_scheduling(scheduling).at(Step::Scheduling, b"process.scheduler")?;
    }
    if let Some(cpus) = &wanted.cpus_final {
        sched_setaffinity(None, cpus).at(Step::Affinity, b"process.execCPUAffinity.final")?;
    }
    Ok(())
}

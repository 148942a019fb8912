//! `memory`: limits, what is in use, and what the OOM killer took.

use super::set;
use crate::file::Files;
use crate::resources::{Limit, Missing};
use crate::{Cgroup, Error, MemoryStats, Resources, Version};

pub(crate) const NAME: &str = "memory";

const V1_LIMIT: &str = "memory.limit_in_bytes";
const V1_LIMIT_WITH_SWAP: &str = "memory.memsw.limit_in_bytes";

pub(crate) fn apply(
    group: &Cgroup,
    wanted: &Resources,
    missing: &mut Missing,
) -> Result<(), Error> {
    let version = group.hierarchies().version_of(NAME).unwrap_or(Version::V2);
    check(group, wanted, version)?;
    let memory = &wanted.memory;
    let swappiness = memory.swappiness.map(|value| value.to_string());
    let tcp = memory.kernel_tcp.map(Limit::v1);
    let no_killer = memory.disable_oom_killer.map(|off| if off { "1" } else { "0" }.to_owned());
    for (field, file, value) in [
        ("memory.swappiness", "memory.swappiness", swappiness),
        ("memory.kernelTcp", "memory.kmem.tcp.limit_in_bytes", tcp),
        ("memory.disableOomKiller", "memory.oom_control", no_killer),
    ] {
        match (value, version) {
            (None, _) => (),
            // How v2 behaves.
            (Some(value), Version::V2) if field == "memory.disableOomKiller" && value == "0" => (),
            (Some(_), Version::V2) => missing.report(NAME, field, "cgroup v2 has no such thing")?,
            (Some(value), Version::V1) => set(group, missing, NAME, field, file, &value)?,
        }
    }
    match version {
        Version::V1 => apply_v1(group, wanted, missing),
        Version::V2 => apply_v2(group, wanted, missing),
    }
}

/// v2 takes a limit below what is in use, and kills until it holds; v1 refuses it by itself, but
/// only after it has reclaimed for a while.
fn check(group: &Cgroup, wanted: &Resources, version: Version) -> Result<(), Error> {
    let (Some(Limit::Value(max)), true) = (wanted.memory.max, wanted.memory.check_before_update)
    else {
        return Ok(());
    };
    let file = match version {
        Version::V1 => "memory.usage_in_bytes",
        Version::V2 => "memory.current",
    };
    let usage = match group.controller(NAME) {
        Some(files) => files.read_number(file)?,
        None => None,
    };
    if usage.is_some_and(|usage| usage > max) {
        return Err(Error::InvalidValue {
            field: "memory.max".to_owned(),
            value: max.to_string(),
            reason: "is below what is in use, and checkBeforeUpdate is set",
        });
    }
    Ok(())
}

/// What v2 is to allow of swap alone.
fn swap_alone(group: &Cgroup, wanted: &Resources) -> Result<Option<Limit>, Error> {
    let Some(total) = wanted.memory.with_swap else { return Ok(wanted.memory.swap) };
    let Limit::Value(total) = total else { return Ok(Some(Limit::Max)) };
    let memory = match (wanted.memory.max, group.controller(NAME)) {
        (Some(max), _) => max,
        (None, Some(files)) => files.read_limit("memory.max")?.map_or(Limit::Max, Limit::Value),
        (None, None) => Limit::Max,
    };
    let invalid = |reason| Error::InvalidValue {
        field: "memory.withSwap".to_owned(),
        value: total.to_string(),
        reason,
    };
    match memory {
        Limit::Max => Err(invalid("is memory and swap together, so memory needs a limit too")),
        Limit::Value(memory) => match total.checked_sub(memory) {
            Some(swap) => Ok(Some(Limit::Value(swap))),
            None => {
                Err(invalid("is memory and swap together, so it cannot be below memory's limit"))
            }
        },
    }
}

fn apply_v2(group: &Cgroup, wanted: &Resources, missing: &mut Missing) -> Result<(), Error> {
    let memory = &wanted.memory;
    if let Some(swap) = swap_alone(group, wanted)?
        && !swap_is_moot(group, "memory.swap.max", swap)
    {
        set(group, missing, NAME, "memory.swap", "memory.swap.max", &swap.v2())?;
    }
    for (field, file, limit) in [
        ("memory.low", "memory.low", memory.low),
        ("memory.high", "memory.high", memory.high),
        ("memory.max", "memory.max", memory.max),
    ] {
        if let Some(limit) = limit {
            set(group, missing, NAME, field, file, &limit.v2())?;
        }
    }
    if let Some(whole) = memory.oom_group {
        let value = if whole { "1" } else { "0" };
        set(group, missing, NAME, "memory.oomGroup", "memory.oom.group", value)?;
    }
    Ok(())
}

fn apply_v1(group: &Cgroup, wanted: &Resources, missing: &mut Missing) -> Result<(), Error> {
    let memory = &wanted.memory;
    if let Some(low) = memory.low {
        set(group, missing, NAME, "memory.low", "memory.soft_limit_in_bytes", &low.v1())?;
    }
    if memory.high.is_some() {
        missing.report(NAME, "memory.high", "cgroup v1 has no such limit")?;
    }
    // `false` is how v1 behaves.
    if memory.oom_group == Some(true) {
        missing.report(NAME, "memory.oomGroup", "cgroup v1 has no such thing")?;
    }
    let set_limit = |missing: &mut Missing| match memory.max {
        Some(max) => set(group, missing, NAME, "memory.max", V1_LIMIT, &max.v1()),
        None => Ok(()),
    };
    let with_swap = match memory.with_swap {
        Some(total) => Some((total, true)),
        None => limit_with_swap(group, memory.max, memory.swap)?,
    };
    let Some((with_swap, asked)) = with_swap else {
        return set_limit(missing);
    };
    if !asked && group.controller(NAME).is_none_or(|files| !files.exists(V1_LIMIT_WITH_SWAP))
        || swap_alone_v1(group, wanted)?
            .is_some_and(|swap| swap_is_moot(group, V1_LIMIT_WITH_SWAP, swap))
    {
        return set_limit(missing);
    }
    // The kernel keeps memory <= memory + swap at every moment, so the order is the direction's.
    let current = match group.controller(NAME) {
        Some(files) => files.read_limit(V1_LIMIT_WITH_SWAP)?,
        None => None,
    };
    let raises = match (with_swap, current) {
        (_, None) => false,
        (Limit::Max, Some(_)) => true,
        (Limit::Value(new), Some(old)) => new > old,
    };
    if !raises {
        set_limit(missing)?;
    }
    set(group, missing, NAME, "memory.swap", V1_LIMIT_WITH_SWAP, &with_swap.v1())?;
    if raises { set_limit(missing) } else { Ok(()) }
}

/// What of a sum would be swap alone, where the sum has to be given up.
fn swap_alone_v1(group: &Cgroup, wanted: &Resources) -> Result<Option<Limit>, Error> {
    let Some(Limit::Value(total)) = wanted.memory.with_swap else { return Ok(wanted.memory.swap) };
    let memory = match (wanted.memory.max, group.controller(NAME)) {
        (Some(max), _) => max,
        (None, Some(files)) => files.read_limit(V1_LIMIT)?.map_or(Limit::Max, Limit::Value),
        (None, None) => Limit::Max,
    };
    Ok(match memory {
        Limit::Value(memory) => Some(Limit::Value(total.saturating_sub(memory))),
        Limit::Max => None,
    })
}

/// v1 limits memory and swap together. The second part says whether swap was asked for: if not,
/// the sum only has to make room for a raised memory limit.
fn limit_with_swap(
    group: &Cgroup,
    max: Option<Limit>,
    swap: Option<Limit>,
) -> Result<Option<(Limit, bool)>, Error> {
    let memory = match max {
        Some(max) => max,
        None => match group.controller(NAME) {
            Some(files) => files.read_limit(V1_LIMIT)?.map_or(Limit::Max, Limit::Value),
            None => Limit::Max,
        },
    };
    Ok(match (memory, swap) {
        (_, Some(Limit::Max)) | (Limit::Max, Some(Limit::Value(_))) => Some((Limit::Max, true)),
        (Limit::Value(memory), Some(Limit::Value(swap))) => {
            Some((Limit::Value(memory.saturating_add(swap)), true))
        }
        (Limit::Max, None) if max.is_some() => Some((Limit::Max, false)),
        (Limit::Value(memory), None) if max.is_some() => {
            let current = match group.controller(NAME) {
                Some(files) => files.read_limit(V1_LIMIT_WITH_SWAP)?,
                None => None,
            };
            current.filter(|current| *current < memory).map(|_| (Limit::Value(memory), false))
        }
        (_, None) => None,
    })
}

/// "No swap" holds by itself on a kernel that does not count swap, while the machine has none.
fn swap_is_moot(group: &Cgroup, file: &str, swap: Limit) -> bool {
    swap == Limit::Value(0)
        && group.controller(NAME).is_some_and(|files| !files.exists(file))
        && std::fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() <= 1)
}

pub(crate) fn stats(group: &Cgroup) -> Result<Option<MemoryStats>, Error> {
    let Some(files) = group.controller(NAME) else { return Ok(None) };
    match files.version() {
        Version::V1 => stats_v1(files),
        Version::V2 => stats_v2(files),
    }
}

fn stats_v1(files: &Files) -> Result<Option<MemoryStats>, Error> {
    let Some(usage) = files.read_number("memory.usage_in_bytes")? else { return Ok(None) };
    let map = files.read_map("memory.stat")?.unwrap_or_default();
    let get = |key: &str| map.get(key).copied().unwrap_or(0);
    let with_swap = files.read_number("memory.memsw.usage_in_bytes")?.unwrap_or(usage);
    Ok(Some(MemoryStats {
        usage,
        working_set: usage.saturating_sub(get("total_inactive_file")),
        limit: files.read_limit(V1_LIMIT)?,
        swap: with_swap.saturating_sub(usage),
        rss: get("total_rss"),
        cache: get("total_cache"),
        page_faults: get("total_pgfault"),
        major_page_faults: get("total_pgmajfault"),
        oom_kills: oom_kills(files)?,
    }))
}

fn stats_v2(files: &Files) -> Result<Option<MemoryStats>, Error> {
    // The root, and a cgroup that the controller is not enabled for, have no such file.
    let Some(usage) = files.read_number("memory.current")? else { return Ok(None) };
    let map = files.read_map("memory.stat")?.unwrap_or_default();
    let get = |key: &str| map.get(key).copied().unwrap_or(0);
    Ok(Some(MemoryStats {
        usage,
        working_set: usage.saturating_sub(get("inactive_file")),
        limit: files.read_limit("memory.max")?,
        swap: files.read_number("memory.swap.current")?.unwrap_or(0),
        rss: get("anon"),
        cache: get("file"),
        page_faults: get("pgfault"),
        major_page_faults: get("pgmajfault"),
        oom_kills: oom_kills(files)?,
    }))
}

/// The file that counts the OOM killer's victims, in this cgroup and below.
pub(crate) fn oom_file(version: Version) -> &'static str {
    match version {
        Version::V1 => "memory.oom_control",
        Version::V2 => "memory.events",
    }
}

fn oom_kills(files: &Files) -> Result<u64, Error> {
    let map = files.read_map(oom_file(files.version()))?.unwrap_or_default();
    Ok(map.get("oom_kill").copied().unwrap_or(0))
}

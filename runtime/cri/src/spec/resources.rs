//! `linux.resources`.

use corten_api_cri::v1::{HugepageLimit, LinuxContainerResources};
use serde_json::{Map, Value, json};

use crate::error::{OperationError, Outcome};

/// What is in the request; zero is the interface's way to say nothing.
pub(super) fn build(asked: &LinuxContainerResources, privileged: bool) -> Value {
    let mut cpu = Map::new();
    let mut memory = Map::new();
    let set = |map: &mut Map<String, Value>, name: &str, value: i64| {
        if value != 0 {
            map.insert(name.to_owned(), json!(value));
        }
    };
    set(&mut cpu, "shares", asked.cpu_shares);
    set(&mut cpu, "quota", asked.cpu_quota);
    set(&mut cpu, "period", asked.cpu_period);
    set(&mut memory, "limit", asked.memory_limit_in_bytes);
    set(&mut memory, "swap", asked.memory_swap_limit_in_bytes);
    for (name, list) in [("cpus", &asked.cpuset_cpus), ("mems", &asked.cpuset_mems)] {
        if !list.is_empty() {
            cpu.insert(name.to_owned(), json!(list));
        }
    }
    let mut resources = json!({ "devices": device_rules(privileged) });
    if !cpu.is_empty() {
        resources["cpu"] = Value::Object(cpu);
    }
    if !memory.is_empty() {
        resources["memory"] = Value::Object(memory);
    }
    if !asked.hugepage_limits.is_empty() {
        let limits = asked.hugepage_limits.iter();
        resources["hugepageLimits"] =
            limits.map(|one| json!({ "pageSize": one.page_size, "limit": one.limit })).collect();
    }
    if !asked.unified.is_empty() {
        resources["unified"] = json!(asked.unified);
    }
    resources
}

/// OCI's default devices and pseudo-terminals; nodes may be made of any device, but not opened.
fn device_rules(privileged: bool) -> Value {
    if privileged {
        return json!([{ "allow": true, "access": "rwm" }]);
    }
    // /dev/null zero full tty random urandom ptmx, linux/Documentation/admin-guide/devices.txt.
    let nodes = [(1, 3), (1, 5), (1, 7), (5, 0), (1, 8), (1, 9), (5, 2)];
    let mut rules = vec![
        json!({ "allow": false, "access": "rwm" }),
        json!({ "allow": true, "type": "c", "access": "m" }),
        json!({ "allow": true, "type": "b", "access": "m" }),
    ];
    rules.extend(nodes.iter().map(|(major, minor)| {
        json!({ "allow": true, "type": "c", "major": major, "minor": minor, "access": "rwm" })
    }));
    // /dev/pts/*
    rules.push(json!({ "allow": true, "type": "c", "major": 136, "access": "rwm" }));
    Value::Array(rules)
}

/// Refuses what cannot be meant. `at` is the field's path.
pub(crate) fn check(asked: &LinuxContainerResources, at: &str) -> Outcome<()> {
    let number = |name: &str, value: i64, least: i64, what: &str| {
        if value != 0 && value < least {
            return Err(OperationError::invalid(
                format!("{at}.{name}"),
                format!("{value} is below {least}, the least {what}"),
            ));
        }
        Ok(())
    };
    number("cpu_shares", asked.cpu_shares, 2, "the kernel takes")?;
    number("cpu_period", asked.cpu_period, 1_000, "the kernel takes, in microseconds")?;
    if asked.cpu_quota != -1 {
        number("cpu_quota", asked.cpu_quota, 1_000, "the kernel takes, in microseconds")?;
    }
    number("memory_limit_in_bytes", asked.memory_limit_in_bytes, 1, "limit")?;
    let swap = asked.memory_swap_limit_in_bytes;
    if swap != -1 {
        number(
            "memory_swap_limit_in_bytes",
            swap,
            asked.memory_limit_in_bytes,
            "with that memory",
        )?;
    }
    if swap > 0 && asked.memory_limit_in_bytes <= 0 {
        return Err(OperationError::invalid(
            format!("{at}.memory_swap_limit_in_bytes"),
            "it includes memory, so memory_limit_in_bytes must be set too",
        ));
    }
    if !(-1000..=1000).contains(&asked.oom_score_adj) {
        return Err(OperationError::invalid(
            format!("{at}.oom_score_adj"),
            format!("{} is not in -1000..=1000", asked.oom_score_adj),
        ));
    }
    for HugepageLimit { page_size, limit } in &asked.hugepage_limits {
        if i64::try_from(*limit).is_err() {
            return Err(OperationError::invalid(
                format!("{at}.hugepage_limits"),
                format!("{limit} bytes of {page_size} pages are more than the kernel can count"),
            ));
        }
    }
    for name in asked.unified.keys() {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._".contains(&byte));
        if !plain || !name.contains('.') || name.starts_with('.') {
            return Err(OperationError::invalid(
                format!("{at}.unified[{name:?}]"),
                "not the name of a cgroup v2 file",
            ));
        }
    }
    Ok(())
}

/// `current` with what `change` says put over it.
pub(crate) fn merge(
    current: &LinuxContainerResources,
    change: &LinuxContainerResources,
) -> LinuxContainerResources {
    let number = |old: i64, new: i64| if new == 0 { old } else { new };
    let text = |old: &String, new: &String| if new.is_empty() { old.clone() } else { new.clone() };
    let mut unified = current.unified.clone();
    unified.extend(change.unified.clone());
    let mut hugepage_limits = current.hugepage_limits.clone();
    for limit in &change.hugepage_limits {
        hugepage_limits.retain(|known| known.page_size != limit.page_size);
        hugepage_limits.push(limit.clone());
    }
    LinuxContainerResources {
        cpu_period: number(current.cpu_period, change.cpu_period),
        cpu_quota: number(current.cpu_quota, change.cpu_quota),
        cpu_shares: number(current.cpu_shares, change.cpu_shares),
        memory_limit_in_bytes: number(current.memory_limit_in_bytes, change.memory_limit_in_bytes),
        oom_score_adj: number(current.oom_score_adj, change.oom_score_adj),
        cpuset_cpus: text(&current.cpuset_cpus, &change.cpuset_cpus),
        cpuset_mems: text(&current.cpuset_mems, &change.cpuset_mems),
        hugepage_limits,
        unified,
        memory_swap_limit_in_bytes: number(
            current.memory_swap_limit_in_bytes,
            change.memory_swap_limit_in_bytes,
        ),
    }
}

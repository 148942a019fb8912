//! Statistics in the shape of runc's `events`, which engines parse: v1's names and units, whatever
//! the hierarchy.

use corten_runtime_cgroup::{Counter, Details, IoStats, Pressure, PressureLine};
use serde_json::{Map, Value, json};

pub(super) fn data(details: &Details) -> Value {
    let hugetlb: Map<String, Value> = details
        .hugepages
        .iter()
        .map(|(size, counter)| {
            let Counter { usage, max_usage, failures, .. } = counter;
            (size.clone(), json!({ "usage": usage, "max": max_usage, "failcnt": failures }))
        })
        .collect();
    json!({
        "cpu": cpu(details),
        "cpuset": cpuset(details),
        "memory": memory(details),
        "pids": pids(details),
        "blkio": blkio(&details.io, details.pressure[2]),
        "hugetlb": hugetlb,
        "rdma": rdma(details),
        "intel_rdt": {},
        "network_interfaces": null,
    })
}

fn cpu(details: &Details) -> Value {
    let cpu = details.stats.cpu.clone().unwrap_or_default();
    let [all, kernel, user] = &details.per_cpu_nsec;
    let mut made = json!({
        "usage": {
            "total": cpu.usage_usec.saturating_mul(1000),
            "kernel": cpu.system_usec.saturating_mul(1000),
            "user": cpu.user_usec.saturating_mul(1000),
        },
        "throttling": {
            "periods": cpu.periods,
            "throttledPeriods": cpu.throttled,
            "throttledTime": cpu.throttled_usec.saturating_mul(1000),
        },
    });
    for (key, list) in [("percpu", all), ("percpu_kernel", kernel), ("percpu_user", user)] {
        if !list.is_empty() {
            made["usage"][key] = json!(list);
        }
    }
    with_pressure(made, details.pressure[0])
}

fn cpuset(details: &Details) -> Value {
    json!({
        "cpus": expand(&details.cpuset.cpus),
        "cpu_exclusive": 0,
        "mems": expand(&details.cpuset.mems),
        "mem_hardwall": 0,
        "mem_exclusive": 0,
        "memory_migrate": 0,
        "memory_spread_page": 0,
        "memory_spread_slab": 0,
        "memory_pressure": 0,
        "sched_load_balance": 0,
        "sched_relax_domain_level": 0,
    })
}

/// `0-2,7` as numbers. No kernel counts beyond these.
fn expand(list: &str) -> Vec<u16> {
    let number = |text: &str| text.trim().parse::<u16>().ok();
    list.split(',')
        .filter_map(|part| match part.split_once('-') {
            Some((first, last)) => Some(number(first)?..=number(last)?),
            None => number(part).map(|one| one..=one),
        })
        .flatten()
        .collect()
}

fn memory(details: &Details) -> Value {
    let raw = &details.memory;
    let cache = raw.get("cache").or_else(|| raw.get("file")).copied().unwrap_or(0);
    let usage = details.memory_usage;
    let mut swap = details.swap_usage;
    if !raw.contains_key("hierarchical_memory_limit") {
        // v2 counts swap alone; readers of this know v1, which counts both together.
        swap.usage = swap.usage.saturating_add(usage.usage);
        swap.limit = swap.limit.zip(usage.limit).map(|(one, two)| one.saturating_add(two));
    }
    let made = json!({
        "cache": cache,
        "usage": entry(usage),
        "swap": entry(swap),
        "kernel": entry(details.kernel_usage),
        "kernelTCP": entry(details.kernel_tcp_usage),
        "raw": raw,
    });
    with_pressure(made, details.pressure[1])
}

/// No limit is the largest number there is.
fn entry(counter: Counter) -> Value {
    json!({
        "limit": counter.limit.unwrap_or(u64::MAX),
        "usage": counter.usage,
        "max": counter.max_usage,
        "failcnt": counter.failures,
    })
}

/// No limit is nothing.
fn pids(details: &Details) -> Value {
    let pids = details.stats.pids.clone().unwrap_or_default();
    match pids.limit {
        Some(limit) => json!({ "current": pids.current, "limit": limit }),
        None => json!({ "current": pids.current }),
    }
}

fn blkio(devices: &[IoStats], pressure: Option<Pressure>) -> Value {
    type Get = fn(&IoStats) -> u64;
    let list = |gets: [(&str, Get); 3]| -> Vec<Value> {
        let entries = devices.iter().flat_map(|device| {
            gets.map(|(op, get)| {
                let IoStats { major, minor, .. } = device;
                json!({ "major": major, "minor": minor, "op": op, "value": get(device) })
            })
        });
        entries.collect()
    };
    let bytes = list([
        ("Read", |io| io.read_bytes),
        ("Write", |io| io.write_bytes),
        ("Discard", |io| io.discard_bytes),
    ]);
    let counts =
        list([("Read", |io| io.reads), ("Write", |io| io.writes), ("Discard", |io| io.discards)]);
    let made = if devices.is_empty() {
        json!({})
    } else {
        json!({ "ioServiceBytesRecursive": bytes, "ioServicedRecursive": counts })
    };
    with_pressure(made, pressure)
}

fn rdma(details: &Details) -> Value {
    let devices = details.rdma.iter().map(|one| {
        json!({ "device": one.device, "hca_handles": one.handles, "hca_objects": one.objects })
    });
    Value::Array(devices.collect())
}

fn with_pressure(mut made: Value, pressure: Option<Pressure>) -> Value {
    if let Some(Pressure { some, full }) = pressure {
        made["psi"] = json!({ "some": line(some), "full": line(full) });
    }
    made
}

fn line(line: PressureLine) -> Value {
    json!({
        "avg10": line.avg10,
        "avg60": line.avg60,
        "avg300": line.avg300,
        "total": line.total_usec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors() {
        assert_eq!(expand("0-2,7"), [0, 1, 2, 7]);
        assert_eq!(expand(""), [0_u16; 0]);
        assert_eq!(expand("x,3-1,5"), [5]);
    }

    #[test]
    fn v2_swap_is_told_as_v1_counts_it() {
        let details = Details {
            memory_usage: Counter { usage: 10, limit: Some(100), ..Counter::default() },
            swap_usage: Counter { usage: 5, limit: Some(50), ..Counter::default() },
            ..Details::default()
        };
        let data = data(&details);
        assert_eq!(data["memory"]["swap"]["usage"], 15);
        assert_eq!(data["memory"]["swap"]["limit"], 150);
        let v1 =
            Details { memory: [("hierarchical_memory_limit".to_owned(), 100)].into(), ..details };
        assert_eq!(super::data(&v1)["memory"]["swap"]["usage"], 5);
    }
}

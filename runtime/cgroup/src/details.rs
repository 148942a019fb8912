//! All that the kernel counts of a cgroup, for `events`.

use std::collections::BTreeMap;

use crate::controller::{cpuset, hugetlb, io, memory, rdma};
use crate::file::Files;
use crate::{Cgroup, Counter, CpusetStats, Details, Error, Pressure, PressureLine, Version};

pub(crate) fn of(group: &Cgroup) -> Result<Details, Error> {
    let mut details = Details {
        stats: group.stats()?,
        per_cpu_nsec: per_cpu(group)?,
        cpuset: cpus(group)?,
        hugepages: BTreeMap::new(),
        io: io::stats(group)?,
        rdma: rdma::stats(group)?,
        pressure: pressure(group)?,
        ..Details::default()
    };
    for one in &details.stats.hugepages {
        let Some(files) = group.controller(hugetlb::NAME) else { break };
        let name = format!("hugetlb.{}", one.page_size);
        let counter = match files.version() {
            Version::V1 => counter_v1(files, &name)?,
            Version::V2 => counter_v2(files, &name)?,
        };
        details.hugepages.insert(one.page_size.clone(), counter);
    }
    if let Some(files) = group.controller(memory::NAME) {
        details.memory = files.read_map("memory.stat")?.unwrap_or_default();
        match files.version() {
            Version::V1 => {
                details.memory_usage = counter_v1(files, "memory")?;
                details.swap_usage = counter_v1(files, "memory.memsw")?;
                details.kernel_usage = counter_v1(files, "memory.kmem")?;
                details.kernel_tcp_usage = counter_v1(files, "memory.kmem.tcp")?;
            }
            Version::V2 => {
                details.memory_usage = counter_v2(files, "memory")?;
                details.swap_usage = counter_v2(files, "memory.swap")?;
            }
        }
    }
    Ok(details)
}

fn counter_v1(files: &Files, name: &str) -> Result<Counter, Error> {
    let number = |what: &str| files.read_number(&format!("{name}.{what}"));
    Ok(Counter {
        usage: number("usage_in_bytes")?.unwrap_or(0),
        limit: files.read_limit(&format!("{name}.limit_in_bytes"))?,
        max_usage: number("max_usage_in_bytes")?.unwrap_or(0),
        failures: number("failcnt")?.unwrap_or(0),
    })
}

fn counter_v2(files: &Files, name: &str) -> Result<Counter, Error> {
    // Each time that an allocation found the limit reached.
    let events = files.read_map(&format!("{name}.events"))?.unwrap_or_default();
    Ok(Counter {
        usage: files.read_number(&format!("{name}.current"))?.unwrap_or(0),
        limit: files.read_limit(&format!("{name}.max"))?,
        // Since Linux 5.19 (memory) and 6.5 (swap).
        max_usage: files.read_number(&format!("{name}.peak"))?.unwrap_or(0),
        failures: events.get("max").copied().unwrap_or(0),
    })
}

fn per_cpu(group: &Cgroup) -> Result<[Vec<u64>; 3], Error> {
    let Some(files) = group.controller("cpuacct") else { return Ok(Default::default()) };
    let list = |name| {
        Ok::<_, Error>(files.read_if_present(name)?.map_or_else(Vec::new, |content| {
            content.split_whitespace().filter_map(|word| word.parse().ok()).collect()
        }))
    };
    Ok([
        list("cpuacct.usage_percpu")?,
        list("cpuacct.usage_percpu_sys")?,
        list("cpuacct.usage_percpu_user")?,
    ])
}

fn cpus(group: &Cgroup) -> Result<CpusetStats, Error> {
    let Some(files) = group.controller(cpuset::NAME) else { return Ok(CpusetStats::default()) };
    let read = |name| Ok::<_, Error>(files.read_if_present(name)?.unwrap_or_default());
    match files.version() {
        Version::V1 => Ok(CpusetStats { cpus: read("cpuset.cpus")?, mems: read("cpuset.mems")? }),
        Version::V2 => Ok(CpusetStats {
            cpus: read("cpuset.cpus.effective")?,
            mems: read("cpuset.mems.effective")?,
        }),
    }
}

fn pressure(group: &Cgroup) -> Result<[Option<Pressure>; 3], Error> {
    let Some(files) = group.unified() else { return Ok([None; 3]) };
    let read = |name| match files.read_if_present(name) {
        Ok(content) => Ok(content.map(|content| parse_pressure(&content))),
        // Switched off by `cgroup.pressure`.
        Err(error) if error.errno() == Some(rustix::io::Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    };
    Ok([read("cpu.pressure")?, read("memory.pressure")?, read("io.pressure")?])
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same for `full`.
fn parse_pressure(content: &str) -> Pressure {
    let mut pressure = Pressure::default();
    for line in content.lines() {
        let mut words = line.split(' ');
        let into = match words.next() {
            Some("some") => &mut pressure.some,
            Some("full") => &mut pressure.full,
            Some(_) | None => continue,
        };
        let mut made = PressureLine::default();
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            match key {
                "avg10" => made.avg10 = value.parse().unwrap_or(0.0),
                "avg60" => made.avg60 = value.parse().unwrap_or(0.0),
                "avg300" => made.avg300 = value.parse().unwrap_or(0.0),
                "total" => made.total_usec = value.parse().unwrap_or(0),
                _later => (),
            }
        }
        *into = made;
    }
    pressure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_of_pressure() {
        let pressure = parse_pressure(
            "some avg10=1.50 avg60=0.00 avg300=0.25 total=77\n\
             full avg10=0.50 avg60=0.00 avg300=0.00 total=3",
        );
        assert!((pressure.some.avg10 - 1.5).abs() < f64::EPSILON);
        assert_eq!((pressure.some.total_usec, pressure.full.total_usec), (77, 3));
        assert_eq!(parse_pressure("nonsense"), Pressure::default());
    }
}

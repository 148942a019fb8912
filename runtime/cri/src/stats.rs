//! What containers and pods use.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use corten_api_cri::v1::{
    ContainerAttributes, ContainerStats, CpuUsage, FilesystemIdentifier, FilesystemUsage,
    LinuxPodSandboxStats, MemoryUsage, NetworkInterfaceUsage, NetworkUsage, PodSandboxAttributes,
    PodSandboxStats, ProcessUsage, SwapUsage, UInt64Value,
};

use crate::cgroups::CgroupUsage;
use crate::container::Container;
use crate::error::{OperationError, Outcome, chain};
use crate::images::DiskUsage;
use crate::network::INTERFACE;
use crate::sandbox::{self, Sandbox};
use crate::service::Service;
use crate::store::{ContainerPhase, ContainerRecord, SandboxPhase, SandboxRecord};

mod interfaces;

/// Rates over less than this say nothing.
const RATE_SPAN_MIN: Duration = Duration::from_millis(200);

/// The last reading of each processor clock, for rates.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    last: Mutex<BTreeMap<String, Sample>>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at_ns: i64,
    cpu_ns: u64,
    rate: Option<u64>,
}

impl Samples {
    /// Processor nanoseconds per second since the last reading but one; nothing at first.
    fn rate(&self, id: &str, at_ns: i64, cpu_ns: u64) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.get(id).copied();
        let Some(before) = before else {
            last.insert(id.to_owned(), Sample { at_ns, cpu_ns, rate: None });
            return None;
        };
        let span = u128::try_from(at_ns.saturating_sub(before.at_ns)).unwrap_or_default();
        if span < RATE_SPAN_MIN.as_nanos() {
            return before.rate;
        }
        let used = u128::from(cpu_ns.saturating_sub(before.cpu_ns));
        let rate = u64::try_from(used * 1_000_000_000 / span).ok();
        last.insert(id.to_owned(), Sample { at_ns, cpu_ns, rate });
        rate
    }

    pub(crate) fn forget(&self, id: &str) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

fn value(number: Option<u64>) -> Option<UInt64Value> {
    number.map(|value| UInt64Value { value })
}

/// One container's; its numbers are absent when it does not run.
pub(crate) async fn container(service: &Service, container: &Container) -> Outcome<ContainerStats> {
    let record = container.record();
    let (path, id) = (record.cgroup_path.clone(), record.id.clone());
    let (usage, written) = service
        .blocking("read statistics", move |parts| {
            (parts.cgroups.usage(&path), parts.images.written(&id))
        })
        .await?;
    let usage = usage.map_err(|source| OperationError::Cgroup {
        doing: "read the statistics of",
        path: record.cgroup_path.clone(),
        source,
    })?;
    // A container that is being removed has no root file system any more.
    Ok(container_message(service, &record, usage.as_ref(), written.ok()))
}

fn container_message(
    service: &Service,
    record: &ContainerRecord,
    usage: Option<&CgroupUsage>,
    written: Option<DiskUsage>,
) -> ContainerStats {
    let now = service.now();
    let limit = record.resources.memory_limit_in_bytes;
    ContainerStats {
        attributes: Some(ContainerAttributes {
            id: record.id.clone(),
            metadata: Some(record.metadata()),
            labels: record.config.labels.clone(),
            annotations: record.config.annotations.clone(),
        }),
        cpu: usage.map(|usage| cpu(service, &record.id, now, usage)),
        memory: usage.map(|usage| memory(now, usage)),
        writable_layer: written.map(|disk| filesystem(now, &disk)),
        swap: usage.map(|usage| SwapUsage {
            timestamp: now,
            swap_available_bytes: swap_available(limit, record, usage),
            swap_usage_bytes: value(usage.swap_bytes),
        }),
        io: None,
    }
}

fn swap_available(
    limit: i64,
    record: &ContainerRecord,
    usage: &CgroupUsage,
) -> Option<UInt64Value> {
    let both = record.resources.memory_swap_limit_in_bytes;
    let room = u64::try_from(both.checked_sub(limit)?).ok().filter(|_| both > 0 && limit > 0)?;
    value(Some(room.saturating_sub(usage.swap_bytes.unwrap_or_default())))
}

fn cpu(service: &Service, id: &str, now: i64, usage: &CgroupUsage) -> CpuUsage {
    CpuUsage {
        timestamp: now,
        usage_core_nano_seconds: value(usage.cpu_ns),
        usage_nano_cores: value(usage.cpu_ns.and_then(|ns| service.samples.rate(id, now, ns))),
        psi: None,
    }
}

fn memory(now: i64, usage: &CgroupUsage) -> MemoryUsage {
    let available = usage.memory_limit_bytes.zip(usage.memory_working_set_bytes);
    MemoryUsage {
        timestamp: now,
        working_set_bytes: value(usage.memory_working_set_bytes),
        available_bytes: value(available.map(|(limit, used)| limit.saturating_sub(used))),
        usage_bytes: value(usage.memory_bytes),
        rss_bytes: value(usage.memory_rss_bytes),
        page_faults: value(usage.page_faults),
        major_page_faults: value(usage.page_faults_major),
        psi: None,
    }
}

/// What a file system holds, in the interface's form.
pub(crate) fn filesystem(now: i64, disk: &DiskUsage) -> FilesystemUsage {
    FilesystemUsage {
        timestamp: now,
        fs_id: Some(FilesystemIdentifier { mountpoint: disk.path.to_string_lossy().into_owned() }),
        used_bytes: value(Some(disk.bytes)),
        inodes_used: value(Some(disk.inodes)),
    }
}

/// Whether a container has anything to measure.
pub(crate) fn measurable(record: &ContainerRecord) -> bool {
    matches!(record.phase, ContainerPhase::Running)
}

/// One pod's: its cgroup, its interfaces, and its running containers.
pub(crate) async fn pod(service: &Arc<Service>, sandbox: &Sandbox) -> Outcome<PodSandboxStats> {
    let record = sandbox.record();
    let mut containers = Vec::new();
    for entry in service.containers_of(&sandbox.id) {
        if measurable(&entry.record()) {
            containers.push(container(service, &entry).await?);
        }
    }
    let usage = pod_usage(service, &record).await?;
    let now = service.now();
    let linux = LinuxPodSandboxStats {
        cpu: usage.as_ref().map(|usage| cpu(service, &record.id, now, usage)),
        memory: usage.as_ref().map(|usage| memory(now, usage)),
        network: network(service, &record).await,
        process: usage
            .as_ref()
            .map(|usage| ProcessUsage { timestamp: now, process_count: value(usage.processes) }),
        containers,
        io: None,
    };
    Ok(PodSandboxStats {
        attributes: Some(PodSandboxAttributes {
            id: record.id.clone(),
            metadata: Some(record.metadata()),
            labels: record.config.labels.clone(),
            annotations: record.config.annotations.clone(),
        }),
        linux: Some(linux),
        windows: None,
    })
}

/// The pod's own cgroup; without one (no parent was named) pods share theirs, and it says nothing.
async fn pod_usage(service: &Service, record: &SandboxRecord) -> Outcome<Option<CgroupUsage>> {
    let named = record.config.linux.as_ref().is_some_and(|linux| !linux.cgroup_parent.is_empty());
    if !named {
        return Ok(None);
    }
    let path = record.cgroup_parent.clone();
    let usage =
        service.blocking("read statistics", move |parts| parts.cgroups.usage(&path)).await?;
    usage.map_err(|source| OperationError::Cgroup {
        doing: "read the statistics of",
        path: record.cgroup_parent.clone(),
        source,
    })
}

async fn network(service: &Service, record: &SandboxRecord) -> Option<NetworkUsage> {
    if sandbox::on_node_network(record) || record.phase != SandboxPhase::Ready {
        return None;
    }
    let path = service.config.namespace_dir(&record.id).join("net");
    let read = service.blocking("read interfaces", move |_| interfaces::read(&path)).await;
    let counters = match read {
        Ok(Ok(counters)) => counters,
        Ok(Err(error)) => {
            tracing::debug!(sandbox = record.id, cause = %error, "no interface statistics");
            return None;
        }
        Err(error) => {
            tracing::debug!(sandbox = record.id, cause = chain(&error), "no interface statistics");
            return None;
        }
    };
    let interfaces: Vec<_> = counters.into_iter().filter(|one| one.name != "lo").collect();
    let default = interfaces.iter().find(|one| one.name == INTERFACE);
    Some(NetworkUsage {
        timestamp: service.now(),
        default_interface: default.map(interface),
        interfaces: interfaces.iter().filter(|one| one.name != INTERFACE).map(interface).collect(),
    })
}

fn interface(counters: &interfaces::Counters) -> NetworkInterfaceUsage {
    NetworkInterfaceUsage {
        name: counters.name.clone(),
        rx_bytes: value(Some(counters.rx_bytes)),
        rx_errors: value(Some(counters.rx_errors)),
        tx_bytes: value(Some(counters.tx_bytes)),
        tx_errors: value(Some(counters.tx_errors)),
    }
}

/// What all images occupy.
pub(crate) async fn images(service: &Service) -> Outcome<FilesystemUsage> {
    let usage = service.blocking("measure images", |parts| parts.images.usage()).await?;
    let usage = usage.map_err(|source| OperationError::Image {
        doing: "measure",
        image: "all".to_owned(),
        source,
    })?;
    Ok(filesystem(service.now(), &usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_over_the_time_between_readings() {
        let samples = Samples::default();
        let second = 1_000_000_000_i64;
        assert_eq!(samples.rate("c", 0, 0), None);
        assert_eq!(samples.rate("c", second, 500_000_000), Some(500_000_000));
        // Too soon after: the last rate stands, and counts on from its own reading.
        assert_eq!(samples.rate("c", second + 1000, 500_000_900), Some(500_000_000));
        assert_eq!(samples.rate("c", 3 * second, 700_000_000), Some(100_000_000));
        samples.forget("c");
        assert_eq!(samples.rate("c", 4 * second, 800_000_000), None);
    }
}

//! The Node's status and labels: pure.

use std::collections::BTreeMap;

use corten_api_cri::v1;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeStatus,
    NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::machine::{Machine, Pressure};
use crate::cgroups::Allocatable;
use crate::config::Config;

/// Images that the status lists at most (`nodeStatusMaxImages`), the largest.
const IMAGES_MAX: usize = 50;
/// Names listed of one image.
const IMAGE_NAMES_MAX: usize = 5;

/// What was seen of the node just now.
#[derive(Debug)]
pub(super) struct Sight {
    /// The runtime's conditions, or why it did not tell them.
    pub(super) runtime: Result<Vec<v1::RuntimeCondition>, String>,
    pub(super) images: Vec<v1::Image>,
    pub(super) pressure: Pressure,
    pub(super) now: Timestamp,
}

/// The labels that a Node of this kubelet has.
pub(super) fn labels(config: &Config, machine: &Machine) -> BTreeMap<String, String> {
    let mut labels = config.node_labels.clone();
    for (key, value) in [
        ("kubernetes.io/hostname", config.node_name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", machine.architecture.as_str()),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", machine.architecture.as_str()),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}

fn amounts(
    cpu: String,
    memory_bytes: u64,
    storage: String,
    pods: u32,
) -> BTreeMap<String, Quantity> {
    [
        ("cpu", cpu),
        ("memory", format!("{}Ki", memory_bytes / 1024)),
        ("ephemeral-storage", storage),
        ("pods", pods.to_string()),
    ]
    .map(|(name, amount)| (name.to_owned(), Quantity(amount)))
    .into()
}

fn cpu_text(milli: i64) -> String {
    if milli % 1000 == 0 { (milli / 1000).to_string() } else { format!("{milli}m") }
}

/// The whole status. Times of transition are kept from `told` where nothing changed.
pub(super) fn status(
    config: &Config,
    machine: &Machine,
    allocatable: Allocatable,
    sight: &Sight,
    told: Option<&NodeStatus>,
) -> NodeStatus {
    let address = |kind: &str, address: String| NodeAddress { type_: kind.to_owned(), address };
    let memory = u64::try_from(allocatable.memory_bytes).unwrap_or(0);
    // A tenth of the disk is what pods must leave (the nodefs eviction threshold).
    let storage = machine.storage_bytes - machine.storage_bytes / 10;
    NodeStatus {
        addresses: Some(vec![
            address("InternalIP", config.node_ip.to_string()),
            address("Hostname", config.node_name.clone()),
        ]),
        capacity: Some(amounts(
            machine.cpus.to_string(),
            machine.memory_bytes,
            format!("{}Ki", machine.storage_bytes / 1024),
            config.max_pods,
        )),
        allocatable: Some(amounts(
            cpu_text(allocatable.cpu_milli),
            memory,
            storage.to_string(),
            config.max_pods,
        )),
        conditions: Some(conditions(sight, told)),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(config.listen.port()) }),
        }),
        images: Some(images(&sight.images)),
        node_info: Some(NodeSystemInfo {
            architecture: machine.architecture.clone(),
            boot_id: machine.boot_id.clone(),
            container_runtime_version: machine.runtime.clone(),
            kernel_version: machine.kernel_version.clone(),
            kubelet_version: config.version.clone(),
            machine_id: machine.machine_id.clone(),
            operating_system: "linux".to_owned(),
            os_image: machine.os_image.clone(),
            system_uuid: machine.system_uuid.clone(),
            ..NodeSystemInfo::default()
        }),
        ..NodeStatus::default()
    }
}

fn images(all: &[v1::Image]) -> Vec<ContainerImage> {
    let mut sorted: Vec<&v1::Image> = all.iter().collect();
    sorted.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.id.cmp(&b.id)));
    let names = |image: &v1::Image| {
        let mut names: Vec<String> =
            image.repo_digests.iter().chain(&image.repo_tags).cloned().collect();
        names.truncate(IMAGE_NAMES_MAX);
        names
    };
    sorted
        .into_iter()
        .take(IMAGES_MAX)
        .map(|image| ContainerImage {
            names: Some(names(image)),
            size_bytes: i64::try_from(image.size).ok(),
        })
        .collect()
}

/// Why the runtime cannot run pods, if it cannot.
fn runtime_problem(runtime: &Result<Vec<v1::RuntimeCondition>, String>) -> Option<String> {
    let conditions = match runtime {
        Ok(conditions) => conditions,
        Err(cause) => return Some(format!("container runtime is down: {cause}")),
    };
    for (kind, what) in [
        ("RuntimeReady", "container runtime not ready"),
        ("NetworkReady", "container runtime network not ready"),
    ] {
        match conditions.iter().find(|c| c.r#type == kind) {
            Some(condition) if condition.status => {}
            Some(condition) => {
                return Some(format!(
                    "{what}: {kind}=false reason:{} message:{}",
                    condition.reason, condition.message
                ));
            }
            None => return Some(format!("{what}: {kind} is not told")),
        }
    }
    None
}

fn conditions(sight: &Sight, told: Option<&NodeStatus>) -> Vec<NodeCondition> {
    let problem = runtime_problem(&sight.runtime);
    let ready = match problem {
        None => (true, "KubeletReady", "kubelet is posting ready status".to_owned()),
        Some(problem) => (false, "KubeletNotReady", problem),
    };
    let Pressure { memory, disk, pids } = sight.pressure;
    let row = |kind, holds: bool, yes: [&'static str; 2], no: [&'static str; 2]| {
        let [reason, message] = if holds { yes } else { no };
        (kind, holds, reason, message.to_owned())
    };
    let list = [
        row(
            "MemoryPressure",
            memory,
            ["KubeletHasInsufficientMemory", "kubelet has insufficient memory available"],
            ["KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
        ),
        row(
            "DiskPressure",
            disk,
            ["KubeletHasDiskPressure", "kubelet has disk pressure"],
            ["KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
        ),
        row(
            "PIDPressure",
            pids,
            ["KubeletHasInsufficientPID", "kubelet has insufficient PID available"],
            ["KubeletHasSufficientPID", "kubelet has sufficient PID available"],
        ),
        ("Ready", ready.0, ready.1, ready.2),
    ];
    list.into_iter()
        .map(|(kind, holds, reason, message)| {
            let value = if holds { "True" } else { "False" };
            let known = told.into_iter().flat_map(|s| s.conditions.iter().flatten());
            let known = known.into_iter().find(|c| c.type_ == kind && c.status == value);
            let now = Time(sight.now);
            NodeCondition {
                last_heartbeat_time: known.and_then(|c| c.last_heartbeat_time.clone()),
                last_transition_time: known
                    .and_then(|c| c.last_transition_time.clone())
                    .or(Some(now)),
                message: Some(message),
                reason: Some(reason.to_owned()),
                status: value.to_owned(),
                type_: kind.to_owned(),
            }
        })
        .collect()
}

/// Whether two statuses say the same, heartbeats aside.
pub(super) fn same(a: &NodeStatus, b: &NodeStatus) -> bool {
    let plain = |status: &NodeStatus| {
        let conditions: Vec<_> = status
            .conditions
            .iter()
            .flatten()
            .map(|c| (c.type_.clone(), c.status.clone(), c.reason.clone(), c.message.clone()))
            .collect();
        conditions
    };
    // Conditions that others added to the told one do not count.
    let (ours, theirs) = (plain(a), plain(b));
    ours.iter().all(|condition| theirs.contains(condition))
        && a.addresses == b.addresses
        && a.capacity == b.capacity
        && a.allocatable == b.allocatable
        && a.node_info == b.node_info
        && a.images == b.images
        && a.daemon_endpoints == b.daemon_endpoints
}

/// Sets the heartbeat of every condition.
pub(super) fn beat(status: &mut NodeStatus, now: Timestamp) {
    for condition in status.conditions.iter_mut().flatten() {
        condition.last_heartbeat_time = Some(Time(now));
    }
}

/// Whether the node is Ready by this status.
pub(super) fn is_ready(status: &NodeStatus) -> bool {
    status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            cpus: 2,
            memory_bytes: 4 << 30,
            storage_bytes: 10 << 30,
            architecture: "amd64".to_owned(),
            kernel_version: "6.18".to_owned(),
            os_image: "Debian".to_owned(),
            machine_id: "m".to_owned(),
            system_uuid: "s".to_owned(),
            boot_id: "b".to_owned(),
            runtime: "corten://0.1.0".to_owned(),
        }
    }

    fn runtime(network: bool) -> Vec<v1::RuntimeCondition> {
        let condition = |kind: &str, status| v1::RuntimeCondition {
            r#type: kind.to_owned(),
            status,
            reason: "NetworkPluginNotReady".to_owned(),
            message: "no network config".to_owned(),
        };
        vec![condition("RuntimeReady", true), condition("NetworkReady", network)]
    }

    fn made(
        runtime: Result<Vec<v1::RuntimeCondition>, String>,
        pressure: Pressure,
        second: i64,
        told: Option<&NodeStatus>,
    ) -> NodeStatus {
        let allocatable = Allocatable { cpu_milli: 1500, memory_bytes: 3 << 30 };
        let now = Timestamp::from_second(second).unwrap();
        let sight = Sight { runtime, images: Vec::new(), pressure, now };
        status(&Config::default(), &machine(), allocatable, &sight, told)
    }

    #[test]
    fn a_node_without_network_is_not_ready_and_says_why() {
        let status = made(Ok(runtime(false)), Pressure::default(), 0, None);
        assert!(!is_ready(&status));
        let conditions = status.conditions.clone().unwrap();
        let ready = conditions.iter().find(|c| c.type_ == "Ready").unwrap();
        expect_test::expect![[r#"container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:no network config"#]]
            .assert_eq(ready.message.as_deref().unwrap());
        assert_eq!(status.allocatable.unwrap()["cpu"].0, "1500m");
    }

    #[test]
    fn only_a_change_moves_the_time_of_transition() {
        let first = made(Ok(runtime(true)), Pressure::default(), 10, None);
        assert!(is_ready(&first));
        let second = made(Ok(runtime(true)), Pressure::default(), 20, Some(&first));
        assert!(same(&second, &first));
        assert_eq!(second.conditions, first.conditions);
        let pressure = Pressure { memory: true, ..Pressure::default() };
        let third = made(Ok(runtime(true)), pressure, 30, Some(&second));
        assert!(!same(&third, &second));
        let conditions = third.conditions.unwrap();
        assert_eq!(conditions[0].reason.as_deref(), Some("KubeletHasInsufficientMemory"));
        assert_eq!(conditions[0].last_transition_time.as_ref().unwrap().0.as_second(), 30);
        assert_eq!(conditions[3].last_transition_time.as_ref().unwrap().0.as_second(), 10);
    }
}

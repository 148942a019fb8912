//! What is told of a sandbox.

use std::collections::BTreeMap;

use corten_api_cri::v1::{
    LinuxPodSandboxStatus, Namespace, PodIp, PodSandbox, PodSandboxNetworkStatus, PodSandboxState,
    PodSandboxStatus,
};
use serde_json::json;

use super::{on_node_network, security};
use crate::service::Service;
use crate::store::{SandboxPhase, SandboxRecord};

fn state(record: &SandboxRecord) -> PodSandboxState {
    match record.phase {
        SandboxPhase::Ready => PodSandboxState::SandboxReady,
        SandboxPhase::Creating | SandboxPhase::NotReady | SandboxPhase::Removing => {
            PodSandboxState::SandboxNotready
        }
    }
}

/// For lists.
pub(crate) fn list_item(record: &SandboxRecord) -> PodSandbox {
    PodSandbox {
        id: record.id.clone(),
        metadata: Some(record.metadata()),
        state: state(record).into(),
        created_at: record.created_at,
        labels: record.config.labels.clone(),
        annotations: record.config.annotations.clone(),
        runtime_handler: record.runtime_handler.clone(),
    }
}

/// In full.
pub(crate) fn status(record: &SandboxRecord) -> PodSandboxStatus {
    let mut ips = record.ips.iter().map(ToString::to_string);
    let ip = ips.next().unwrap_or_default();
    // On the node's network the pod has the node's addresses, which the kubelet knows.
    let network = (!on_node_network(record)).then(|| PodSandboxNetworkStatus {
        ip,
        additional_ips: ips.map(|ip| PodIp { ip }).collect(),
    });
    PodSandboxStatus {
        id: record.id.clone(),
        metadata: Some(record.metadata()),
        state: state(record).into(),
        created_at: record.created_at,
        network: Some(network.unwrap_or_default()),
        linux: Some(LinuxPodSandboxStatus {
            namespaces: Some(Namespace {
                options: Some(security(record).namespace_options.unwrap_or_default()),
            }),
        }),
        labels: record.config.labels.clone(),
        annotations: record.config.annotations.clone(),
        runtime_handler: record.runtime_handler.clone(),
    }
}

/// For `crictl inspectp`.
pub(crate) fn info(service: &Service, record: &SandboxRecord) -> BTreeMap<String, String> {
    let namespaces = service.config.namespace_dir(&record.id);
    let text = json!({
        "config": record.config,
        "cgroupParent": record.cgroup_parent,
        "namespaceDir": namespaces,
        "netNamespace": (!on_node_network(record)).then(|| namespaces.join("net")),
        "shimDir": service.config.shim_dir(&record.id),
        "ips": record.ips,
    });
    BTreeMap::from([("info".to_owned(), text.to_string())])
}

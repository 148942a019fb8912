//! What the scheduler keeps of a pod, worked out once.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, Pod, PodSpec};

use crate::resources::{BadQuantity, PodRequests};

/// The `metadata.uid` of a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodUid(pub String);

impl fmt::Display for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A port of the host that a pod takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// The address it is bound to; `0.0.0.0` for all.
    pub ip: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The port number.
    pub port: i32,
}

impl HostPort {
    /// Whether both can't be bound on one host.
    #[must_use]
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || self.ip == "0.0.0.0" || other.ip == "0.0.0.0")
    }
}

/// A pod with everything that plugins read often.
#[derive(Debug)]
pub struct PodInfo {
    /// The pod as the API server told it.
    pub pod: Arc<Pod>,
    /// Its uid.
    pub uid: PodUid,
    /// What it asks for.
    pub requests: PodRequests,
    /// The ports of the host it takes.
    pub host_ports: Vec<HostPort>,
    /// Its priority, 0 unless set.
    pub priority: i32,
}

impl PodInfo {
    /// Works out what is kept.
    ///
    /// # Errors
    /// [`BadQuantity`] when a request can't be read.
    pub fn new(pod: Arc<Pod>) -> Result<Self, BadQuantity> {
        let uid = uid(&pod);
        let none = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&none);
        let requests = PodRequests::of(spec)?;
        let host_ports = host_ports(spec);
        let priority = spec.priority.unwrap_or_default();
        Ok(Self { pod, uid, requests, host_ports, priority })
    }

    /// The pod's specification.
    #[must_use]
    pub fn spec(&self) -> Option<&PodSpec> {
        self.pod.spec.as_ref()
    }

    /// `namespace/name`, as upstream prints it.
    #[must_use]
    pub fn full_name(&self) -> String {
        full_name(&self.pod)
    }
}

/// The pod's uid.
#[must_use]
pub fn uid(pod: &Pod) -> PodUid {
    PodUid(pod.metadata.uid.clone().unwrap_or_default())
}

/// `namespace/name`.
#[must_use]
pub fn full_name(pod: &Pod) -> String {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    format!("{namespace}/{}", pod.metadata.name.as_deref().unwrap_or_default())
}

/// The node it is bound to.
#[must_use]
pub fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

/// Whether it has ended and so holds no resources.
#[must_use]
pub fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// What events about the pod refer to.
#[must_use]
pub fn reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        resource_version: pod.metadata.resource_version.clone(),
        field_path: None,
    }
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            let ip = port.host_ip.clone().filter(|ip| !ip.is_empty());
            Some(HostPort {
                ip: ip.unwrap_or_else(|| "0.0.0.0".to_owned()),
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port: number,
            })
        })
        .collect()
}

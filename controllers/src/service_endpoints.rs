//! Which pods answer for a Service, at which ports. Pure; EndpointSlices and Endpoints both are
//! made from it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::objects::{is_deleted, name, namespace};
use crate::pods;

/// The selector, unless endpoints are somebody else's business.
pub(crate) fn selector(service: &Service) -> Option<&BTreeMap<String, String>> {
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.as_ref().filter(|selector| !selector.is_empty())?;
    (spec.type_.as_deref() != Some("ExternalName")).then_some(selector)
}

/// Whether the Service selects the pod.
pub(crate) fn selects(service: &Service, pod: &Pod) -> bool {
    let Some(selector) = selector(service) else { return false };
    namespace(service) == namespace(pod)
        && selector.iter().all(|(key, value)| {
            pod.metadata.labels.as_ref().and_then(|l| l.get(key)) == Some(value)
        })
}

pub(crate) fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
}

pub(crate) fn publishes_not_ready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses) == Some(true)
}

/// A port as it is on one or more pods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) number: i32,
    pub(crate) protocol: String,
    pub(crate) app_protocol: Option<String>,
}

/// A pod that answers for the Service.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub(crate) pod: Arc<Pod>,
    /// Sorted; ports whose name no container has are left out.
    pub(crate) ports: Vec<Port>,
    pub(crate) serving: bool,
    pub(crate) terminating: bool,
}

impl Backend {
    /// Whether new connections should go there.
    pub(crate) fn is_ready(&self, service: &Service) -> bool {
        publishes_not_ready(service) || self.serving && !self.terminating
    }

    /// The pod's addresses of a family.
    pub(crate) fn addresses(&self, ipv6: bool) -> Vec<String> {
        let Some(status) = &self.pod.status else { return Vec::new() };
        let listed = status.pod_ips.iter().flatten().map(|ip| &ip.ip);
        let mut addresses: Vec<String> = listed.chain(&status.pod_ip).cloned().collect();
        addresses.retain(|one| one.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6() == ipv6));
        addresses.dedup();
        addresses.truncate(1);
        addresses
    }

    /// The name by which a headless Service's DNS tells this pod from others.
    pub(crate) fn hostname(&self, service: &Service) -> Option<String> {
        let spec = self.pod.spec.as_ref()?;
        let is_of_service = spec.subdomain.as_deref() == Some(name(service));
        spec.hostname.clone().filter(|hostname| is_of_service && !hostname.is_empty())
    }

    pub(crate) fn node(&self) -> Option<String> {
        pods::node_name(&self.pod).map(str::to_owned)
    }

    pub(crate) fn reference(&self) -> ObjectReference {
        ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: self.pod.metadata.namespace.clone(),
            name: self.pod.metadata.name.clone(),
            uid: self.pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }
    }
}

/// The pods that answer for the Service, by name. Pods without an address, and those that have
/// ended, do not.
pub(crate) fn backends(
    service: &Service,
    pods: impl IntoIterator<Item = Arc<Pod>>,
) -> Vec<Backend> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let mut backends: Vec<Backend> = pods
        .into_iter()
        .filter(|pod| selects(service, pod))
        .filter(|pod| !pods::is_terminal(pod) && has_address(pod))
        .map(|pod| Backend {
            ports: ports(spec, &pod),
            serving: pods::is_ready(&pod),
            terminating: is_deleted(&*pod),
            pod,
        })
        .collect();
    backends.sort_by(|a, b| name(&*a.pod).cmp(name(&*b.pod)));
    backends
}

fn has_address(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    status.and_then(|status| status.pod_ip.as_deref()).is_some_and(|ip| !ip.is_empty())
}

fn ports(spec: &ServiceSpec, pod: &Pod) -> Vec<Port> {
    let mut ports: Vec<Port> = spec
        .ports
        .iter()
        .flatten()
        .filter_map(|port| {
            Some(Port {
                name: port.name.clone().unwrap_or_default(),
                number: target(port, pod)?,
                protocol: protocol(port.protocol.as_deref()).to_owned(),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    ports.sort();
    ports
}

fn protocol(given: Option<&str>) -> &str {
    given.filter(|given| !given.is_empty()).unwrap_or("TCP")
}

fn target(port: &ServicePort, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None | Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(wanted)) if wanted.is_empty() => Some(port.port),
        Some(IntOrString::String(wanted)) => named(wanted, protocol(port.protocol.as_deref()), pod),
    }
}

/// The port that a container, or a sidecar, of the pod gives the name.
fn named(wanted: &str, of_protocol: &str, pod: &Pod) -> Option<i32> {
    let spec = pod.spec.as_ref()?;
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
    let mut fitting = ports.filter(|port| {
        port.name.as_deref() == Some(wanted) && protocol(port.protocol.as_deref()) == of_protocol
    });
    fitting.next().map(|port| port.container_port)
}

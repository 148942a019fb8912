//! From the API's objects to the model's.

use std::net::IpAddr;

use corten_proxy_model::{
    Endpoint, EndpointPort, EndpointSlice, Protocol, Service, ServiceName, ServicePort,
    TrafficPolicy, Warning,
};
use k8s_openapi::api::core::v1;
use k8s_openapi::api::discovery::v1 as discovery;

/// Says which Service a slice is of.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Somebody else serves these.
const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";

/// The API's default of `sessionAffinityConfig.clientIP.timeoutSeconds`: three hours.
const AFFINITY_S: i32 = 10_800;

/// A Service's name.
pub(crate) fn service_name(service: &v1::Service) -> ServiceName {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    ServiceName { namespace: text(&service.metadata.namespace), name: text(&service.metadata.name) }
}

/// A Service that packets can be sent to; nothing for one without addresses and for one that
/// another proxy serves. What is not honoured is added to `warnings`.
pub(crate) fn service(service: &v1::Service, warnings: &mut Vec<Warning>) -> Option<Service> {
    let labels = service.metadata.labels.as_ref();
    if labels.is_some_and(|labels| labels.contains_key(PROXY_NAME)) {
        return None;
    }
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    let mut warn = Warner { service: service_name(service), warnings };
    let texts = match &spec.cluster_ips {
        Some(list) if !list.is_empty() => list.clone(),
        _ => spec.cluster_ip.clone().into_iter().collect(),
    };
    let cluster_ips: Vec<IpAddr> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    if cluster_ips.is_empty() {
        return None;
    }
    let mut external_ips: Vec<IpAddr> = spec
        .external_ips
        .iter()
        .flatten()
        .filter_map(|text| warn.address("spec.externalIPs", text))
        .collect();
    external_ips.extend(load_balancer(service, &mut warn));
    let policy = |text: &Option<String>| match text.as_deref() {
        Some("Local") => TrafficPolicy::Local,
        _ => TrafficPolicy::Cluster,
    };
    not_honoured(spec, &mut warn);
    Some(Service {
        cluster_ips,
        external_ips,
        ports: spec
            .ports
            .iter()
            .flatten()
            .filter_map(|port| service_port(port, &mut warn))
            .collect(),
        affinity_s: affinity(spec),
        internal_policy: policy(&spec.internal_traffic_policy),
        external_policy: policy(&spec.external_traffic_policy),
    })
}

struct Warner<'a> {
    service: ServiceName,
    warnings: &'a mut Vec<Warning>,
}

impl Warner<'_> {
    fn add(&mut self, reason: &'static str, message: String) {
        self.warnings.push(Warning { service: self.service.clone(), reason, message });
    }

    fn address(&mut self, field: &str, text: &str) -> Option<IpAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            self.add("InvalidAddress", format!("{field}: {text:?} is not an address"));
        }
        address
    }
}

/// Addresses of a load balancer whose packets reach the node as they are.
fn load_balancer(service: &v1::Service, warn: &mut Warner<'_>) -> Vec<IpAddr> {
    let ingress = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let addresses: Vec<_> = ingress
        .and_then(|it| it.ingress.as_ref())
        .into_iter()
        .flatten()
        .filter(|it| it.ip_mode.as_deref() != Some("Proxy"))
        .filter_map(|it| it.ip.as_deref())
        .filter_map(|text| warn.address("status.loadBalancer.ingress", text))
        .collect();
    let spec = service.spec.as_ref();
    let ranges = spec.and_then(|spec| spec.load_balancer_source_ranges.as_ref());
    if ranges.is_some_and(|ranges| !ranges.is_empty()) && !addresses.is_empty() {
        // To serve everybody instead of few would open what is meant to be closed.
        let message = "spec.loadBalancerSourceRanges is not supported: the load balancer's \
                       addresses are not served; remove the field to serve them to all";
        warn.add("SourceRangesNotSupported", message.to_owned());
        return Vec::new();
    }
    addresses
}

/// Fields that upstream's proxy minds and this one does not.
fn not_honoured(spec: &v1::ServiceSpec, warn: &mut Warner<'_>) {
    if let Some(distribution) = &spec.traffic_distribution {
        let message = format!(
            "spec.trafficDistribution {distribution} is not honoured: endpoints are chosen \
             regardless of their place"
        );
        warn.add("TrafficDistributionNotSupported", message);
    }
    if let Some(port) = spec.health_check_node_port.filter(|port| *port != 0) {
        let message = format!("spec.healthCheckNodePort {port} is not served");
        warn.add("HealthCheckNodePortNotSupported", message);
    }
}

fn affinity(spec: &v1::ServiceSpec) -> Option<u32> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let config = spec.session_affinity_config.as_ref();
    let seconds = config.and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    u32::try_from(seconds.unwrap_or(AFFINITY_S)).ok()
}

fn protocol(text: Option<&str>) -> Option<Protocol> {
    match text {
        None | Some("TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(_) => None,
    }
}

fn service_port(port: &v1::ServicePort, warn: &mut Warner<'_>) -> Option<ServicePort> {
    let number = u16::try_from(port.port).ok().filter(|number| *number > 0);
    let protocol = protocol(port.protocol.as_deref());
    let Some((number, protocol)) = number.zip(protocol) else {
        let (port, protocol) = (port.port, port.protocol.as_deref().unwrap_or("TCP"));
        let message = format!("spec.ports: port {port} of protocol {protocol:?} is not served");
        warn.add("InvalidPort", message);
        return None;
    };
    Some(ServicePort {
        name: port.name.clone().unwrap_or_default(),
        protocol,
        port: number,
        node_port: port
            .node_port
            .and_then(|number| u16::try_from(number).ok())
            .filter(|number| *number > 0),
    })
}

/// The Service that a slice is of, and the slice; nothing for one that is of none.
pub(crate) fn slice(slice: &discovery::EndpointSlice) -> Option<(ServiceName, EndpointSlice)> {
    let metadata = &slice.metadata;
    let name = metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let service = ServiceName { namespace, name: name.clone() };
    let ports = slice
        .ports
        .iter()
        .flatten()
        .filter_map(|port| {
            Some(EndpointPort {
                name: port.name.clone().unwrap_or_default(),
                protocol: protocol(port.protocol.as_deref())?,
                port: u16::try_from(port.port?).ok().filter(|number| *number > 0)?,
            })
        })
        .collect();
    // FQDN slices have no addresses that packets could be sent to.
    let endpoints = slice
        .endpoints
        .iter()
        .flatten()
        .filter_map(|endpoint| {
            let conditions = endpoint.conditions.as_ref();
            let ready = conditions.and_then(|it| it.ready).unwrap_or(true);
            Some(Endpoint {
                address: endpoint.addresses.first()?.parse().ok()?,
                ready,
                serving: conditions.and_then(|it| it.serving).unwrap_or(ready),
                terminating: conditions.and_then(|it| it.terminating).unwrap_or(false),
                node: endpoint.node_name.clone(),
            })
        })
        .collect();
    Some((service, EndpointSlice { ports, endpoints }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(spec: &serde_json::Value) -> (Option<Service>, Vec<&'static str>) {
        let object = json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec,
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "x"}]}}});
        let mut warnings = Vec::new();
        let read = service(&serde_json::from_value(object).unwrap(), &mut warnings);
        (read, warnings.into_iter().map(|warning| warning.reason).collect())
    }

    #[test]
    fn a_service_in_full() {
        let (service, warnings) = read(&json!({
            "clusterIP": "10.43.0.9", "clusterIPs": ["10.43.0.9", "fd43::9"],
            "externalIPs": ["203.0.113.5"],
            "ports": [{"port": 53, "protocol": "UDP", "name": "dns", "nodePort": 30053}],
            "sessionAffinity": "ClientIP", "externalTrafficPolicy": "Local",
        }));
        let service = service.unwrap();
        assert_eq!(service.cluster_ips.len(), 2);
        assert_eq!(service.external_ips.len(), 2);
        assert_eq!((service.affinity_s, service.ports[0].node_port), (Some(10_800), Some(30053)));
        assert_eq!(service.external_policy, TrafficPolicy::Local);
        assert_eq!(service.internal_policy, TrafficPolicy::Cluster);
        assert_eq!(warnings, Vec::<&str>::new());
    }

    #[test]
    fn services_without_addresses_are_nobodys_business() {
        let specs = [
            json!({"clusterIP": "None"}),
            json!({"type": "ExternalName", "externalName": "example.org"}),
            json!({}),
        ];
        for spec in specs {
            assert_eq!(read(&spec), (None, vec![]));
        }
    }

    #[test]
    fn what_is_not_honoured_is_told() {
        let (service, warnings) = read(&json!({
            "clusterIP": "10.43.0.9", "externalIPs": ["nonsense"],
            "loadBalancerSourceRanges": ["10.0.0.0/8"],
            "trafficDistribution": "PreferSameNode", "healthCheckNodePort": 30001,
            "ports": [{"port": 70000}],
        }));
        assert_eq!(service.unwrap().external_ips, Vec::<IpAddr>::new());
        assert_eq!(
            warnings,
            [
                "InvalidAddress",
                "SourceRangesNotSupported",
                "TrafficDistributionNotSupported",
                "HealthCheckNodePortNotSupported",
                "InvalidPort"
            ]
        );
    }

    #[test]
    fn conditions_that_are_not_told_are_good() {
        let object = json!({
            "metadata": {"name": "web-1", "namespace": "default",
                "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}, {"name": "none"}],
            "endpoints": [
                {"addresses": ["10.42.0.2"]},
                {"addresses": ["10.42.0.3"], "nodeName": "n1",
                    "conditions": {"ready": false, "serving": true, "terminating": true}},
                {"addresses": []},
            ],
        });
        let (service, slice) = slice(&serde_json::from_value(object).unwrap()).unwrap();
        assert_eq!(service.to_string(), "default/web");
        assert_eq!((slice.ports.len(), slice.endpoints.len()), (1, 2));
        let states: Vec<_> = slice
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.ready, endpoint.serving, endpoint.terminating))
            .collect();
        assert_eq!(states, [(true, true, false), (false, true, true)]);
    }
}

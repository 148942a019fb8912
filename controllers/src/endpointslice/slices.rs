//! How a Service's endpoints are spread over slices, with as few changes as possible. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForNode, ForZone,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::objects::{name, owned_by};
use crate::service_endpoints::{Backend, Port, is_headless};

/// The label that names the Service.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that says who writes the slice.
pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Our value of it, upstream's, as clients look for it.
pub(super) const MANAGER: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";
/// Endpoints in a slice, at most.
const ENDPOINTS_MAX: usize = 100;

/// A write.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    Create(Box<EndpointSlice>),
    Update(Box<EndpointSlice>),
    Delete(Arc<EndpointSlice>),
}

/// All slices of one shape: the same family and ports.
type Group = (&'static str, Vec<Port>);

/// The changes that make `existing` say what `backends` are.
pub(super) fn changes(
    service: &Service,
    backends: &[Backend],
    existing: &[Arc<EndpointSlice>],
    zone: &dyn Fn(&str) -> Option<String>,
) -> Vec<Change> {
    let mut groups: BTreeMap<Group, Vec<Endpoint>> = BTreeMap::new();
    let families = families(service);
    for family in &families {
        let mut found = false;
        for backend in backends {
            let addresses = backend.addresses(*family == "IPv6");
            // Without any port only a headless Service's address is of use.
            let is_useful = !backend.ports.is_empty() || has_no_ports(service);
            if addresses.is_empty() || !is_useful {
                continue;
            }
            found = true;
            let endpoint = endpoint(service, backend, addresses, zone);
            groups.entry((*family, backend.ports.clone())).or_default().push(endpoint);
        }
        if !found {
            // An empty slice tells that the Service is known and has no endpoints.
            groups.insert((*family, Vec::new()), Vec::new());
        }
    }
    let mut by_group: BTreeMap<Group, Vec<&Arc<EndpointSlice>>> = BTreeMap::new();
    let mut changes = Vec::new();
    for slice in existing {
        let family = families.iter().find(|family| **family == slice.address_type);
        let group = family.map(|family| (*family, ports_of(slice)));
        match group.filter(|group| groups.contains_key(group)) {
            Some(group) => by_group.entry(group).or_default().push(slice),
            None => changes.push(Change::Delete(Arc::clone(slice))),
        }
    }
    for (group, endpoints) in groups {
        let slices = by_group.remove(&group).unwrap_or_default();
        spread(service, &group, endpoints, slices, &mut changes);
    }
    changes
}

fn spread(
    service: &Service,
    group: &Group,
    endpoints: Vec<Endpoint>,
    mut slices: Vec<&Arc<EndpointSlice>>,
    changes: &mut Vec<Change>,
) {
    slices.sort_by(|a, b| name(&***a).cmp(name(&***b)));
    let mut missing: BTreeMap<String, Endpoint> =
        endpoints.into_iter().map(|endpoint| (identity(&endpoint), endpoint)).collect();
    // What is in a slice stays there, in its new state.
    let mut kept: Vec<Vec<Endpoint>> = slices
        .iter()
        .map(|slice| {
            let before = slice.endpoints.iter().flatten();
            before.filter_map(|endpoint| missing.remove(&identity(endpoint))).collect()
        })
        .collect();
    let mut missing: Vec<Endpoint> = missing.into_values().collect();
    // Fill up the fullest first, so that others may empty.
    let mut by_room: Vec<usize> = (0..kept.len()).collect();
    by_room.sort_by_key(|at| std::cmp::Reverse(kept[*at].len()));
    for at in by_room {
        let room = ENDPOINTS_MAX.saturating_sub(kept[at].len()).min(missing.len());
        kept[at].extend(missing.drain(..room));
    }
    let total: usize = kept.iter().map(Vec::len).sum();
    let mut keep_one_empty = total == 0 && missing.is_empty();
    for (slice, endpoints) in slices.iter().zip(kept) {
        if endpoints.is_empty() && !keep_one_empty {
            changes.push(Change::Delete(Arc::clone(slice)));
            continue;
        }
        keep_one_empty &= !endpoints.is_empty();
        let wanted = updated(service, slice, endpoints);
        if wanted != ***slice {
            changes.push(Change::Update(Box::new(wanted)));
        }
    }
    if keep_one_empty {
        changes.push(Change::Create(Box::new(new(service, group, Vec::new()))));
    }
    for chunk in missing.chunks(ENDPOINTS_MAX) {
        changes.push(Change::Create(Box::new(new(service, group, chunk.to_vec()))));
    }
}

/// What makes an endpoint the same although its state changed.
fn identity(endpoint: &Endpoint) -> String {
    let uid = endpoint.target_ref.as_ref().and_then(|target| target.uid.clone());
    format!("{}/{}", uid.unwrap_or_default(), endpoint.addresses.join(","))
}

fn families(service: &Service) -> Vec<&'static str> {
    let named = service.spec.as_ref().and_then(|spec| spec.ip_families.as_deref());
    let is_ipv6 = |address: &str| address.contains(':');
    match named {
        Some(families) if !families.is_empty() => {
            families.iter().map(|one| if one == "IPv6" { "IPv6" } else { "IPv4" }).collect()
        }
        Some(_) | None => {
            let ip = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref());
            vec![if ip.is_some_and(is_ipv6) { "IPv6" } else { "IPv4" }]
        }
    }
}

fn has_no_ports(service: &Service) -> bool {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
    is_headless(service) && ports.is_none_or(Vec::is_empty)
}

fn endpoint(
    service: &Service,
    backend: &Backend,
    addresses: Vec<String>,
    zone: &dyn Fn(&str) -> Option<String>,
) -> Endpoint {
    let node = backend.node();
    let zone = node.as_deref().and_then(zone);
    let ready = backend.is_ready(service);
    Endpoint {
        addresses,
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(backend.serving),
            terminating: Some(backend.terminating),
        }),
        hints: hints(service, ready, node.as_deref(), zone.as_deref()),
        hostname: backend.hostname(service),
        node_name: node,
        target_ref: Some(backend.reference()),
        zone,
        deprecated_topology: None,
    }
}

/// Who should prefer the endpoint, by the Service's `trafficDistribution` (KEP-4444, KEP-3015).
fn hints(
    service: &Service,
    ready: bool,
    node: Option<&str>,
    zone: Option<&str>,
) -> Option<EndpointHints> {
    let distribution = service.spec.as_ref()?.traffic_distribution.as_deref()?;
    let for_zones = zone.map(|zone| vec![ForZone { name: zone.to_owned() }]);
    let for_nodes = (distribution == "PreferSameNode")
        .then(|| node.map(|node| vec![ForNode { name: node.to_owned() }]))
        .flatten();
    let is_known =
        matches!(distribution, "PreferClose" | "PreferSameZone" | "PreferSameNode") && ready;
    let is_told = for_zones.is_some() || for_nodes.is_some();
    (is_known && is_told).then_some(EndpointHints { for_nodes, for_zones })
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), name(service).to_owned());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

fn updated(service: &Service, slice: &EndpointSlice, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let mut wanted = slice.clone();
    wanted.metadata.labels = Some(labels(service));
    // `null` and the empty list mean the same.
    let was_absent = slice.endpoints.as_ref().is_none_or(Vec::is_empty);
    if !(endpoints.is_empty() && was_absent) {
        wanted.endpoints = Some(endpoints);
    }
    wanted
}

fn new(service: &Service, (family, ports): &Group, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let ports = ports.iter().map(|port| EndpointPort {
        name: Some(port.name.clone()),
        port: Some(port.number),
        protocol: Some(port.protocol.clone()),
        app_protocol: port.app_protocol.clone(),
    });
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", name(service))),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels(service)),
            owner_references: Some(vec![owned_by(service)]),
            ..ObjectMeta::default()
        },
        address_type: (*family).to_owned(),
        endpoints: Some(endpoints),
        ports: Some(ports.collect()),
    }
}

fn ports_of(slice: &EndpointSlice) -> Vec<Port> {
    let ports: BTreeSet<Port> = slice
        .ports
        .iter()
        .flatten()
        .map(|port| Port {
            name: port.name.clone().unwrap_or_default(),
            number: port.port.unwrap_or_default(),
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            app_protocol: port.app_protocol.clone(),
        })
        .collect();
    ports.into_iter().collect()
}

#[cfg(test)]
mod tests;

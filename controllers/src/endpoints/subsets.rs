//! What an Endpoints object should say. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Service,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::service_endpoints::{Backend, Port, is_headless, publishes_not_ready};

const HEADLESS: &str = "service.kubernetes.io/headless";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Addresses in an object, at most.
const ADDRESSES_MAX: usize = 1000;

/// Whether this controller wrote the object.
pub(super) fn is_ours(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).map(String::as_str) == Some(MANAGER)
}

/// The object that should be written, or `None` if `existing` says it already.
pub(super) fn change(
    service: &Service,
    backends: &[Backend],
    existing: Option<&Endpoints>,
) -> Option<Endpoints> {
    let (subsets, is_cut) = subsets(service, backends);
    let mut wanted = existing.cloned().unwrap_or_else(|| Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            ..ObjectMeta::default()
        },
        subsets: None,
    });
    wanted.metadata.labels = Some(labels(service));
    let mut annotations = wanted.metadata.annotations.take().unwrap_or_default();
    annotations.remove(OVER_CAPACITY);
    if is_cut {
        annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    }
    wanted.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    // The absent and the empty list mean the same.
    let was_absent = wanted.subsets.as_ref().is_none_or(Vec::is_empty);
    if !(subsets.is_empty() && was_absent) {
        wanted.subsets = (!subsets.is_empty()).then_some(subsets);
    }
    (existing != Some(&wanted)).then_some(wanted)
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

/// A subset per set of ports, and whether addresses had to be left out.
fn subsets(service: &Service, backends: &[Backend]) -> (Vec<EndpointSubset>, bool) {
    let ipv6 = service
        .spec
        .as_ref()
        .and_then(|spec| spec.ip_families.as_ref()?.first().cloned())
        .is_some_and(|family| family == "IPv6");
    let mut by_ports: BTreeMap<&[Port], (Vec<EndpointAddress>, Vec<EndpointAddress>)> =
        BTreeMap::new();
    let mut count = 0;
    let mut is_cut = false;
    // If not all have room, those that are ready come first.
    let ready_first = [true, false];
    for ready in ready_first {
        for backend in backends.iter().filter(|one| one.is_ready(service) == ready) {
            if backend.terminating && !publishes_not_ready(service) {
                continue;
            }
            if backend.ports.is_empty() && !is_headless(service) {
                continue;
            }
            let Some(ip) = backend.addresses(ipv6).into_iter().next() else { continue };
            if count == ADDRESSES_MAX {
                is_cut = true;
                continue;
            }
            count += 1;
            let address = EndpointAddress {
                ip,
                hostname: backend.hostname(service),
                node_name: backend.node(),
                target_ref: Some(backend.reference()),
            };
            let entry = by_ports.entry(&backend.ports).or_default();
            if ready { entry.0.push(address) } else { entry.1.push(address) }
        }
    }
    let some = |mut addresses: Vec<EndpointAddress>| {
        addresses.sort_by(|a, b| a.ip.cmp(&b.ip));
        (!addresses.is_empty()).then_some(addresses)
    };
    let subsets = by_ports.into_iter().map(|(ports, (ready, not_ready))| EndpointSubset {
        addresses: some(ready),
        not_ready_addresses: some(not_ready),
        ports: (!ports.is_empty()).then(|| ports.iter().map(port).collect()),
    });
    (subsets.collect(), is_cut)
}

fn port(port: &Port) -> EndpointPort {
    EndpointPort {
        name: (!port.name.is_empty()).then(|| port.name.clone()),
        port: port.number,
        protocol: Some(port.protocol.clone()),
        app_protocol: port.app_protocol.clone(),
    }
}

#[cfg(test)]
mod tests;

//! Which endpoints may be used.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::{Endpoint, EndpointSlice, ServicePort};

/// The usable endpoints of one port, of one family.
#[derive(Debug, Default)]
pub(crate) struct Usable {
    /// On any node.
    pub(crate) cluster: BTreeSet<SocketAddr>,
    /// On this node.
    pub(crate) local: BTreeSet<SocketAddr>,
}

/// Picks the endpoints that are ready; where none is, those that terminate but still serve
/// (KEP-1669). For this node's the same is asked apart.
pub(crate) fn usable(
    slices: &[&EndpointSlice],
    port: &ServicePort,
    ipv6: bool,
    node: Option<&str>,
) -> Usable {
    let select = |wanted: fn(&Endpoint) -> bool, local: bool| -> BTreeSet<SocketAddr> {
        slices
            .iter()
            .flat_map(|slice| {
                let ports = slice
                    .ports
                    .iter()
                    .filter(|it| it.name == port.name && it.protocol == port.protocol);
                ports.flat_map(|port| {
                    slice.endpoints.iter().map(move |endpoint| (endpoint, port.port))
                })
            })
            .filter(|(endpoint, _port)| endpoint.address.is_ipv6() == ipv6 && wanted(endpoint))
            .filter(|(endpoint, _port)| !local || is_local(endpoint, node))
            .map(|(endpoint, port)| SocketAddr::new(endpoint.address, port))
            .collect()
    };
    let or_terminating = |local: bool| {
        let ready = select(|endpoint| endpoint.ready, local);
        if ready.is_empty() {
            select(|endpoint| endpoint.serving && endpoint.terminating, local)
        } else {
            ready
        }
    };
    Usable { cluster: or_terminating(false), local: or_terminating(true) }
}

/// An endpoint of no node may be on this one.
pub(crate) fn is_local(endpoint: &Endpoint, node: Option<&str>) -> bool {
    node.is_some() && endpoint.node.as_deref() == node
}

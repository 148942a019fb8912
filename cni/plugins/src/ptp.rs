//! `ptp`: connects a container with the host by a veth pair of its own, without a bridge.
//!
//! The container reaches its network only by way of the host: in place of the kernel's route to
//! the network there is one to the gateway and one by the gateway.

use std::fs::File;

use corten_cni_types::{AddResult, CniError, Dns, Interface, codes};
use corten_sys_netlink::route::{Address, Link, LinkKind, Links, Route};
use rustix::io::Errno;
use serde::Deserialize;

use crate::interface::{self, Setup, host_net, kernel, shown};
use crate::skel::Call;
use crate::veth::{self, Pair};
use crate::{Plugin, conf, ipam, masquerade, netns};

pub(crate) const PLUGIN: Plugin = Plugin { name: "ptp", add, del, check, gc, status };

const HONOURED: &[&str] = &["ipMasq", "ipMasqBackend", "mtu"];

/// Where the container's interface stands in the result, after the host's end.
const CONTAINER_INTERFACE: usize = 1;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    #[serde(default)]
    ip_masq: bool,
    ip_masq_backend: Option<String>,
    #[serde(default)]
    mtu: u32,
    #[serde(default)]
    dns: Dns,
}

impl Options {
    fn read(call: &Call) -> Result<(Self, String), CniError> {
        let options: Self = conf::read(call, HONOURED)?;
        conf::refuse_backend("ipMasqBackend", options.ip_masq_backend.as_deref())?;
        let ipam_type = ipam::plugin_type(call)
            .ok_or_else(|| CniError::new(codes::INVALID_CONFIG, "ptp needs ipam"))?;
        Ok((options, ipam_type))
    }
}

fn add(call: &Call) -> Result<AddResult, CniError> {
    let (options, ipam_type) = Options::read(call)?;
    let namespace = netns::open(&call.netns)?;
    ipam::with_addresses(call, Some(&ipam_type), |mut result| {
        for ip in &mut result.ips {
            ip.interface = Some(CONTAINER_INTERFACE);
        }
        let mut links = interface::links()?;
        let mtu = (options.mtu != 0).then_some(options.mtu);
        let pair = Pair { ifname: &call.ifname, namespace: &namespace, master: 0, mac: None, mtu };
        let host_end = veth::add(&mut links, &pair)?;
        match set_up(call, &options, &mut links, &host_end, &namespace, &result) {
            Ok(inside) => result.interfaces = vec![shown(&host_end), inside],
            Err(mut error) => {
                if let Err(second) = links.delete_link(host_end.index) {
                    let name = &host_end.name;
                    error.details.push_str(&format!("; removing {name} failed too: {second}"));
                }
                return Err(error);
            }
        }
        if !options.dns.is_empty() {
            result.dns = options.dns.clone();
        }
        Ok(result)
    })
}

fn set_up(
    call: &Call,
    options: &Options,
    links: &mut Links,
    host_end: &Link,
    namespace: &File,
    result: &AddResult,
) -> Result<Interface, CniError> {
    let instead = routes_by_gateway(result)?;
    let setup = Setup { instead: &instead, ..Setup::default() };
    let inside = netns::enter(namespace, || interface::configure(&call.ifname, result, setup))?;
    for ip in &result.ips {
        netns::forward(ip.address.is_ipv4())?;
        let Some(gateway) = ip.gateway else { continue };
        let (address, prefix) = host_net(gateway);
        let wanted = Address { link: host_end.index, address, prefix };
        match links.add_address(wanted, false) {
            // Two addresses may have one gateway.
            Err(error) if error.is(Errno::EXIST) => {}
            outcome => outcome.map_err(kernel("give the host's end the gateway's address"))?,
        }
        let (destination, prefix) = host_net(ip.address.address());
        match links.add_route(&Route::new(destination, prefix, None, host_end.index)) {
            Err(error) if error.is(Errno::EXIST) => {}
            outcome => outcome.map_err(kernel("make the route to the container"))?,
        }
        if options.ip_masq {
            masquerade::ensure(&call.network, ip.address)?;
        }
    }
    Ok(interface::inside(call, inside))
}

/// The container's routes to its networks: to the gateway directly, to all others by it.
fn routes_by_gateway(result: &AddResult) -> Result<Vec<Route>, CniError> {
    let mut routes: Vec<Route> = Vec::new();
    for ip in &result.ips {
        let Some(gateway) = ip.gateway else {
            let msg = format!("ptp needs a gateway for {}", ip.address);
            return Err(CniError::new(codes::INVALID_CONFIG, msg));
        };
        let source = Some(ip.address.address());
        let (destination, prefix) = host_net(gateway);
        let direct = Route { source, ..Route::new(destination, prefix, None, 0) };
        let network = (ip.address.network(), ip.address.prefix());
        let by_gateway = Route { source, ..Route::new(network.0, network.1, Some(gateway), 0) };
        for route in [direct, by_gateway] {
            let place = |it: &Route| (it.destination, it.prefix);
            if !routes.iter().any(|other| place(other) == place(&route)) {
                routes.push(route);
            }
        }
    }
    Ok(routes)
}

fn del(call: &Call) -> Result<(), CniError> {
    let (_options, ipam_type) = Options::read(call)?;
    interface::remove_from(call)?;
    ipam::del(call, Some(&ipam_type))
}

fn check(call: &Call) -> Result<(), CniError> {
    let (options, ipam_type) = Options::read(call)?;
    ipam::check(call, Some(&ipam_type))?;
    let inside = interface::check(call, |kind| *kind == LinkKind::Veth)?;
    let result = interface::previous(call)?;
    let mut links = interface::links()?;
    let routes = links.routes().map_err(kernel("read the routes"))?;
    let wrong = |msg: String| Err(CniError::new(codes::INTERNAL, msg));
    for ip in &result.ips {
        let place = host_net(ip.address.address());
        let there = routes
            .iter()
            .any(|route| (route.destination, route.prefix) == place && route.link == inside.peer);
        if !there {
            return wrong(format!("the host's route to {} is gone", ip.address.address()));
        }
        if options.ip_masq && !masquerade::is_there(&call.network, ip.address)? {
            return wrong(format!("network {} is not masqueraded any more", ip.address));
        }
    }
    Ok(())
}

fn gc(call: &Call) -> Result<(), CniError> {
    let (_options, ipam_type) = Options::read(call)?;
    if call.valid_attachments.is_empty() {
        masquerade::remove(&call.network)?;
    }
    ipam::gc(call, Some(&ipam_type))
}

fn status(call: &Call) -> Result<(), CniError> {
    let (_options, ipam_type) = Options::read(call)?;
    ipam::status(call, Some(&ipam_type))
}

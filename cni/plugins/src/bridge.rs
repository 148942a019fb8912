//! `bridge`: connects containers to a bridge of the host by veth pairs.

mod container;
mod host;
pub(crate) mod masquerade;
mod options;

use corten_cni_types::{AddResult, CniError, Interface, IpNet, Route, codes};
use corten_sys_netlink::NetlinkError;
use corten_sys_netlink::route::Links;

use crate::skel::Call;
use crate::{Plugin, ipam, netns};
use options::Options;

pub(crate) const PLUGIN: Plugin = Plugin { name: "bridge", add, del, check, gc, status };

/// Where each interface stands in the result, as the reference plugin orders them.
const CONTAINER_INTERFACE: usize = 2;

fn kernel(what: &str) -> impl FnOnce(NetlinkError) -> CniError {
    move |error| CniError::caused(codes::INTERNAL, format!("cannot {what}"), &error)
}

fn add(call: &Call) -> Result<AddResult, CniError> {
    let options = Options::read(call)?;
    let namespace = netns::open(&call.netns)?;
    let mut links = Links::open().map_err(kernel("open a netlink socket"))?;
    let bridge = host::ensure_bridge(&mut links, &options)?;
    let addresses = match &options.ipam_type {
        Some(ipam_type) => ipam::add(call, ipam_type)?,
        None => AddResult::default(),
    };
    let mut result = AddResult::default();
    let outcome = gateways(addresses, &options).and_then(|addresses| {
        result = addresses;
        attach(call, &options, &mut links, &bridge, &namespace, &result)
    });
    match outcome {
        Ok(interfaces) => {
            result.interfaces = interfaces;
            if !options.dns.is_empty() {
                result.dns = options.dns;
            }
            Ok(result)
        }
        Err(error) => Err(undo(call, &options, error)),
    }
}

/// Gives the addresses back after a failure. When that fails as well, the first failure is still
/// the one to tell; DEL, which must follow, tries again.
fn undo(call: &Call, options: &Options, mut error: CniError) -> CniError {
    if let Some(ipam_type) = &options.ipam_type
        && let Err(second) = ipam::del(call, ipam_type)
    {
        error.details.push_str(&format!("; giving the addresses back failed too: {second}"));
    }
    error
}

/// Fills in what the address plugin leaves open: the gateway and the default route.
fn gateways(mut result: AddResult, options: &Options) -> Result<AddResult, CniError> {
    if options.ipam_type.is_some() && result.ips.is_empty() {
        return Err(CniError::new(codes::INTERNAL, "the address plugin gave no address"));
    }
    for ip in &mut result.ips {
        ip.interface = Some(CONTAINER_INTERFACE);
        if options.is_gateway && ip.gateway.is_none() {
            ip.gateway = first_address(ip.address);
        }
    }
    if options.is_default_gateway {
        for ip in &result.ips {
            let any = if ip.address.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
            let Ok(default) = any.parse::<IpNet>() else { continue };
            if !result.routes.iter().any(|route| route.dst == default) {
                result.routes.push(Route::new(default, ip.gateway));
            }
        }
    }
    Ok(result)
}

/// The network's first address, which is the gateway's unless told otherwise.
fn first_address(net: IpNet) -> Option<std::net::IpAddr> {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    Some(match net.network() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits().checked_add(1)?)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits().checked_add(1)?)),
    })
}

/// Makes the pair and sets up both ends; nothing of it is left when it fails.
fn attach(
    call: &Call,
    options: &Options,
    links: &mut Links,
    bridge: &corten_sys_netlink::route::Link,
    namespace: &std::fs::File,
    addresses: &AddResult,
) -> Result<Vec<Interface>, CniError> {
    let port = host::add_pair(links, bridge, &call.ifname, namespace, options)?;
    let finish = |links: &mut Links| -> Result<Interface, CniError> {
        let mut inside =
            netns::enter(namespace, || container::configure(&call.ifname, addresses, options))?;
        inside.sandbox = call.netns.to_string_lossy().into_owned();
        if options.is_gateway {
            host::ensure_gateways(links, bridge, addresses, options)?;
        }
        if options.ip_masq {
            for ip in &addresses.ips {
                masquerade::ensure(&call.network, ip.address)?;
            }
        }
        Ok(inside)
    };
    match finish(links) {
        Ok(inside) => {
            let named = |link: &corten_sys_netlink::route::Link| Interface {
                name: link.name.clone(),
                mac: link.mac.to_string(),
                mtu: link.mtu,
                ..Interface::default()
            };
            Ok(vec![named(bridge), named(&port), inside])
        }
        Err(mut error) => {
            // The other end goes with it.
            if let Err(second) = links.delete_link(port.index) {
                error.details.push_str(&format!("; removing {} failed too: {second}", port.name));
            }
            Err(error)
        }
    }
}

fn del(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    if let Some(namespace) = netns::open_if_there(&call.netns)? {
        netns::enter(&namespace, || container::remove(&call.ifname))?;
    }
    // After the interface: an address must not be given out while somebody still answers for it.
    match &options.ipam_type {
        Some(ipam_type) => ipam::del(call, ipam_type),
        None => Ok(()),
    }
}

fn check(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    let Some(result) = &call.prev_result else {
        return Err(CniError::new(codes::INVALID_CONFIG, "CHECK needs prevResult"));
    };
    if let Some(ipam_type) = &options.ipam_type {
        ipam::check(call, ipam_type)?;
    }
    let namespace = netns::open(&call.netns)?;
    let sandbox = call.netns.to_string_lossy();
    let inside = result
        .interfaces
        .iter()
        .find(|interface| interface.name == call.ifname && interface.sandbox == sandbox);
    let Some(inside) = inside else {
        let msg = format!("prevResult has no interface {} in {sandbox}", call.ifname);
        return Err(CniError::new(codes::INVALID_CONFIG, msg));
    };
    let peer = netns::enter(&namespace, || container::check(inside, result))?;
    host::check(peer, &options, result)
}

fn gc(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    if call.valid_attachments.is_empty() {
        masquerade::remove(&call.network)?;
    }
    match &options.ipam_type {
        Some(ipam_type) => ipam::gc(call, ipam_type),
        None => Ok(()),
    }
}

fn status(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    match &options.ipam_type {
        Some(ipam_type) => ipam::status(call, ipam_type),
        None => Ok(()),
    }
}

//! `bridge`: connects containers to a bridge of the host by veth pairs.

mod host;
mod options;
pub(crate) mod spoof;

use std::fs::File;

use corten_cni_types::{AddResult, CniError, Interface, IpNet, Route, codes};
use corten_sys_netlink::route::{Link, LinkKind, Links};

use crate::interface::{self, Setup, shown};
use crate::skel::Call;
use crate::{Plugin, ipam, masquerade, netns, nft};
use options::Options;

pub(crate) const PLUGIN: Plugin = Plugin { name: "bridge", add, del, check, gc, status };

/// Where each interface stands in the result, as the reference plugin orders them.
const CONTAINER_INTERFACE: usize = 2;

fn add(call: &Call) -> Result<AddResult, CniError> {
    let options = Options::read(call)?;
    let namespace = netns::open(&call.netns)?;
    let mut links = interface::links()?;
    let bridge = host::ensure_bridge(&mut links, &options)?;
    ipam::with_addresses(call, options.ipam_type.as_deref(), |addresses| {
        let mut result = gateways(addresses, &options);
        result.interfaces = attach(call, &options, &mut links, &bridge, &namespace, &result)?;
        if !options.dns.is_empty() {
            result.dns = options.dns.clone();
        }
        Ok(result)
    })
}

/// Fills in what the address plugin leaves open: the gateway and the default route.
fn gateways(mut result: AddResult, options: &Options) -> AddResult {
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
    result
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
    bridge: &Link,
    namespace: &File,
    addresses: &AddResult,
) -> Result<Vec<Interface>, CniError> {
    let port = host::add_pair(links, bridge, &call.ifname, namespace, options)?;
    match set_up(call, options, links, bridge, &port, namespace, addresses) {
        Ok((inside, gateway)) => {
            let mut interfaces = vec![shown(bridge), shown(&port), inside];
            interfaces.extend(gateway.as_ref().map(shown));
            Ok(interfaces)
        }
        Err(mut error) => {
            // The other end goes with it.
            if let Err(second) = links.delete_link(port.index) {
                error.details.push_str(&format!("; removing {} failed too: {second}", port.name));
            }
            if options.check_mac
                && let Err(second) = spoof::remove(|owner| owner == nft::owner_of(call))
            {
                error.details.push_str(&format!("; {second}"));
            }
            Err(error)
        }
    }
}

/// Returns the container's interface, and the one that has the gateways' addresses if it is not
/// the bridge.
fn set_up(
    call: &Call,
    options: &Options,
    links: &mut Links,
    bridge: &Link,
    port: &Link,
    namespace: &File,
    addresses: &AddResult,
) -> Result<(Interface, Option<Link>), CniError> {
    if options.check_mac {
        let sender = netns::enter(namespace, || {
            interface::links().and_then(|mut links| interface::find(&mut links, &call.ifname))
        })?;
        spoof::add(&nft::owner_of(call), &port.name, sender.mac)?;
    }
    let setup = Setup {
        up: !options.disable_container_interface,
        detect_duplicates: options.detect_duplicates,
        ..Setup::default()
    };
    let inside = netns::enter(namespace, || interface::configure(&call.ifname, addresses, setup))?;
    let mut gateway = None;
    if options.is_gateway && !addresses.ips.is_empty() {
        gateway = host::ensure_vlan_interface(links, bridge, options)?;
        let link = gateway.as_ref().unwrap_or(bridge);
        host::ensure_gateways(links, link, addresses, options)?;
    }
    if options.ip_masq {
        for ip in &addresses.ips {
            masquerade::ensure(&call.network, ip.address)?;
        }
    }
    Ok((interface::inside(call, inside), gateway))
}

fn del(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    interface::remove_from(call)?;
    // Also when the option was taken out meanwhile.
    spoof::remove(|owner| owner == nft::owner_of(call))?;
    // After the interface: an address must not be given out while somebody still answers for it.
    ipam::del(call, options.ipam_type.as_deref())
}

fn check(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    ipam::check(call, options.ipam_type.as_deref())?;
    let inside = interface::check(call, |kind| *kind == LinkKind::Veth)?;
    let result = interface::previous(call)?;
    host::check(inside.peer, &options, result)?;
    let wrong = |msg: String| Err(CniError::new(codes::INTERNAL, msg));
    if options.check_mac && !spoof::is_there(&nft::owner_of(call))? {
        return wrong(format!("{}'s hardware address is not held any more", call.ifname));
    }
    for ip in result.ips.iter().filter(|_ip| options.ip_masq) {
        if !masquerade::is_there(&call.network, ip.address)? {
            return wrong(format!("network {} is not masqueraded any more", ip.address));
        }
    }
    Ok(())
}

fn gc(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    if call.valid_attachments.is_empty() {
        masquerade::remove(&call.network)?;
    }
    spoof::remove(nft::is_gone(call))?;
    ipam::gc(call, options.ipam_type.as_deref())
}

fn status(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    ipam::status(call, options.ipam_type.as_deref())
}

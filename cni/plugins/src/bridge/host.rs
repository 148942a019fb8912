//! The host's side: the bridge, its addresses, the port.

use std::fs::File;

use corten_cni_types::{AddResult, CniError, IpNet, codes};
use corten_sys_netlink::NetlinkError;
use corten_sys_netlink::route::{
    Address, BridgePort, BridgeVlan, Link, LinkChange, LinkKind, Links, MacAddress, NewBridge,
};
use rustix::io::Errno;

use super::options::{Options, Vlans};
use crate::interface::kernel;
use crate::netns;
use crate::veth::{self, Pair, random};

/// The VLAN of packets without a tag where the administrator names only tagged ones.
const DEFAULT_VLAN: u16 = 1;

/// Finds or makes the bridge and brings it up.
pub(super) fn ensure_bridge(links: &mut Links, options: &Options) -> Result<Link, CniError> {
    let name = options.bridge.as_str();
    let mut found = links.link(name).map_err(kernel("look for the bridge"))?;
    if found.is_none() {
        let mac = MacAddress::local(random()?);
        match links.add_bridge(&NewBridge { name, mac, mtu: options.mtu }) {
            // Another container's ADD was faster.
            Err(error) if error.is(Errno::EXIST) => {}
            outcome => outcome.map_err(kernel("make the bridge"))?,
        }
        found = links.link(name).map_err(kernel("look for the bridge"))?;
        // Routes through this interface are for us to make, not for a router's advertisement.
        netns::set(&format!("ipv6/conf/{name}/accept_ra"), "0", true)?;
    }
    let Some(bridge) = found else {
        return Err(CniError::new(codes::TRY_AGAIN, format!("bridge {name} vanished")));
    };
    if bridge.kind != LinkKind::Bridge {
        let msg = format!("{name} is there but is no bridge");
        return Err(CniError::new(codes::INVALID_CONFIG, msg));
    }
    if !options.vlans.is_empty() {
        links.filter_vlans(bridge.index).map_err(no_vlans("have the bridge filter VLANs"))?;
    }
    let up = (!bridge.up).then_some(true);
    let promiscuous = (options.promiscuous && !bridge.promiscuous).then_some(true);
    if up.is_some() || promiscuous.is_some() {
        let change = LinkChange { up, promiscuous, ..LinkChange::default() };
        links.set_link(bridge.index, &change).map_err(kernel("bring the bridge up"))?;
    }
    Ok(bridge)
}

/// Names what a kernel without VLAN filtering lacks.
fn no_vlans(what: &str) -> impl FnOnce(NetlinkError) -> CniError {
    move |error| {
        if !error.is(Errno::OPNOTSUPP) {
            return kernel(what)(error);
        }
        let msg = "options vlan and vlanTrunk need a kernel with CONFIG_BRIDGE_VLAN_FILTERING";
        CniError::caused(codes::UNSUPPORTED_FIELD, msg, &error)
    }
}

/// Makes the pair; returns the end on the bridge.
pub(super) fn add_pair(
    links: &mut Links,
    bridge: &Link,
    ifname: &str,
    namespace: &File,
    options: &Options,
) -> Result<Link, CniError> {
    let pair = Pair { ifname, namespace, master: bridge.index, mac: options.mac, mtu: options.mtu };
    let port = veth::add(links, &pair)?;
    let finish = |links: &mut Links| {
        if options.hairpin || options.isolated {
            let settings = BridgePort { hairpin: options.hairpin, isolated: options.isolated };
            links
                .set_bridge_port(port.index, settings)
                .map_err(kernel("set up the bridge port"))?;
        }
        set_vlans(links, port.index, &options.vlans)
    };
    if let Err(mut error) = finish(links) {
        if let Err(second) = links.delete_link(port.index) {
            error.details.push_str(&format!("; removing {} failed too: {second}", port.name));
        }
        return Err(error);
    }
    Ok(port)
}

/// Puts a port into its VLANs.
fn set_vlans(links: &mut Links, port: u32, vlans: &Vlans) -> Result<(), CniError> {
    if vlans.is_empty() {
        return Ok(());
    }
    let what = "put the port into its VLANs";
    if !vlans.keep_default {
        for vlan in links.bridge_vlans(port).map_err(no_vlans(what))? {
            links.delete_bridge_vlan(port, vlan.id).map_err(no_vlans(what))?;
        }
    }
    let native = BridgeVlan { id: vlans.native.unwrap_or(DEFAULT_VLAN), native: true };
    let tagged = vlans.trunk.iter().map(|&id| BridgeVlan { id, native: false });
    for vlan in tagged.filter(|vlan| vlan.id != native.id).chain([native]) {
        links.add_bridge_vlan(port, vlan).map_err(no_vlans(what))?;
    }
    Ok(())
}

/// The host's own end in the containers' VLAN: a pair whose one end is a port of the bridge. The
/// reference plugin's name of it is `BRIDGE.VLAN`. Nothing where there is no such VLAN: then the
/// bridge itself is the host's end.
pub(super) fn ensure_vlan_interface(
    links: &mut Links,
    bridge: &Link,
    options: &Options,
) -> Result<Option<Link>, CniError> {
    let Some(vlan) = options.vlans.native else { return Ok(None) };
    let name = format!("{}.{vlan}", bridge.name);
    corten_cni_types::validate_interface_name(&name)
        .map_err(|error| CniError::caused(codes::INVALID_CONFIG, "bridge and vlan", &error))?;
    let look = "look for the VLAN's interface";
    let mut found = links.link(&name).map_err(kernel(look))?;
    if found.is_none() {
        let here = netns::own()?;
        let mtu = Some(bridge.mtu);
        let pair = Pair { ifname: &name, namespace: &here, master: bridge.index, mac: None, mtu };
        match veth::add(links, &pair) {
            Ok(port) => {
                let vlans = Vlans { native: Some(vlan), ..options.vlans.clone() };
                set_vlans(links, port.index, &Vlans { trunk: Default::default(), ..vlans })?;
            }
            // Another container's ADD was faster.
            Err(_taken) if links.link(&name).is_ok_and(|link| link.is_some()) => {}
            Err(error) => return Err(error),
        }
        found = links.link(&name).map_err(kernel(look))?;
    }
    let Some(link) = found else {
        return Err(CniError::new(codes::TRY_AGAIN, format!("interface {name} vanished")));
    };
    let up = LinkChange { up: Some(true), ..LinkChange::default() };
    links.set_link(link.index, &up).map_err(kernel("bring the VLAN's interface up"))?;
    Ok(Some(link))
}

/// Gives the bridge the gateways' addresses, and has the host forward.
pub(super) fn ensure_gateways(
    links: &mut Links,
    bridge: &Link,
    result: &AddResult,
    options: &Options,
) -> Result<(), CniError> {
    let present = links.addresses(bridge.index).map_err(kernel("read the bridge's addresses"))?;
    for ip in &result.ips {
        let Some(gateway) = ip.gateway else { continue };
        let prefix = ip.address.prefix();
        let wanted = Address { link: bridge.index, address: gateway, prefix };
        if !present.contains(&wanted) {
            make_room(links, bridge, &present, wanted, options)?;
            match links.add_address(wanted, false) {
                // Another container's ADD was faster.
                Err(error) if error.is(Errno::EXIST) => {}
                outcome => outcome.map_err(kernel("give the bridge the gateway's address"))?,
            }
        }
        netns::forward(gateway.is_ipv4())?;
    }
    Ok(())
}

/// A bridge has one IPv4 address, and IPv6 addresses of networks that do not overlap: others are
/// removed if `forceAddress` says so.
fn make_room(
    links: &mut Links,
    bridge: &Link,
    present: &[Address],
    wanted: Address,
    options: &Options,
) -> Result<(), CniError> {
    let net = |address: &Address| IpNet::new(address.address, address.prefix);
    for other in present.iter().filter(|it| it.address.is_ipv4() == wanted.address.is_ipv4()) {
        let overlap = net(other).zip(net(&wanted)).is_some_and(|(a, b)| a.overlaps(&b));
        if !wanted.address.is_ipv4() && !overlap {
            continue;
        }
        if !options.force_address {
            let msg = format!(
                "bridge {} has address {}/{} already, not {}/{}: set forceAddress to replace it",
                bridge.name, other.address, other.prefix, wanted.address, wanted.prefix
            );
            return Err(CniError::new(codes::INVALID_CONFIG, msg));
        }
        links.delete_address(*other).map_err(kernel("remove the bridge's old address"))?;
    }
    Ok(())
}

/// Whether the host's end is still a port of the bridge, and the bridge has the gateways.
pub(super) fn check(
    peer: Option<u32>,
    options: &Options,
    result: &AddResult,
) -> Result<(), CniError> {
    let wrong = |msg: String| Err(CniError::new(codes::INTERNAL, msg));
    let mut links = Links::open().map_err(kernel("open a netlink socket"))?;
    let Some(bridge) = links.link(&options.bridge).map_err(kernel("look for the bridge"))? else {
        return wrong(format!("bridge {} is gone", options.bridge));
    };
    if bridge.kind != LinkKind::Bridge || !bridge.up {
        return wrong(format!("{} is no bridge that is up", bridge.name));
    }
    let port = match peer {
        Some(index) => links.link_at(index).map_err(kernel("look for the host's end"))?,
        None => None,
    };
    if port.is_none_or(|port| port.master != Some(bridge.index)) {
        return wrong(format!("the host's end is no port of {}", bridge.name));
    }
    if options.is_gateway {
        let vlan = options.vlans.native.map(|vlan| format!("{}.{vlan}", bridge.name));
        let name = vlan.unwrap_or_else(|| bridge.name.clone());
        let holder = links.link(&name).map_err(kernel("look for the gateway's interface"))?;
        let present = match holder {
            Some(link) => links.addresses(link.index).map_err(kernel("read its addresses"))?,
            None => Vec::new(),
        };
        for gateway in result.ips.iter().filter_map(|ip| ip.gateway) {
            if !present.iter().any(|address| address.address == gateway) {
                return wrong(format!("{name} has lost address {gateway}"));
            }
        }
    }
    Ok(())
}

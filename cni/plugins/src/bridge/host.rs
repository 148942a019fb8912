//! The host's side: the bridge, its addresses, the port.

use std::fs::File;
use std::net::IpAddr;

use corten_cni_types::{AddResult, CniError, IpNet, codes};
use corten_sys_netlink::route::{
    Address, BridgePort, Link, LinkChange, LinkKind, Links, MacAddress, NewBridge, NewVeth,
};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::kernel;
use super::options::Options;
use crate::netns;

/// How many names are tried for a host end.
const NAME_ATTEMPTS: usize = 8;

fn random<const N: usize>() -> Result<[u8; N], CniError> {
    let mut bytes = [0; N];
    getrandom(&mut bytes[..], GetRandomFlags::empty()).map_err(|errno| {
        CniError::caused(codes::INTERNAL, "getrandom", &std::io::Error::from(errno))
    })?;
    Ok(bytes)
}

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
    let up = (!bridge.up).then_some(true);
    let promiscuous = (options.promiscuous && !bridge.promiscuous).then_some(true);
    if up.is_some() || promiscuous.is_some() {
        let change = LinkChange { up, promiscuous, ..LinkChange::default() };
        links.set_link(bridge.index, &change).map_err(kernel("bring the bridge up"))?;
    }
    Ok(bridge)
}

/// Makes the pair; returns the end on the bridge.
pub(super) fn add_pair(
    links: &mut Links,
    bridge: &Link,
    ifname: &str,
    namespace: &File,
    options: &Options,
) -> Result<Link, CniError> {
    let mut attempts = 0;
    let name = loop {
        let name = format!("veth{:08x}", u32::from_ne_bytes(random()?));
        let pair = NewVeth {
            name: &name,
            master: bridge.index,
            peer_name: ifname,
            peer_namespace: namespace,
            peer_mac: options.mac,
            mtu: options.mtu,
        };
        attempts += 1;
        match links.add_veth(&pair) {
            Ok(()) => break name,
            // Whose name is taken? If ours, another one does it.
            Err(error)
                if error.is(Errno::EXIST)
                    && attempts < NAME_ATTEMPTS
                    && links.link(&name).is_ok_and(|link| link.is_some()) => {}
            Err(error) => {
                let what = format!("connect {ifname} with bridge {}", bridge.name);
                return Err(kernel(&what)(error));
            }
        }
    };
    let port = links.link(&name).map_err(kernel("look for the new link"))?;
    let Some(port) = port else {
        return Err(CniError::new(codes::UNKNOWN_CONTAINER, format!("link {name} vanished")));
    };
    if options.hairpin || options.isolated {
        let settings = BridgePort { hairpin: options.hairpin, isolated: options.isolated };
        links.set_bridge_port(port.index, settings).map_err(kernel("set up the bridge port"))?;
    }
    Ok(port)
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
        match gateway {
            IpAddr::V4(_) => netns::set("ipv4/ip_forward", "1", false)?,
            IpAddr::V6(_) => netns::set("ipv6/conf/all/forwarding", "1", false)?,
        }
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
        let present =
            links.addresses(bridge.index).map_err(kernel("read the bridge's addresses"))?;
        for gateway in result.ips.iter().filter_map(|ip| ip.gateway) {
            if !present.iter().any(|address| address.address == gateway) {
                return wrong(format!("bridge {} has lost address {gateway}", bridge.name));
            }
        }
    }
    Ok(())
}

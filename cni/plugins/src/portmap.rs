//! `portmap`: leads ports of the host to ports of a container.

mod conditions;
mod options;
pub(crate) mod rules;

use corten_cni_types::{AddResult, CniError, IpNet, Protocol, codes};
use corten_sys_netlink::conntrack::Conntrack;
use corten_sys_netlink::route::Links;

use crate::skel::Call;
use crate::{Plugin, netns, nft};
use options::Options;
use rules::Forward;

pub(crate) const PLUGIN: Plugin = Plugin {
    name: "portmap",
    add,
    del,
    check,
    gc,
    status: |call| Options::read(call).map(|_options| ()),
};

/// `IPPROTO_UDP`
const UDP: u8 = 17;

fn add(call: &Call) -> Result<AddResult, CniError> {
    let options = Options::read(call)?;
    let Some(result) = &call.prev_result else {
        let msg = "portmap must be called after a plugin that gives addresses: no prevResult";
        return Err(CniError::new(codes::INVALID_CONFIG, msg));
    };
    let forwards = forwards(call, &options, result);
    if forwards.is_empty() {
        return Ok(result.clone());
    }
    rules::add(&nft::owner_of(call), &forwards, &options)?;
    let finish = || {
        if options.snat {
            route_localnet(&forwards)?;
        }
        forget_flows(&forwards)
    };
    match finish() {
        Ok(()) => Ok(result.clone()),
        Err(mut error) => {
            if let Err(second) = rules::remove(|it| it == nft::owner_of(call)) {
                error.details.push_str(&format!("; removing the rules failed too: {second}"));
            }
            Err(error)
        }
    }
}

/// Each mapping with the container's address of the family that it is for.
fn forwards(call: &Call, options: &Options, result: &AddResult) -> Vec<Forward> {
    let mut forwards = Vec::new();
    for ipv4 in [true, false] {
        let Some(address) = container_address(call, result, ipv4) else { continue };
        for mapping in &options.mappings {
            // "Any address" of one family means any of both.
            let host_ip = mapping.host_ip.filter(|address| !address.is_unspecified());
            if host_ip.is_none_or(|address| address.is_ipv4() == ipv4) {
                forwards.push(Forward {
                    protocol: mapping.protocol,
                    host_ip,
                    host_port: mapping.host_port,
                    container: address,
                    container_port: mapping.container_port,
                });
            }
        }
    }
    forwards
}

/// The first address of a family that is on the container's interface, or on none that is told.
fn container_address(call: &Call, result: &AddResult, ipv4: bool) -> Option<IpNet> {
    let mut ips = result.ips.iter().filter(|ip| ip.address.is_ipv4() == ipv4);
    let found = ips.find(|ip| {
        let interface = ip.interface.and_then(|index| result.interfaces.get(index));
        interface.is_none_or(|it| it.name == call.ifname && !it.sandbox.is_empty())
    });
    found.map(|ip| ip.address)
}

/// Lets packets with loopback addresses leave by the container's link, so that the host reaches
/// the port at 127.0.0.1. The table drops what comes back in the same way: without that, whoever
/// is on the link could reach what listens on loopback only (CVE-2020-8558).
fn route_localnet(forwards: &[Forward]) -> Result<(), CniError> {
    let Some(forward) = forwards.iter().find(|forward| forward.container.is_ipv4()) else {
        return Ok(());
    };
    let failed = |error| CniError::caused(codes::INTERNAL, "cannot read the routes", &error);
    let mut links = Links::open().map_err(failed)?;
    let address = forward.container.address();
    let routes = links.routes().map_err(failed)?;
    let best = routes
        .iter()
        .filter(|route| {
            IpNet::new(route.destination, route.prefix).is_some_and(|net| net.contains(address))
        })
        .max_by_key(|route| route.prefix)
        .and_then(|route| route.link);
    let Some(index) = best else { return Ok(()) };
    match links.link_at(index).map_err(failed)? {
        Some(link) => netns::set(&format!("ipv4/conf/{}/route_localnet", link.name), "1", false),
        None => Ok(()),
    }
}

/// Flows of UDP that began before the rules were there would go on to miss them.
fn forget_flows(forwards: &[Forward]) -> Result<(), CniError> {
    let failed =
        |error| CniError::caused(codes::INTERNAL, "cannot forget the ports' old flows", &error);
    for ipv4 in [true, false] {
        let ports: Vec<_> = forwards
            .iter()
            .filter(|it| it.protocol == Protocol::Udp && it.container.is_ipv4() == ipv4)
            .map(|it| (it.host_ip, it.host_port))
            .collect();
        if ports.is_empty() {
            continue;
        }
        let mut conntrack = Conntrack::open().map_err(failed)?;
        let is_ours = |flow: &corten_sys_netlink::conntrack::Flow| {
            flow.original.protocol == UDP
                && ports.iter().any(|&(address, port)| {
                    flow.original.destination_port == port
                        && address.is_none_or(|address| flow.original.destination == address)
                })
        };
        conntrack.delete(!ipv4, is_ours).map_err(failed)?;
    }
    Ok(())
}

/// By owner, not by configuration: runtimes do not always repeat the mappings on DEL.
fn del(call: &Call) -> Result<(), CniError> {
    let owner = nft::owner_of(call);
    rules::remove(|it| it == owner)
}

fn check(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    let Some(result) = &call.prev_result else {
        return Err(CniError::new(codes::INVALID_CONFIG, "CHECK needs prevResult"));
    };
    let wanted = forwards(call, &options, result).len();
    let present = rules::count(&nft::owner_of(call))?;
    if present == wanted {
        return Ok(());
    }
    let msg = format!("of {wanted} port mappings {present} are there");
    Err(CniError::new(codes::INTERNAL, msg))
}

fn gc(call: &Call) -> Result<(), CniError> {
    rules::remove(nft::is_gone(call))
}

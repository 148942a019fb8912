//! The container's side; everything here runs in its namespace.

use std::net::IpAddr;

use corten_cni_types::{AddResult, CniError, Interface, codes};
use corten_sys_netlink::route::{Address, Link, LinkChange, Links, Route};
use rustix::io::Errno;

use super::kernel;
use super::options::Options;
use crate::netns;

fn find(links: &mut Links, ifname: &str) -> Result<Link, CniError> {
    let link = links.link(ifname).map_err(kernel("look for the container's interface"))?;
    link.ok_or_else(|| CniError::new(codes::INTERNAL, format!("there is no interface {ifname}")))
}

/// Gives the interface its addresses, brings it up and makes its routes.
pub(super) fn configure(
    ifname: &str,
    result: &AddResult,
    options: &Options,
) -> Result<Interface, CniError> {
    let mut links = Links::open().map_err(kernel("open a netlink socket"))?;
    let link = find(&mut links, ifname)?;
    // Tell the neighbours of the address when the interface comes up: they may know it as
    // another container's.
    netns::set(&format!("ipv4/conf/{ifname}/arp_notify"), "1", true)?;
    // The address is ours by reservation. Asking whether it is taken would delay the start by
    // seconds.
    netns::set(&format!("ipv6/conf/{ifname}/accept_dad"), "0", true)?;
    if result.ips.iter().any(|ip| !ip.address.is_ipv4()) {
        netns::set(&format!("ipv6/conf/{ifname}/disable_ipv6"), "0", false)?;
        netns::set(&format!("ipv6/conf/{ifname}/keep_addr_on_down"), "1", false)?;
    }
    for ip in &result.ips {
        let address = Address {
            link: link.index,
            address: ip.address.address(),
            prefix: ip.address.prefix(),
        };
        links.add_address(address, false).map_err(kernel("give the interface its address"))?;
    }
    if !options.disable_container_interface {
        let up = LinkChange { up: Some(true), ..LinkChange::default() };
        links.set_link(link.index, &up).map_err(kernel("bring the interface up"))?;
    }
    for route in routes(&link, result) {
        match links.add_route(&route) {
            // The first one wins; the kernel has made those of the addresses itself.
            Err(error) if error.is(Errno::EXIST) => {}
            outcome => outcome.map_err(kernel("make the container's routes"))?,
        }
    }
    Ok(Interface {
        name: link.name,
        mac: link.mac.to_string(),
        mtu: link.mtu,
        ..Interface::default()
    })
}

fn routes(link: &Link, result: &AddResult) -> Vec<Route> {
    let gateway_of = |ipv4: bool| {
        let mut ips = result.ips.iter().filter(|ip| ip.address.is_ipv4() == ipv4);
        ips.find_map(|ip| ip.gateway)
    };
    // A scope of "link" or narrower says that there is no gateway.
    let on_link = |scope: Option<u8>| scope.is_some_and(|scope| scope >= 253);
    result
        .routes
        .iter()
        .map(|route| Route {
            destination: route.dst.network(),
            prefix: route.dst.prefix(),
            gateway: route
                .gw
                .or_else(|| gateway_of(route.dst.is_ipv4()))
                .filter(|_gateway| !on_link(route.scope)),
            link: Some(link.index),
            table: route.table,
            priority: route.priority,
            mtu: route.mtu,
            advmss: route.advmss,
            scope: route.scope,
        })
        .collect()
}

/// Removes the interface, and with it the host's end; it may be gone already.
pub(super) fn remove(ifname: &str) -> Result<(), CniError> {
    let mut links = Links::open().map_err(kernel("open a netlink socket"))?;
    let link = links.link(ifname).map_err(kernel("look for the container's interface"))?;
    let Some(link) = link else { return Ok(()) };
    match links.delete_link(link.index) {
        Err(error) if error.is(Errno::NODEV) => Ok(()),
        outcome => outcome.map_err(kernel("remove the container's interface")),
    }
}

/// Whether the interface is as ADD left it; returns the index of the host's end.
pub(super) fn check(wanted: &Interface, result: &AddResult) -> Result<Option<u32>, CniError> {
    let wrong = |msg: String| Err(CniError::new(codes::INTERNAL, msg));
    let mut links = Links::open().map_err(kernel("open a netlink socket"))?;
    let link = find(&mut links, &wanted.name)?;
    if !wanted.mac.is_empty() && !wanted.mac.eq_ignore_ascii_case(&link.mac.to_string()) {
        let name = &wanted.name;
        return wrong(format!("{name} has hardware address {}, not {}", link.mac, wanted.mac));
    }
    let addresses = links.addresses(link.index).map_err(kernel("read the addresses"))?;
    for ip in &result.ips {
        let there = addresses.iter().any(|address| {
            address.address == ip.address.address() && address.prefix == ip.address.prefix()
        });
        if !there {
            return wrong(format!("{} has lost address {}", wanted.name, ip.address));
        }
    }
    let present = links.routes().map_err(kernel("read the routes"))?;
    for route in routes(&link, result) {
        let there = present.iter().any(|it| {
            it.destination == route.destination
                && it.prefix == route.prefix
                && route.gateway.is_none_or(|gateway: IpAddr| it.gateway == Some(gateway))
        });
        if !there {
            let (destination, prefix) = (route.destination, route.prefix);
            return wrong(format!("the route to {destination}/{prefix} is gone"));
        }
    }
    Ok(link.peer)
}

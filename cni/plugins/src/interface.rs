//! The container's interface: setting it up, removing it, looking at it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use corten_cni_types::{AddResult, CniError, Interface, IpNet, codes};
use corten_sys_netlink::NetlinkError;
use corten_sys_netlink::route::{Address, Link, LinkChange, LinkKind, Links, Route};
use rustix::io::Errno;

use crate::netns;
use crate::skel::Call;

/// How long neighbours are asked whether an address is taken: they have a second to answer, and
/// the kernel begins up to a second late.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);
const SETTLE_STEP: Duration = Duration::from_millis(50);

/// How an interface is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup<'a> {
    /// Bring it up.
    pub(crate) up: bool,
    /// Ask the neighbours whether an IPv6 address is taken, and wait for the answer. Addresses
    /// are the container's by reservation, so that this only costs time unless something else
    /// gives out addresses there too.
    pub(crate) detect_duplicates: bool,
    /// Routes that come in place of the kernel's routes to the addresses' networks.
    pub(crate) instead: &'a [Route],
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { up: true, detect_duplicates: false, instead: &[] }
    }
}

/// Makes a failed request an error that says what it was for.
pub(crate) fn kernel(what: &str) -> impl FnOnce(NetlinkError) -> CniError {
    move |error| CniError::caused(codes::INTERNAL, format!("cannot {what}"), &error)
}

/// Opens a socket in the calling thread's namespace.
pub(crate) fn links() -> Result<Links, CniError> {
    Links::open().map_err(kernel("open a netlink socket"))
}

/// The link of a name, which must be there.
pub(crate) fn find(links: &mut Links, name: &str) -> Result<Link, CniError> {
    let link = links.link(name).map_err(kernel("look for the interface"))?;
    link.ok_or_else(|| CniError::new(codes::INTERNAL, format!("there is no interface {name}")))
}

/// Gives the interface its addresses, brings it up and makes its routes.
pub(crate) fn configure(
    ifname: &str,
    result: &AddResult,
    setup: Setup<'_>,
) -> Result<Interface, CniError> {
    let mut links = links()?;
    let link = find(&mut links, ifname)?;
    prepare(ifname, result, setup)?;
    for ip in &result.ips {
        let address = Address {
            link: link.index,
            address: ip.address.address(),
            prefix: ip.address.prefix(),
        };
        links
            .add_address(address, setup.detect_duplicates)
            .map_err(kernel("give the interface its address"))?;
    }
    if setup.up {
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
    if !setup.instead.is_empty() {
        // Only now: the routes above may go by neighbours in the networks.
        replace(&mut links, &link, result, setup.instead)?;
    }
    if setup.detect_duplicates && setup.up {
        settle(&mut links, &link)?;
    }
    Ok(shown(&link))
}

/// Puts routes in place of those that the kernel made to the addresses' networks.
fn replace(
    links: &mut Links,
    link: &Link,
    result: &AddResult,
    instead: &[Route],
) -> Result<(), CniError> {
    for ip in &result.ips {
        let (network, prefix) = (ip.address.network(), ip.address.prefix());
        match links.delete_route(&Route::new(network, prefix, None, link.index)) {
            // There is none to a network of one address.
            Err(error) if error.is(Errno::SRCH) => {}
            outcome => outcome.map_err(kernel("remove the route to the network"))?,
        }
    }
    for route in instead {
        let route = Route { link: Some(link.index), ..route.clone() };
        links.add_route(&route).map_err(kernel("make the container's routes"))?;
    }
    Ok(())
}

/// Settings that must be there before the addresses.
fn prepare(ifname: &str, result: &AddResult, setup: Setup<'_>) -> Result<(), CniError> {
    // Tell the neighbours of the address when the interface comes up: they may know it as
    // another container's.
    netns::set(&format!("ipv4/conf/{ifname}/arp_notify"), "1", true)?;
    netns::set(&format!("ipv6/conf/{ifname}/ndisc_notify"), "1", true)?;
    let detect = if setup.detect_duplicates { "1" } else { "0" };
    netns::set(&format!("ipv6/conf/{ifname}/accept_dad"), detect, true)?;
    if setup.detect_duplicates {
        netns::set(&format!("ipv6/conf/{ifname}/enhanced_dad"), "1", true)?;
    }
    if result.ips.iter().any(|ip| !ip.address.is_ipv4()) {
        netns::set(&format!("ipv6/conf/{ifname}/disable_ipv6"), "0", false)?;
        netns::set(&format!("ipv6/conf/{ifname}/keep_addr_on_down"), "1", false)?;
    }
    Ok(())
}

fn settle(links: &mut Links, link: &Link) -> Result<(), CniError> {
    let deadline = Instant::now() + SETTLE_LIMIT;
    while links.is_settling(link.index).map_err(kernel("use the interface's IPv6 address"))? {
        if Instant::now() > deadline {
            let msg = format!("{} has IPv6 addresses that are not settled", link.name);
            let details = format!("duplicates were looked for for {SETTLE_LIMIT:?}");
            return Err(CniError { details, ..CniError::new(codes::TRY_AGAIN, msg) });
        }
        std::thread::sleep(SETTLE_STEP);
    }
    Ok(())
}

/// An interface as a result shows it, but for the sandbox.
pub(crate) fn shown(link: &Link) -> Interface {
    Interface {
        name: link.name.clone(),
        mac: link.mac.to_string(),
        mtu: link.mtu,
        ..Interface::default()
    }
}

/// An interface of the container that a call is about, as a result shows it.
pub(crate) fn inside(call: &Call, interface: Interface) -> Interface {
    Interface { sandbox: call.netns.to_string_lossy().into_owned(), ..interface }
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
            source: None,
        })
        .collect()
}

/// Removes the interface, and with it a pair's other end; it may be gone already.
pub(crate) fn remove(ifname: &str) -> Result<(), CniError> {
    let mut links = links()?;
    let link = links.link(ifname).map_err(kernel("look for the container's interface"))?;
    let Some(link) = link else { return Ok(()) };
    match links.delete_link(link.index) {
        Err(error) if error.is(Errno::NODEV) => Ok(()),
        outcome => outcome.map_err(kernel("remove the container's interface")),
    }
}

/// Removes the interface of the container that a call is about, if both are there.
pub(crate) fn remove_from(call: &Call) -> Result<(), CniError> {
    match netns::open_if_there(&call.netns)? {
        Some(namespace) => netns::enter(&namespace, || remove(&call.ifname)),
        None => Ok(()),
    }
}

/// The result that CHECK needs.
pub(crate) fn previous(call: &Call) -> Result<&AddResult, CniError> {
    call.prev_result.as_ref().ok_or_else(|| {
        CniError::new(codes::INVALID_CONFIG, format!("{} needs prevResult", call.command))
    })
}

/// Whether the interface of the container that a call is about is of a kind and as ADD left it;
/// returns it as it is now. Called from the host's namespace.
pub(crate) fn check(
    call: &Call,
    is_kind: impl Fn(&LinkKind) -> bool + Sync,
) -> Result<Link, CniError> {
    let result = previous(call)?;
    let sandbox = call.netns.to_string_lossy();
    let wanted = result
        .interfaces
        .iter()
        .find(|interface| interface.name == call.ifname && interface.sandbox == sandbox);
    let Some(wanted) = wanted else {
        let msg = format!("prevResult has no interface {} in {sandbox}", call.ifname);
        return Err(CniError::new(codes::INVALID_CONFIG, msg));
    };
    let namespace = netns::open(&call.netns)?;
    netns::enter(&namespace, || {
        let link = check_inside(wanted, result)?;
        if is_kind(&link.kind) {
            return Ok(link);
        }
        let msg = format!("{} is another kind of link: {:?}", link.name, link.kind);
        Err(CniError::new(codes::INTERNAL, msg))
    })
}

fn check_inside(wanted: &Interface, result: &AddResult) -> Result<Link, CniError> {
    let wrong = |msg: String| Err(CniError::new(codes::INTERNAL, msg));
    let mut links = links()?;
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
    Ok(link)
}

/// The link that others stand on: the one of a name or, without, the one that the default route
/// leads to.
pub(crate) fn master(links: &mut Links, name: Option<&str>) -> Result<Link, CniError> {
    if let Some(name) = name {
        let found = links.link(name).map_err(kernel("look for the master"))?;
        return found.ok_or_else(|| {
            CniError::new(codes::INVALID_CONFIG, format!("master: there is no interface {name}"))
        });
    }
    let routes = links.routes().map_err(kernel("read the routes"))?;
    let default = routes.iter().find(|route| route.prefix == 0).and_then(|route| route.link);
    let link = match default {
        Some(index) => links.link_at(index).map_err(kernel("look for the master"))?,
        None => None,
    };
    link.ok_or_else(|| {
        let msg = "there is no default route to take the interface of: set master";
        CniError::new(codes::INVALID_CONFIG, msg)
    })
}

/// The network of one address.
pub(crate) fn host_net(address: IpAddr) -> (IpAddr, u8) {
    let net = IpNet::host(address);
    (net.address(), net.prefix())
}

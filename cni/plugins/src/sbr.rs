//! `sbr`: routing by source. Packets with an address of the interface as their source leave by
//! that interface, also where another one has the default route.
//!
//! All it makes is in the container's namespace and goes with that: there is nothing to collect.

use std::net::IpAddr;

use corten_cni_types::{AddResult, CniError, IpConfig, IpNet, codes};
use corten_sys_netlink::route::{Link, Links, Route, Rule};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::Deserialize;

use crate::interface::{self, kernel};
use crate::skel::Call;
use crate::{Plugin, conf, netns};

pub(crate) const PLUGIN: Plugin = Plugin {
    name: "sbr",
    add,
    del,
    check,
    gc: |_call| Ok(()),
    status: |call| Options::read(call).map(|_options| ()),
};

const HONOURED: &[&str] = &["table", "gateways", "addSourceHints"];

const MAIN_TABLE: u32 = 254;
/// Tables are taken from here on.
const FIRST_TABLE: u32 = 100;
/// `RT_SCOPE_LINK`
const SCOPE_LINK: u8 = 253;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    /// The table that the addresses lead to; nothing but the rules is made then.
    table: Option<u32>,
    /// In place of the gateways that the addresses came with; one of each family.
    #[serde(default)]
    gateways: Vec<IpAddr>,
    /// The routes to the addresses' networks stay in the main table, so that also packets without
    /// a source find their way.
    #[serde(default)]
    add_source_hints: bool,
}

impl Options {
    fn read(call: &Call) -> Result<Self, CniError> {
        let options: Self = conf::read(call, HONOURED)?;
        let count = |ipv4: bool| options.gateways.iter().filter(|it| it.is_ipv4() == ipv4).count();
        if count(true) > 1 || count(false) > 1 {
            let msg = "gateways has more than one of a family";
            return Err(CniError::new(codes::INVALID_CONFIG, msg));
        }
        Ok(options)
    }

    fn gateway(&self, ip: &IpConfig) -> Option<IpAddr> {
        let ours = self.gateways.iter().copied();
        ours.into_iter().find(|it| it.is_ipv4() == ip.address.is_ipv4()).or(ip.gateway)
    }
}

/// The addresses of the interface, or of none that is told.
fn addresses<'a>(call: &Call, result: &'a AddResult) -> Result<Vec<&'a IpConfig>, CniError> {
    if result.ips.is_empty() {
        let msg = format!("prevResult has no addresses of {}", call.ifname);
        return Err(CniError::new(codes::INVALID_CONFIG, msg));
    }
    let ours = |ip: &&IpConfig| {
        let interface = ip.interface.and_then(|index| result.interfaces.get(index));
        interface.is_none_or(|interface| interface.name == call.ifname)
    };
    Ok(result.ips.iter().filter(ours).collect())
}

/// Does `work` in the container's namespace, one at a time: two would take the same table.
fn alone<T: Send>(
    call: &Call,
    work: impl FnOnce(&mut Links) -> Result<T, CniError> + Send,
) -> Result<T, CniError> {
    let namespace = netns::open(&call.netns)?;
    loop {
        match flock(&namespace, FlockOperation::LockExclusive) {
            Ok(()) => break,
            Err(Errno::INTR) => {}
            Err(errno) => {
                let msg = format!("cannot lock {}", call.netns.display());
                let error = std::io::Error::from(errno);
                return Err(CniError::caused(codes::IO, msg, &error));
            }
        }
    }
    netns::enter(&namespace, || work(&mut interface::links()?))
}

fn add(call: &Call) -> Result<AddResult, CniError> {
    let options = Options::read(call)?;
    let result = interface::previous(call)?;
    let addresses = addresses(call, result)?;
    alone(call, |links| match options.table {
        Some(table) => {
            addresses.iter().try_for_each(|ip| add_rule(links, ip.address.address(), table))
        }
        None => divert(call, links, &addresses, &options),
    })?;
    Ok(result.clone())
}

fn add_rule(links: &mut Links, source: IpAddr, table: u32) -> Result<(), CniError> {
    match links.add_rule(source, table) {
        Err(error) if error.is(Errno::EXIST) => Ok(()),
        outcome => outcome.map_err(kernel("make the rule of an address")),
    }
}

/// Gives each address a table of its own with the interface's routes, and takes these out of the
/// main table.
fn divert(
    call: &Call,
    links: &mut Links,
    addresses: &[&IpConfig],
    options: &Options,
) -> Result<(), CniError> {
    let link = interface::find(links, &call.ifname)?;
    let rules = links.rules().map_err(kernel("read the routing rules"))?;
    let routes = links.routes().map_err(kernel("read the routes"))?;
    let mut free = (FIRST_TABLE..MAIN_TABLE).chain(MAIN_TABLE + 2..).filter(|&table| {
        !rules.iter().any(|rule| rule.table == table)
            && !routes.iter().any(|route| route.table == Some(table))
    });
    let ours: Vec<_> = routes.iter().filter(|route| is_ours(&link, route)).collect();
    for ip in addresses {
        let Some(table) = free.next() else {
            return Err(CniError::new(codes::INTERNAL, "no routing table is free"));
        };
        add_rule(links, ip.address.address(), table)?;
        if let Some(gateway) = options.gateway(ip) {
            let any = IpNet::new(ip.address.address(), 0).map_or(gateway, |net| net.network());
            let default = Route::new(any, 0, Some(gateway), link.index);
            let default = Route { table: Some(table), ..default };
            links.replace_route(&default).map_err(kernel("make the default route"))?;
        }
        for route in ours.iter().filter(|route| belongs(route, ip)) {
            let copy = Route { table: Some(table), ..(*route).clone() };
            links.replace_route(&copy).map_err(kernel("copy a route"))?;
        }
    }
    clear_main_table(links, &link, addresses, &ours, options)
}

/// The interface's routes in the main table. Those to addresses of the link alone stay there:
/// they hold for it whatever the source.
fn is_ours(link: &Link, route: &Route) -> bool {
    let local = match route.destination {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => route.prefix > 0 && (v6.is_unicast_link_local() || v6.is_multicast()),
    };
    route.link == Some(link.index) && route.table == Some(MAIN_TABLE) && !local
}

/// Whether a route is one for an address: of its network, or of none in particular.
fn belongs(route: &Route, ip: &IpConfig) -> bool {
    let inside = |address: Option<IpAddr>| address.is_some_and(|it| ip.address.contains(it));
    let general = route.source.is_none() && route.gateway.is_none();
    let same_family = route.destination.is_ipv4() == ip.address.is_ipv4();
    same_family && (general || inside(route.source) || inside(route.gateway))
}

fn clear_main_table(
    links: &mut Links,
    link: &Link,
    addresses: &[&IpConfig],
    ours: &[&Route],
    options: &Options,
) -> Result<(), CniError> {
    if options.add_source_hints {
        for ip in addresses {
            let (network, prefix) = (ip.address.network(), ip.address.prefix());
            let hint = Route {
                source: Some(ip.address.address()),
                scope: Some(SCOPE_LINK),
                ..Route::new(network, prefix, None, link.index)
            };
            links.replace_route(&hint).map_err(kernel("hint at the source"))?;
        }
    }
    for route in ours {
        let to_network = route.gateway.is_none();
        if options.add_source_hints && to_network {
            continue;
        }
        match links.delete_route(route) {
            // It went with another one.
            Err(error) if error.is(Errno::SRCH) => {}
            outcome => outcome.map_err(kernel("take a route out of the main table"))?,
        }
    }
    Ok(())
}

/// The tables empty themselves when the interface goes; the rules do not.
fn del(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    if netns::open_if_there(&call.netns)?.is_none() {
        return Ok(());
    }
    alone(call, |links| {
        let link = links.link(&call.ifname).map_err(kernel("look for the interface"))?;
        let Some(link) = link else { return Ok(()) };
        let addresses = links.addresses(link.index).map_err(kernel("read the addresses"))?;
        let ours = |rule: &Rule| {
            let source = rule.source;
            options.table.is_none_or(|table| rule.table == table)
                && addresses.iter().any(|address| Some(address.address) == source)
        };
        for rule in links.rules().map_err(kernel("read the routing rules"))? {
            if !ours(&rule) {
                continue;
            }
            match links.delete_rule(&rule) {
                Err(error) if error.is(Errno::NOENT) => {}
                outcome => outcome.map_err(kernel("remove a routing rule"))?,
            }
        }
        Ok(())
    })
}

fn check(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    let addresses = addresses(call, interface::previous(call)?)?;
    alone(call, |links| {
        let rules = links.rules().map_err(kernel("read the routing rules"))?;
        for ip in &addresses {
            let source = Some(ip.address.address());
            let there = rules.iter().any(|rule| {
                rule.source == source && options.table.is_none_or(|table| rule.table == table)
            });
            if !there {
                let msg = format!("the routing rule of {} is gone", ip.address.address());
                return Err(CniError::new(codes::INTERNAL, msg));
            }
        }
        Ok(())
    })
}

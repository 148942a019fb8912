//! Routes.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Links;
use crate::error::NetlinkError;

/// The main routing table.
const MAIN_TABLE: u32 = 254;

/// A unicast route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The destination's address; its prefix follows.
    pub destination: IpAddr,
    /// The destination's prefix length in bits; 0 for the default route.
    pub prefix: u8,
    /// The next hop; without it the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The link's index.
    pub link: Option<u32>,
    /// The table; the main one without.
    pub table: Option<u32>,
    /// The metric.
    pub priority: Option<u32>,
    /// The path's MTU in bytes.
    pub mtu: Option<u32>,
    /// The TCP segment size to advertise, in bytes.
    pub advmss: Option<u32>,
    /// The scope as in rtnetlink; chosen by whether there is a gateway without.
    pub scope: Option<u8>,
    /// The address that packets get which have none yet.
    pub source: Option<IpAddr>,
}

impl Route {
    /// A route without any of the optional settings.
    #[must_use]
    pub fn new(destination: IpAddr, prefix: u8, gateway: Option<IpAddr>, link: u32) -> Self {
        Self {
            destination,
            prefix,
            gateway,
            link: Some(link),
            table: None,
            priority: None,
            mtu: None,
            advmss: None,
            scope: None,
            source: None,
        }
    }
}

impl Links {
    /// The unicast routes of both families, all tables but the local one.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn routes(&mut self) -> Result<Vec<Route>, NetlinkError> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            let message = RouteNetlinkMessage::GetRoute(message);
            routes.extend(self.list(
                &message,
                || "list routes".to_owned(),
                |message| read(&message),
            )?);
        }
        Ok(routes)
    }

    /// Adds a route.
    ///
    /// # Errors
    /// EEXIST when there is one with this destination, table and metric.
    pub fn add_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewRoute(write(route));
        self.change(&message, NLM_F_CREATE | NLM_F_EXCL, || request("add", route))
    }

    /// Adds a route in place of the one with its destination, table and metric, if there is one.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn replace_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewRoute(write(route));
        self.change(&message, NLM_F_CREATE | NLM_F_REPLACE, || request("replace", route))
    }

    /// Removes a route, whoever made it.
    ///
    /// # Errors
    /// ESRCH when there is none.
    pub fn delete_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        let mut message = write(route);
        // Anything else would only match routes of that origin, so not the kernel's own.
        message.header.protocol = RouteProtocol::Unspec;
        let message = RouteNetlinkMessage::DelRoute(message);
        self.change(&message, 0, || request("delete", route))
    }
}

fn request(verb: &str, route: &Route) -> String {
    let mut text = format!("{verb} route {}/{}", route.destination, route.prefix);
    if let Some(gateway) = route.gateway {
        text.push_str(&format!(" via {gateway}"));
    }
    if let Some(link) = route.link {
        text.push_str(&format!(" on link {link}"));
    }
    text
}

fn write(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = match route.destination {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.destination_prefix_length = route.prefix;
    message.header.protocol = RouteProtocol::Boot;
    message.header.kind = RouteType::Unicast;
    message.header.scope = match (route.scope, route.gateway, route.destination) {
        (Some(scope), _, _) => scope.into(),
        (None, None, IpAddr::V4(_)) => RouteScope::Link,
        (None, _, _) => RouteScope::Universe,
    };
    let table = route.table.unwrap_or(MAIN_TABLE);
    // Tables past 255 are told by the attribute alone.
    message.header.table = u8::try_from(table).unwrap_or(0);
    message.attributes.push(RouteAttribute::Table(table));
    if route.prefix > 0 {
        message.attributes.push(RouteAttribute::Destination(route.destination.into()));
    }
    let attributes = &mut message.attributes;
    attributes.extend(route.gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
    attributes.extend(route.link.map(RouteAttribute::Oif));
    attributes.extend(route.priority.map(RouteAttribute::Priority));
    attributes.extend(route.source.map(|source| RouteAttribute::PrefSource(source.into())));
    let metrics: Vec<_> = route
        .mtu
        .map(RouteMetric::Mtu)
        .into_iter()
        .chain(route.advmss.map(RouteMetric::Advmss))
        .collect();
    if !metrics.is_empty() {
        attributes.push(RouteAttribute::Metrics(metrics));
    }
    message
}

fn read(message: &RouteMessage) -> Option<Route> {
    const LOCAL_TABLE: u32 = 255;
    if message.header.kind != RouteType::Unicast {
        return None;
    }
    let ipv4 = message.header.address_family == AddressFamily::Inet;
    let unspecified = if ipv4 {
        IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
    };
    let mut route = Route {
        destination: unspecified,
        prefix: message.header.destination_prefix_length,
        gateway: None,
        link: None,
        table: Some(u32::from(message.header.table)),
        priority: None,
        mtu: None,
        advmss: None,
        scope: Some(message.header.scope.into()),
        source: None,
    };
    for attribute in &message.attributes {
        if let RouteAttribute::Destination(address) = attribute {
            route.destination = read_address(address)?;
        } else if let RouteAttribute::Gateway(address) = attribute {
            route.gateway = read_address(address);
        } else if let RouteAttribute::PrefSource(address) = attribute {
            route.source = read_address(address);
        } else if let RouteAttribute::Oif(link) = attribute {
            route.link = Some(*link);
        } else if let RouteAttribute::Table(table) = attribute {
            route.table = Some(*table);
        } else if let RouteAttribute::Priority(priority) = attribute {
            route.priority = Some(*priority);
        } else if let RouteAttribute::Metrics(metrics) = attribute {
            for metric in metrics {
                if let RouteMetric::Mtu(mtu) = metric {
                    route.mtu = Some(*mtu);
                } else if let RouteMetric::Advmss(advmss) = metric {
                    route.advmss = Some(*advmss);
                }
            }
        }
    }
    (route.table != Some(LOCAL_TABLE)).then_some(route)
}

fn read_address(address: &RouteAddress) -> Option<IpAddr> {
    if let RouteAddress::Inet(address) = address {
        Some(IpAddr::V4(*address))
    } else if let RouteAddress::Inet6(address) = address {
        Some(IpAddr::V6(*address))
    } else {
        None
    }
}

//! Links: bridges, veth pairs, their settings.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd};
use std::str::FromStr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, Parseable};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage, State,
};
use rustix::io::Errno;

use super::{Links, emit};
use crate::error::NetlinkError;

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

/// Text that is not a hardware address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a hardware address such as 02:00:00:00:00:01")]
pub struct ParseMacAddressError {
    /// What was given.
    pub text: String,
}

impl MacAddress {
    /// Makes random bytes into an address that is local (not a vendor's) and of one station.
    #[must_use]
    pub fn local(mut bytes: [u8; 6]) -> Self {
        bytes[0] = (bytes[0] & 0xfe) | 0x02;
        Self(bytes)
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddress {
    type Err = ParseMacAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseMacAddressError { text: text.to_owned() };
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(bad)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_not_hexadecimal| bad())?;
        }
        if parts.next().is_some() {
            return Err(bad());
        }
        Ok(Self(bytes))
    }
}

/// What a link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkKind {
    /// A bridge.
    Bridge,
    /// One end of a veth pair.
    Veth,
    /// Something else, by the kernel's name of it; empty for hardware and loopback.
    Other(String),
}

/// A link as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: LinkKind,
    /// Its hardware address; loopback's is zero.
    pub mac: MacAddress,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// Able to carry packets.
    pub operational: bool,
    /// It is the loopback device.
    pub loopback: bool,
    /// Receives every packet.
    pub promiscuous: bool,
    /// The bridge (or other master) that it is a port of.
    pub master: Option<u32>,
    /// The peer of a veth, as an index in the peer's namespace.
    pub peer: Option<u32>,
}

/// A bridge to be made.
#[derive(Debug, Clone)]
pub struct NewBridge<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its address. One that is set by hand does not follow the ports'.
    pub mac: MacAddress,
    /// Its MTU; the kernel's choice without.
    pub mtu: Option<u32>,
}

/// A veth pair to be made: one end here, the other in another namespace.
#[derive(Debug)]
pub struct NewVeth<'a, N> {
    /// The name of the end here.
    pub name: &'a str,
    /// The master of the end here.
    pub master: u32,
    /// The name of the end over there.
    pub peer_name: &'a str,
    /// The namespace of the end over there.
    pub peer_namespace: N,
    /// The hardware address of the end over there.
    pub peer_mac: Option<MacAddress>,
    /// The MTU of both; the kernel's choice without.
    pub mtu: Option<u32>,
}

/// Changes to a link; what is not given stays.
#[derive(Debug, Clone, Default)]
pub struct LinkChange<'a> {
    /// Up or down.
    pub up: Option<bool>,
    /// Promiscuous or not.
    pub promiscuous: Option<bool>,
    /// A new name; the link must be down.
    pub name: Option<&'a str>,
    /// A new hardware address.
    pub mac: Option<MacAddress>,
    /// A new MTU.
    pub mtu: Option<u32>,
    /// A new master; 0 takes it from its master.
    pub master: Option<u32>,
}

/// Settings of a bridge's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BridgePort {
    /// Send packets back out of the port that they came from.
    pub hairpin: bool,
    /// Speak only to ports that are not isolated.
    pub isolated: bool,
}

impl Links {
    /// The link of a name; nothing when there is none.
    ///
    /// # Errors
    /// Any but that there is none.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let request = || format!("get link {name}");
        self.get_link(message, request)
    }

    /// The link of an index; nothing when there is none.
    ///
    /// # Errors
    /// Any but that there is none.
    pub fn link_at(&mut self, index: u32) -> Result<Option<Link>, NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.get_link(message, || format!("get link {index}"))
    }

    fn get_link(
        &mut self,
        message: LinkMessage,
        request: impl Fn() -> String,
    ) -> Result<Option<Link>, NetlinkError> {
        let message = RouteNetlinkMessage::GetLink(message);
        let answer = self.connection.query(
            message.message_type(),
            request,
            |wire| emit(wire, &message),
            |body| {
                LinkMessage::parse(body)
                    .map(|message| read(&message))
                    .map_err(|error| error.to_string())
            },
        );
        match answer {
            Ok(link) => Ok(Some(link)),
            Err(error) if error.is(Errno::NODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every link of the namespace.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let message = RouteNetlinkMessage::GetLink(LinkMessage::default());
        self.list(&message, || "list links".to_owned(), |message: LinkMessage| Some(read(&message)))
    }

    /// Makes a bridge that is up.
    ///
    /// # Errors
    /// EEXIST when the name is taken.
    pub fn add_bridge(&mut self, bridge: &NewBridge<'_>) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes.push(LinkAttribute::IfName(bridge.name.to_owned()));
        message.attributes.push(LinkAttribute::Address(bridge.mac.0.to_vec()));
        message.attributes.extend(bridge.mtu.map(LinkAttribute::Mtu));
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
        self.add_link(message, || format!("add bridge {}", bridge.name))
    }

    /// Makes a veth pair: the end here is up and a port of its master, the end in the other
    /// namespace is down. All of it in one request: nothing is left behind when it fails.
    ///
    /// # Errors
    /// EEXIST when one of the names is taken.
    pub fn add_veth<N: AsFd>(&mut self, veth: &NewVeth<'_, N>) -> Result<(), NetlinkError> {
        let mut peer = LinkMessage::default();
        peer.attributes.push(LinkAttribute::IfName(veth.peer_name.to_owned()));
        let namespace = veth.peer_namespace.as_fd().as_raw_fd();
        peer.attributes.push(LinkAttribute::NetNsFd(namespace));
        peer.attributes.extend(veth.mtu.map(LinkAttribute::Mtu));
        peer.attributes.extend(veth.peer_mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes.push(LinkAttribute::IfName(veth.name.to_owned()));
        message.attributes.extend(veth.mtu.map(LinkAttribute::Mtu));
        message.attributes.push(LinkAttribute::Controller(veth.master));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        self.add_link(message, || format!("add veth {} to {}", veth.name, veth.peer_name))
    }

    fn add_link(
        &mut self,
        message: LinkMessage,
        request: impl Fn() -> String,
    ) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewLink(message);
        self.change(&message, NLM_F_CREATE | NLM_F_EXCL, request)
    }

    /// Changes settings of a link.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_link(&mut self, index: u32, change: &LinkChange<'_>) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        let flags = [(LinkFlags::Up, change.up), (LinkFlags::Promisc, change.promiscuous)];
        for (flag, wanted) in flags {
            if let Some(wanted) = wanted {
                message.header.change_mask |= flag;
                message.header.flags.set(flag, wanted);
            }
        }
        let attributes = &mut message.attributes;
        attributes.extend(change.name.map(|name| LinkAttribute::IfName(name.to_owned())));
        attributes.extend(change.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        attributes.extend(change.mtu.map(LinkAttribute::Mtu));
        attributes.extend(change.master.map(LinkAttribute::Controller));
        let message = RouteNetlinkMessage::SetLink(message);
        self.change(&message, 0, || format!("set link {index} to {change:?}"))
    }

    /// Moves a link to another network namespace under a name there; it arrives down and without
    /// addresses. The kernel moves first and renames then: when the name is taken there, the link
    /// has moved already.
    ///
    /// # Errors
    /// EEXIST when the name is taken there; EINVAL for a link that cannot leave (loopback).
    pub fn move_link(
        &mut self,
        index: u32,
        namespace: impl AsFd,
        name: &str,
    ) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::NetNsFd(namespace.as_fd().as_raw_fd()));
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let message = RouteNetlinkMessage::SetLink(message);
        self.change(&message, 0, || format!("move link {index} as {name}"))
    }

    /// Sets how a bridge's port behaves.
    ///
    /// # Errors
    /// What the kernel says; EOPNOTSUPP when the link is no port of a bridge.
    pub fn set_bridge_port(&mut self, index: u32, port: BridgePort) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![
                InfoBridgePort::HairpinMode(port.hairpin),
                InfoBridgePort::Isolated(port.isolated),
            ])),
        ]));
        let message = RouteNetlinkMessage::NewLink(message);
        self.change(&message, 0, || format!("set bridge port {index} to {port:?}"))
    }

    /// Removes a link; a veth's peer goes with it.
    ///
    /// # Errors
    /// ENODEV when there is none.
    pub fn delete_link(&mut self, index: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        let message = RouteNetlinkMessage::DelLink(message);
        self.change(&message, 0, || format!("delete link {index}"))
    }
}

fn read(message: &LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        kind: LinkKind::Other(String::new()),
        mac: MacAddress([0; 6]),
        mtu: 0,
        up: flags.contains(LinkFlags::Up),
        operational: false,
        loopback: flags.contains(LinkFlags::Loopback),
        promiscuous: flags.contains(LinkFlags::Promisc),
        master: None,
        peer: None,
    };
    for attribute in &message.attributes {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a foreign enum of some fifty attributes; those that matter here are named"
        )]
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Controller(index) => link.master = Some(*index),
            LinkAttribute::Link(index) => link.peer = Some(*index),
            LinkAttribute::OperState(state) => {
                // Devices that know no such state, loopback among them, say "unknown".
                link.operational = matches!(state, State::Up | State::Unknown);
            }
            LinkAttribute::Address(bytes) => {
                if let Ok(bytes) = bytes.as_slice().try_into() {
                    link.mac = MacAddress(bytes);
                }
            }
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(kind) = info {
                        link.kind = read_kind(kind);
                    }
                }
            }
            _ => {}
        }
    }
    link
}

fn read_kind(kind: &InfoKind) -> LinkKind {
    match kind.to_string().as_str() {
        "bridge" => LinkKind::Bridge,
        "veth" => LinkKind::Veth,
        other => LinkKind::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses() {
        let mac: MacAddress = "02:0a:ff:00:01:9c".parse().unwrap();
        assert_eq!(mac.to_string(), "02:0a:ff:00:01:9c");
        for bad in
            ["", "02:0a:ff:00:01", "02:0a:ff:00:01:9c:00", "2:0a:ff:00:01:9c", "+2:00:00:00:00:0g"]
        {
            assert_eq!(bad.parse::<MacAddress>().unwrap_err().text, bad);
        }
        assert_eq!(MacAddress::local([0xff; 6]).0[0], 0xfe);
    }
}

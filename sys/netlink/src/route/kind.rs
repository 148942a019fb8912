//! What a link is, and links that stand alone or on another one.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoVlan, IpVlanMode, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};

use super::{Links, MacAddress};
use crate::error::NetlinkError;

/// What a link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkKind {
    /// A bridge.
    Bridge,
    /// One end of a veth pair.
    Veth,
    /// An intermediate functional block: what is sent to it comes back after its queue.
    Ifb,
    /// A link to nowhere.
    Dummy,
    /// A link with an own hardware address on another link.
    Macvlan(MacvlanMode),
    /// A link with the hardware address of the link that it stands on.
    Ipvlan(IpvlanMode),
    /// A link with an 802.1Q VLAN's packets, by its number.
    Vlan(u16),
    /// Something else, by the kernel's name of it; empty for hardware and loopback.
    Other(String),
}

/// To whom macvlans on one link can speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacvlanMode {
    /// Not to each other.
    Private,
    /// To each other by way of the switch outside.
    Vepa,
    /// To each other.
    Bridge,
    /// It is the only one.
    Passthru,
    /// To the hardware addresses that it is told.
    Source,
}

/// On which layer an ipvlan's packets are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpvlanMode {
    /// Frames.
    L2,
    /// Packets, by the routes of the namespace of the link below.
    L3,
    /// As [`IpvlanMode::L3`], and packets are tracked and filtered there.
    L3s,
}

/// A link to be made.
#[derive(Debug, Clone)]
pub struct NewLink<'a> {
    /// Its name. The kernel refuses one that a link of the calling namespace has, also when it is
    /// made for another namespace.
    pub name: &'a str,
    /// What it is to be; of [`LinkKind::Other`] the name alone.
    pub kind: LinkKind,
    /// The link that it stands on, by its index in the calling namespace.
    pub parent: Option<u32>,
    /// The namespace it is made in; the calling one without.
    pub namespace: Option<BorrowedFd<'a>>,
    /// Its hardware address; the kernel's choice without.
    pub mac: Option<MacAddress>,
    /// Its MTU; the kernel's choice without.
    pub mtu: Option<u32>,
    /// How many broadcast packets a macvlan's parent keeps for its macvlans.
    pub broadcast_queue_length: Option<u32>,
    /// Whether it is made up.
    pub up: bool,
}

impl<'a> NewLink<'a> {
    /// A link that is down, in the calling namespace.
    #[must_use]
    pub fn new(name: &'a str, kind: LinkKind) -> Self {
        Self {
            name,
            kind,
            parent: None,
            namespace: None,
            mac: None,
            mtu: None,
            broadcast_queue_length: None,
            up: false,
        }
    }

    fn message(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        if self.up {
            message.header.flags = LinkFlags::Up;
            message.header.change_mask = LinkFlags::Up;
        }
        let attributes = &mut message.attributes;
        attributes.push(LinkAttribute::IfName(self.name.to_owned()));
        attributes.extend(self.parent.map(LinkAttribute::Link));
        attributes.extend(self.namespace.map(|it| LinkAttribute::NetNsFd(it.as_raw_fd())));
        attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        attributes.extend(self.mtu.map(LinkAttribute::Mtu));
        let (kind, data) = self.info();
        let mut info = vec![LinkInfo::Kind(kind)];
        info.extend(data.map(LinkInfo::Data));
        attributes.push(LinkAttribute::LinkInfo(info));
        message
    }

    fn info(&self) -> (InfoKind, Option<InfoData>) {
        match &self.kind {
            LinkKind::Bridge => (InfoKind::Bridge, None),
            LinkKind::Veth => (InfoKind::Veth, None),
            LinkKind::Ifb => (InfoKind::Ifb, None),
            LinkKind::Dummy => (InfoKind::Dummy, None),
            LinkKind::Macvlan(mode) => {
                let mode = match mode {
                    MacvlanMode::Private => MacVlanMode::Private,
                    MacvlanMode::Vepa => MacVlanMode::Vepa,
                    MacvlanMode::Bridge => MacVlanMode::Bridge,
                    MacvlanMode::Passthru => MacVlanMode::Passthrough,
                    MacvlanMode::Source => MacVlanMode::Source,
                };
                let mut data = vec![InfoMacVlan::Mode(mode)];
                data.extend(self.broadcast_queue_length.map(InfoMacVlan::BcQueueLen));
                (InfoKind::MacVlan, Some(InfoData::MacVlan(data)))
            }
            LinkKind::Ipvlan(mode) => {
                let mode = match mode {
                    IpvlanMode::L2 => IpVlanMode::L2,
                    IpvlanMode::L3 => IpVlanMode::L3,
                    IpvlanMode::L3s => IpVlanMode::L3S,
                };
                (InfoKind::IpVlan, Some(InfoData::IpVlan(vec![InfoIpVlan::Mode(mode)])))
            }
            LinkKind::Vlan(id) => (InfoKind::Vlan, Some(InfoData::Vlan(vec![InfoVlan::Id(*id)]))),
            LinkKind::Other(name) => (InfoKind::Other(name.clone()), None),
        }
    }
}

impl Links {
    /// Makes a link.
    ///
    /// # Errors
    /// EEXIST when the name is taken; EOPNOTSUPP when the kernel does not have the kind.
    pub fn add(&mut self, link: &NewLink<'_>) -> Result<(), NetlinkError> {
        let kind = link.info().0;
        self.add_link(link.message(), || format!("add {kind} {}", link.name))
    }

    /// Has a bridge tell VLANs apart.
    ///
    /// # Errors
    /// EOPNOTSUPP when the kernel has no such bridges.
    pub fn filter_vlans(&mut self, bridge: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = bridge;
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)])),
        ]));
        let message = RouteNetlinkMessage::NewLink(message);
        self.change(&message, 0, || format!("have bridge {bridge} filter VLANs"))
    }
}

/// Reads what a link is.
pub(super) fn read(infos: &[LinkInfo]) -> LinkKind {
    let mut kind = LinkKind::Other(String::new());
    for info in infos {
        if let LinkInfo::Kind(name) = info {
            kind = match name.to_string().as_str() {
                "bridge" => LinkKind::Bridge,
                "veth" => LinkKind::Veth,
                "ifb" => LinkKind::Ifb,
                "dummy" => LinkKind::Dummy,
                other => LinkKind::Other(other.to_owned()),
            };
        } else if let LinkInfo::Data(data) = info
            && let Some(known) = read_data(data)
        {
            // The kernel writes the data after the kind.
            kind = known;
        }
    }
    kind
}

fn read_data(data: &InfoData) -> Option<LinkKind> {
    if let InfoData::MacVlan(list) = data {
        return list.iter().find_map(read_macvlan);
    }
    if let InfoData::IpVlan(list) = data {
        return list.iter().find_map(read_ipvlan);
    }
    if let InfoData::Vlan(list) = data {
        return list.iter().find_map(|info| {
            if let InfoVlan::Id(id) = info { Some(LinkKind::Vlan(*id)) } else { None }
        });
    }
    None
}

fn read_macvlan(info: &InfoMacVlan) -> Option<LinkKind> {
    let InfoMacVlan::Mode(mode) = info else { return None };
    Some(LinkKind::Macvlan(match mode {
        MacVlanMode::Private => MacvlanMode::Private,
        MacVlanMode::Vepa => MacvlanMode::Vepa,
        MacVlanMode::Bridge => MacvlanMode::Bridge,
        MacVlanMode::Passthrough => MacvlanMode::Passthru,
        MacVlanMode::Source => MacvlanMode::Source,
        MacVlanMode::Other(_) | _ => return None,
    }))
}

fn read_ipvlan(info: &InfoIpVlan) -> Option<LinkKind> {
    let InfoIpVlan::Mode(mode) = info else { return None };
    Some(LinkKind::Ipvlan(match mode {
        IpVlanMode::L2 => IpvlanMode::L2,
        IpVlanMode::L3 => IpvlanMode::L3,
        IpVlanMode::L3S => IpvlanMode::L3s,
        IpVlanMode::Other(_) | _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use netlink_packet_core::{Emitable, Parseable};

    /// What is written after the header of `struct ifinfomsg`, four bytes a word, and that the
    /// kind can be read back from it.
    fn check(kind: LinkKind, expected: &Expect) {
        let mut new = NewLink::new("l0", kind.clone());
        new.parent = Some(7);
        new.mtu = Some(1400);
        let message = new.message();
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        let words: Vec<_> = bytes[16..]
            .chunks(4)
            .map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            .collect();
        expected.assert_eq(&words.join(" "));
        let LinkMessage { attributes, .. } = LinkMessage::parse(bytes.as_slice()).unwrap();
        let found = attributes.iter().find_map(|attribute| {
            if let LinkAttribute::LinkInfo(infos) = attribute { Some(read(infos)) } else { None }
        });
        assert_eq!(found, Some(kind));
    }

    /// Kinds that not every kernel has.
    #[test]
    fn links_as_the_kernel_takes_them() {
        check(
            LinkKind::Dummy,
            &expect![
                "07000300 6c300000 08000500 07000000 08000400 78050000 10001200 0a000100 64756d6d 79000000"
            ],
        );
        check(
            LinkKind::Vlan(100),
            &expect![
                "07000300 6c300000 08000500 07000000 08000400 78050000 1c001200 09000100 766c616e 00000000 0c000200 06000100 64000000"
            ],
        );
        check(
            LinkKind::Ipvlan(IpvlanMode::L3s),
            &expect![
                "07000300 6c300000 08000500 07000000 08000400 78050000 1c001200 0b000100 6970766c 616e0000 0c000200 06000100 02000000"
            ],
        );
        check(
            LinkKind::Macvlan(MacvlanMode::Private),
            &expect![
                "07000300 6c300000 08000500 07000000 08000400 78050000 1c001200 0c000100 6d616376 6c616e00 0c000200 08000100 01000000"
            ],
        );
    }
}

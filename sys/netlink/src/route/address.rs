//! Addresses of links.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Links;
use crate::error::NetlinkError;

/// An address with its network's prefix length, on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The link's index.
    pub link: u32,
    /// The address.
    pub address: IpAddr,
    /// The prefix length in bits.
    pub prefix: u8,
}

impl Links {
    /// The addresses of a link.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn addresses(&mut self, link: u32) -> Result<Vec<Address>, NetlinkError> {
        let mut message = AddressMessage::default();
        message.header.index = link;
        let message = RouteNetlinkMessage::GetAddress(message);
        self.list(
            &message,
            || format!("list addresses of link {link}"),
            move |message| read(&message).filter(|address| address.link == link),
        )
    }

    /// The addresses of a link that are neither of limited scope nor of limited life: those that
    /// somebody gave it, and that the kernel does not make again by itself.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn lasting_addresses(&mut self, link: u32) -> Result<Vec<Address>, NetlinkError> {
        let mut message = AddressMessage::default();
        message.header.index = link;
        let message = RouteNetlinkMessage::GetAddress(message);
        self.list(
            &message,
            || format!("list addresses of link {link}"),
            move |message: AddressMessage| {
                let lasting = message.header.scope == AddressScope::Universe
                    && message.header.flags.contains(AddressHeaderFlags::Permanent);
                lasting.then(|| read(&message)).flatten().filter(|address| address.link == link)
            },
        )
    }

    /// The addresses of all links.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn all_addresses(&mut self) -> Result<Vec<Address>, NetlinkError> {
        let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        self.list(&message, || "list addresses".to_owned(), |message| read(&message))
    }

    /// Gives a link an address. An IPv6 address is usable at once where `dad` is false: nobody
    /// is asked whether it is taken.
    ///
    /// # Errors
    /// EEXIST when the link has it.
    pub fn add_address(&mut self, address: Address, dad: bool) -> Result<(), NetlinkError> {
        let mut message = write(address);
        if let IpAddr::V6(_) = address.address
            && !dad
        {
            message.header.flags = AddressHeaderFlags::Nodad;
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        let message = RouteNetlinkMessage::NewAddress(message);
        self.change(&message, NLM_F_CREATE | NLM_F_EXCL, || request("add", address))
    }

    /// Takes an address from a link.
    ///
    /// # Errors
    /// EADDRNOTAVAIL when the link does not have it.
    pub fn delete_address(&mut self, address: Address) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelAddress(write(address));
        self.change(&message, 0, || request("delete", address))
    }
}

fn request(verb: &str, address: Address) -> String {
    format!("{verb} address {}/{} of link {}", address.address, address.prefix, address.link)
}

fn write(address: Address) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = address.link;
    message.header.prefix_len = address.prefix;
    message.header.scope = AddressScope::Universe;
    message.header.family = match address.address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.attributes.push(AddressAttribute::Local(address.address));
    message.attributes.push(AddressAttribute::Address(address.address));
    if let IpAddr::V4(v4) = address.address
        && address.prefix < 31
    {
        let host = u32::MAX >> address.prefix;
        let broadcast = std::net::Ipv4Addr::from_bits(v4.to_bits() | host);
        message.attributes.push(AddressAttribute::Broadcast(broadcast));
    }
    message
}

fn read(message: &AddressMessage) -> Option<Address> {
    let mut local = None;
    let mut plain = None;
    for attribute in &message.attributes {
        if let AddressAttribute::Local(address) = attribute {
            local = Some(*address);
        } else if let AddressAttribute::Address(address) = attribute {
            plain = Some(*address);
        }
    }
    // On a point-to-point link ADDRESS is the other side; IPv6 has no LOCAL otherwise.
    let address = local.or(plain)?;
    Some(Address { link: message.header.index, address, prefix: message.header.prefix_len })
}

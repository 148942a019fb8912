//! Tracked connections (ctnetlink, `linux/netfilter/nfnetlink_conntrack.h`).

use std::net::IpAddr;

use netlink_packet_core::NLM_F_ACK;
use netlink_sys::protocols::NETLINK_NETFILTER;
use rustix::io::Errno;

use crate::error::NetlinkError;
use crate::socket::Connection;
use crate::wire::{Wire, find};

/// `NFNL_SUBSYS_CTNETLINK`, in the upper byte of a message's type.
const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = 1;
const DELETE: u16 = 2;

/// Attributes of a connection.
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;

/// One direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// The sender.
    pub source: IpAddr,
    /// The receiver.
    pub destination: IpAddr,
    /// The transport protocol's number.
    pub protocol: u8,
    /// The sender's port; 0 for protocols without ports.
    pub source_port: u16,
    /// The receiver's port; 0 for protocols without ports.
    pub destination_port: u16,
}

/// A tracked connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// As its first packet was sent.
    pub original: Tuple,
    /// As its answers are sent: the translated addresses show here.
    pub reply: Tuple,
    /// Attributes that the kernel wants back to be sure of the entry.
    id: Option<Vec<u8>>,
    zone: Option<Vec<u8>>,
}

/// A socket to the tracked connections of one network namespace.
#[derive(Debug)]
pub struct Conntrack {
    connection: Connection,
}

impl Conntrack {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// When there is no socket to be had.
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self { connection: Connection::open(NETLINK_NETFILTER)? })
    }

    /// The connections that `keep` wants, of one address family.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn list(
        &mut self,
        ipv6: bool,
        keep: impl Fn(&Flow) -> bool,
    ) -> Result<Vec<Flow>, NetlinkError> {
        self.connection.dump(
            SUBSYSTEM | GET,
            || "list tracked connections".to_owned(),
            |wire| wire.raw(&header(ipv6)),
            // Entries of protocols that are not understood are nobody's business here.
            |body| Ok(read(body.get(4..).unwrap_or_default()).filter(&keep)),
        )
    }

    /// Forgets connections, so that their next packet is looked at as a first one. Returns how
    /// many there were; one that ended by itself meanwhile does not count.
    ///
    /// # Errors
    /// When they cannot be read or one cannot be deleted.
    pub fn delete(
        &mut self,
        ipv6: bool,
        matching: impl Fn(&Flow) -> bool,
    ) -> Result<usize, NetlinkError> {
        let mut deleted = 0;
        for flow in self.list(ipv6, matching)? {
            deleted += usize::from(self.delete_flow(&flow)?);
        }
        Ok(deleted)
    }

    /// Forgets one connection; false when it ended by itself meanwhile.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn delete_flow(&mut self, flow: &Flow) -> Result<bool, NetlinkError> {
        let request = || {
            let Tuple { source, destination, protocol, source_port, destination_port } =
                flow.original;
            format!(
                "delete tracked connection {protocol} {source} {source_port} to {destination} \
                 {destination_port}"
            )
        };
        let outcome = self.connection.request(SUBSYSTEM | DELETE, NLM_F_ACK, request, |wire| {
            wire.raw(&header(flow.original.source.is_ipv6()));
            wire.nest(TUPLE_ORIGINAL, |wire| write(wire, &flow.original));
            for (kind, value) in [(ID, &flow.id), (ZONE, &flow.zone)] {
                if let Some(value) = value {
                    wire.attribute(kind, value);
                }
            }
        });
        match outcome {
            Ok(()) => Ok(true),
            Err(error) if error.is(Errno::NOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// `struct nfgenmsg`.
fn header(ipv6: bool) -> [u8; 4] {
    [if ipv6 { 10 } else { 2 }, 0, 0, 0]
}

fn write(wire: &mut Wire, tuple: &Tuple) {
    wire.nest(1, |wire| match (tuple.source, tuple.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            wire.attribute(1, &source.octets());
            wire.attribute(2, &destination.octets());
        }
        (source, destination) => {
            wire.attribute(3, &to_ipv6(source));
            wire.attribute(4, &to_ipv6(destination));
        }
    });
    wire.nest(2, |wire| {
        wire.attribute(1, &[tuple.protocol]);
        wire.attribute(2, &tuple.source_port.to_be_bytes());
        wire.attribute(3, &tuple.destination_port.to_be_bytes());
    });
}

fn to_ipv6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn read(body: &[u8]) -> Option<Flow> {
    Some(Flow {
        original: read_tuple(find(body, TUPLE_ORIGINAL)?)?,
        reply: read_tuple(find(body, TUPLE_REPLY)?)?,
        id: find(body, ID).map(<[u8]>::to_vec),
        zone: find(body, ZONE).map(<[u8]>::to_vec),
    })
}

fn read_tuple(tuple: &[u8]) -> Option<Tuple> {
    let ip = find(tuple, 1)?;
    let protocol = find(tuple, 2)?;
    let address = |v4: u16, v6: u16| -> Option<IpAddr> {
        if let Some(value) = find(ip, v4) {
            return Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?));
        }
        Some(IpAddr::from(<[u8; 16]>::try_from(find(ip, v6)?).ok()?))
    };
    let port = |kind: u16| {
        find(protocol, kind).and_then(|value| value.try_into().ok()).map_or(0, u16::from_be_bytes)
    };
    Some(Tuple {
        source: address(1, 3)?,
        destination: address(2, 4)?,
        protocol: *find(protocol, 1)?.first()?,
        source_port: port(2),
        destination_port: port(3),
    })
}

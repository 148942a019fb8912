//! Links, addresses, routes, routing rules and traffic control (rtnetlink).

mod address;
mod bridge_vlan;
mod kind;
mod link;
mod mac;
mod routes;
mod rules;
mod traffic;

pub use address::Address;
pub use bridge_vlan::BridgeVlan;
pub use kind::{IpvlanMode, LinkKind, MacvlanMode, NewLink};
pub use link::{BridgePort, Link, LinkChange, NewBridge, NewVeth};
pub use mac::{MacAddress, ParseMacAddressError};
pub use routes::Route;
pub use rules::Rule;
pub use traffic::{Qdisc, TokenBucket};

use netlink_packet_core::{Emitable, Parseable};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::error::NetlinkError;
use crate::socket::Connection;
use crate::wire::Wire;

/// A socket to the links, addresses and routes of one network namespace.
#[derive(Debug)]
pub struct Links {
    connection: Connection,
}

impl Links {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// When there is no socket to be had.
    pub fn open() -> Result<Self, NetlinkError> {
        let connection = Connection::open(NETLINK_ROUTE)?;
        connection.check_strictly()?;
        Ok(Self { connection })
    }

    fn change(
        &mut self,
        message: &RouteNetlinkMessage,
        flags: u16,
        request: impl Fn() -> String,
    ) -> Result<(), NetlinkError> {
        self.connection.request(message.message_type(), flags, request, |wire| emit(wire, message))
    }

    fn list<M, T>(
        &mut self,
        message: &RouteNetlinkMessage,
        request: impl Fn() -> String,
        keep: impl Fn(M) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError>
    where
        M: Parseable<[u8]>,
    {
        self.connection.dump(
            message.message_type(),
            request,
            |wire| emit(wire, message),
            |body| {
                let message = M::parse(body).map_err(|error| error.to_string())?;
                Ok(keep(message))
            },
        )
    }
}

fn emit(wire: &mut Wire, message: &RouteNetlinkMessage) {
    let mut body = vec![0; message.buffer_len()];
    message.emit(&mut body);
    wire.raw(&body);
}

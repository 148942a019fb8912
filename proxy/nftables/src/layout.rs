//! Names, registers and keys: what the rest agrees on.

use std::net::{IpAddr, SocketAddr};

use corten_proxy_model::{FrontendKey, Protocol};
use corten_sys_netlink::tables::{Base, Expression, Family, FieldType, MetaKey, Register, Table};

/// What differs between IPv4 and IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) ipv6: bool,
}

/// Which of the two kinds of frontends a map is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// By address, protocol and port.
    Address,
    /// By protocol and port.
    NodePort,
}

impl Kind {
    pub(crate) const BOTH: [Self; 2] = [Self::Address, Self::NodePort];

    pub(crate) fn of(key: &FrontendKey) -> Self {
        match key {
            FrontendKey::Address { .. } => Self::Address,
            FrontendKey::NodePort { .. } => Self::NodePort,
        }
    }

    /// Frontend to chain.
    pub(crate) fn services(self) -> &'static str {
        match self {
            Self::Address => "services",
            Self::NodePort => "node-ports",
        }
    }

    /// Frontend without a way to a chain that says so.
    pub(crate) fn unreachable(self) -> &'static str {
        match self {
            Self::Address => "unreachable-services",
            Self::NodePort => "unreachable-node-ports",
        }
    }

    /// Frontend and index to endpoint.
    pub(crate) fn endpoints(self) -> &'static str {
        match self {
            Self::Address => "endpoints",
            Self::NodePort => "node-port-endpoints",
        }
    }

    /// Client and frontend to index.
    pub(crate) fn affinity(self) -> &'static str {
        match self {
            Self::Address => "affinity",
            Self::NodePort => "node-port-affinity",
        }
    }
}

/// Pairs of one address: who calls itself by a Service.
pub(crate) const HAIRPIN: &str = "hairpin";

/// Where a look-up's parts stand. Client, frontend and index follow each other, so that both
/// "client and frontend" and "frontend and index" are keys without moving anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Registers {
    pub(crate) client: Register,
    pub(crate) frontend: Register,
    pub(crate) index: Register,
    pub(crate) endpoint: Register,
    pub(crate) endpoint_port: Register,
}

impl Layout {
    pub(crate) const BOTH: [Self; 2] = [Self { ipv6: false }, Self { ipv6: true }];

    pub(crate) fn table(self) -> Table {
        Table::new(if self.ipv6 { Family::Ipv6 } else { Family::Ipv4 }, "corten-proxy")
    }

    pub(crate) fn address_type(self) -> FieldType {
        if self.ipv6 { FieldType::Ipv6Address } else { FieldType::Ipv4Address }
    }

    /// How many registers an address takes.
    fn address_registers(self) -> u8 {
        if self.ipv6 { 4 } else { 1 }
    }

    /// Where an address is in the header, and how long it is.
    pub(crate) fn place(self, destination: bool) -> (u32, u32) {
        match (self.ipv6, destination) {
            (false, false) => (12, 4),
            (false, true) => (16, 4),
            (true, false) => (8, 16),
            (true, true) => (24, 16),
        }
    }

    pub(crate) fn registers(self, kind: Kind) -> Registers {
        let address = self.address_registers();
        let frontend = address;
        let protocol = match kind {
            Kind::Address => frontend + address,
            Kind::NodePort => frontend,
        };
        let index = protocol + 2;
        let endpoint = index + 1;
        Registers {
            client: Register(0),
            frontend: Register(frontend),
            index: Register(index),
            endpoint: Register(endpoint),
            endpoint_port: Register(endpoint + address),
        }
    }

    /// Loads the frontend that a packet is for.
    pub(crate) fn load_frontend(self, kind: Kind) -> Vec<Expression> {
        let Register(mut next) = self.registers(kind).frontend;
        let mut rule = Vec::new();
        if kind == Kind::Address {
            let (offset, length) = self.place(true);
            let to = Register(next);
            rule.push(Expression::Payload { base: Base::Network, offset, length, to });
            next += self.address_registers();
        }
        rule.push(Expression::Meta { key: MetaKey::TransportProtocol, to: Register(next) });
        let to = Register(next + 1);
        rule.push(Expression::Payload { base: Base::Transport, offset: 2, length: 2, to });
        rule
    }

    /// Loads the client that a packet is from.
    pub(crate) fn load_client(self, kind: Kind) -> Expression {
        let (offset, length) = self.place(false);
        let to = self.registers(kind).client;
        Expression::Payload { base: Base::Network, offset, length, to }
    }

    pub(crate) fn frontend_fields(self, kind: Kind) -> Vec<FieldType> {
        let address = (kind == Kind::Address).then(|| self.address_type());
        address.into_iter().chain([FieldType::Protocol, FieldType::Port]).collect()
    }
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// A port at the beginning of its register.
fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

/// A frontend as the maps have it.
pub(crate) fn key_bytes(key: &FrontendKey) -> Vec<u8> {
    let (mut bytes, protocol, port) = match key {
        FrontendKey::Address { address, protocol, port } => (octets(*address), protocol, port),
        FrontendKey::NodePort { protocol, port, .. } => (Vec::new(), protocol, port),
    };
    bytes.extend([protocol.number(), 0, 0, 0]);
    bytes.extend(padded(*port));
    bytes
}

/// A frontend and an index. The index is a number that the kernel makes, so it has the machine's
/// byte order.
pub(crate) fn indexed_key(mut key: Vec<u8>, index: u32) -> Vec<u8> {
    key.extend(index.to_ne_bytes());
    key
}

pub(crate) fn endpoint_bytes(endpoint: SocketAddr) -> Vec<u8> {
    let mut bytes = octets(endpoint.ip());
    bytes.extend(padded(endpoint.port()));
    bytes
}

/// Reads what [`key_bytes`] wrote.
pub(crate) fn read_key(layout: Layout, kind: Kind, bytes: &[u8]) -> Option<FrontendKey> {
    let (address, rest) = match kind {
        Kind::Address => {
            let (address, rest) = read_address(layout, bytes)?;
            (Some(address), rest)
        }
        Kind::NodePort => (None, bytes),
    };
    let [protocol, _, _, _, high, low, _, _] = <[u8; 8]>::try_from(rest).ok()?;
    let protocol = Protocol::from_number(protocol)?;
    let port = u16::from_be_bytes([high, low]);
    Some(match address {
        Some(address) => FrontendKey::Address { address, protocol, port },
        None => FrontendKey::NodePort { ipv6: layout.ipv6, protocol, port },
    })
}

/// Reads what [`indexed_key`] wrote.
pub(crate) fn read_indexed_key(
    layout: Layout,
    kind: Kind,
    bytes: &[u8],
) -> Option<(FrontendKey, u32)> {
    let (key, index) = bytes.split_last_chunk::<4>()?;
    Some((read_key(layout, kind, key)?, u32::from_ne_bytes(*index)))
}

/// Reads what [`endpoint_bytes`] wrote.
pub(crate) fn read_endpoint(layout: Layout, bytes: &[u8]) -> Option<SocketAddr> {
    let (address, rest) = read_address(layout, bytes)?;
    let [high, low, _, _] = <[u8; 4]>::try_from(rest).ok()?;
    Some(SocketAddr::new(address, u16::from_be_bytes([high, low])))
}

pub(crate) fn read_address(layout: Layout, bytes: &[u8]) -> Option<(IpAddr, &[u8])> {
    if layout.ipv6 {
        let (address, rest) = bytes.split_first_chunk::<16>()?;
        Some((IpAddr::from(*address), rest))
    } else {
        let (address, rest) = bytes.split_first_chunk::<4>()?;
        Some((IpAddr::from(*address), rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_the_kernel_form() {
        for address in ["10.43.0.1", "fd43::1"] {
            let address: IpAddr = address.parse().unwrap();
            let layout = Layout { ipv6: address.is_ipv6() };
            let (protocol, port) = (Protocol::Udp, 53);
            let keys = [
                (Kind::Address, FrontendKey::Address { address, protocol, port }),
                (Kind::NodePort, FrontendKey::NodePort { ipv6: layout.ipv6, protocol, port }),
            ];
            for (kind, key) in keys {
                let bytes = indexed_key(key_bytes(&key), 7);
                assert_eq!(read_indexed_key(layout, kind, &bytes), Some((key, 7)));
                assert_eq!(read_key(layout, kind, &bytes[1..]), None);
            }
            let endpoint = SocketAddr::new(address, 8080);
            assert_eq!(read_endpoint(layout, &endpoint_bytes(endpoint)), Some(endpoint));
        }
    }

    #[test]
    fn registers_fit() {
        for layout in Layout::BOTH {
            for kind in Kind::BOTH {
                assert!(layout.registers(kind).endpoint_port.0 < 16);
            }
        }
    }
}

//! What rules are made of.

use crate::wire::Wire;

/// One of the sixteen 4-byte registers. A longer value takes several in a row, and the fields of
/// a concatenation each start a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Register(pub u8);

impl Register {
    /// The verdict register aside, the kernel numbers them from `NFT_REG32_00` on.
    fn number(self) -> u32 {
        8 + u32::from(self.0)
    }
}

/// Where a packet goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Let it pass this hook.
    Accept,
    /// Discard it.
    Drop,
    /// Go to a chain and come back from it.
    Jump(String),
    /// Go to a chain and not come back.
    Goto(String),
    /// Come back from a chain.
    Return,
}

impl Verdict {
    fn code(&self) -> i32 {
        match self {
            Self::Drop => 0,
            Self::Accept => 1,
            Self::Jump(_) => -3,
            Self::Goto(_) => -4,
            Self::Return => -5,
        }
    }

    pub(super) fn chain(&self) -> Option<&str> {
        match self {
            Self::Jump(chain) | Self::Goto(chain) => Some(chain),
            Self::Accept | Self::Drop | Self::Return => None,
        }
    }

    /// The body of an `NFTA_DATA_VERDICT`.
    pub(super) fn write(&self, wire: &mut Wire) {
        wire.be32(1, self.code().cast_unsigned());
        if let Some(chain) = self.chain() {
            wire.text(2, chain);
        }
    }

    pub(super) fn read(code: u32, chain: Option<String>) -> Option<Self> {
        match (code.cast_signed(), chain) {
            (0, _) => Some(Self::Drop),
            (1, _) => Some(Self::Accept),
            (-3, Some(chain)) => Some(Self::Jump(chain)),
            (-4, Some(chain)) => Some(Self::Goto(chain)),
            (-5, _) => Some(Self::Return),
            _ => None,
        }
    }
}

/// Which header a payload offset counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// The Ethernet header.
    Link,
    /// The IP header.
    Network,
    /// The TCP, UDP or SCTP header.
    Transport,
}

impl Base {
    fn number(self) -> u32 {
        match self {
            Self::Link => 0,
            Self::Network => 1,
            Self::Transport => 2,
        }
    }
}

/// A property of the packet that is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetaKey {
    /// The packet mark, in host byte order.
    Mark,
    /// The name of the interface it came in by; 16 bytes, zero-padded.
    InputName,
    /// The name of the interface it leaves by; 16 bytes, zero-padded.
    OutputName,
    /// The network protocol: 2 for IPv4, 10 for IPv6; one byte.
    NetworkProtocol,
    /// The transport protocol; one byte.
    TransportProtocol,
}

impl MetaKey {
    fn number(self) -> u32 {
        match self {
            Self::Mark => 3,
            Self::InputName => 6,
            Self::OutputName => 7,
            Self::NetworkProtocol => 15,
            Self::TransportProtocol => 16,
        }
    }
}

/// A property of the packet's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CtKey {
    /// A set of bits: `1 << 1` established, `1 << 2` related, `1 << 3` new; host byte order.
    State,
    /// A set of bits: `1 << 4` source translated, `1 << 5` destination translated.
    Status,
    /// The destination port, network byte order; needs a direction.
    DestinationPort,
    /// The IPv4 destination; needs a direction.
    Ipv4Destination,
    /// The IPv6 destination; needs a direction.
    Ipv6Destination,
}

impl CtKey {
    /// `IPS_DST_NAT`: bit of [`CtKey::Status`].
    pub const STATUS_DESTINATION_TRANSLATED: u32 = 1 << 5;

    fn number(self) -> u32 {
        match self {
            Self::State => 0,
            Self::Status => 2,
            Self::DestinationPort => 12,
            Self::Ipv4Destination => 20,
            Self::Ipv6Destination => 22,
        }
    }
}

/// A direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CtDirection {
    /// As its first packet had it, before any translation.
    Original,
    /// As answers have it.
    Reply,
}

/// How a register is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// Goes on when equal.
    Equal,
    /// Goes on when not equal.
    NotEqual,
}

/// Which address is translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatType {
    /// The source.
    Source,
    /// The destination.
    Destination,
}

/// The address that a routing lookup is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FibSource {
    /// The packet's source.
    Source,
    /// The packet's destination.
    Destination,
}

/// What the routing tables hold an address for (`RTN_*`), in host byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressType {
    /// Another machine's.
    Unicast,
    /// This machine's.
    Local,
}

impl AddressType {
    /// The value that [`Expression::Fib`] loads.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Unicast => 1,
            Self::Local => 2,
        }
    }
}

/// What a rule does to a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DynsetOperation {
    /// Adds an element that is not there.
    Add,
    /// Adds an element or begins its time-out anew; the value of one that is there stays.
    Update,
    /// Removes an element.
    Delete,
}

/// How a sender is told that its packet was not wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// A TCP reset.
    TcpReset,
    /// ICMP port unreachable; in tables of the family [`Inet`](super::Family::Inet).
    PortUnreachable,
    /// ICMP port unreachable; in tables of the family [`Ipv4`](super::Family::Ipv4).
    Ipv4PortUnreachable,
    /// ICMP port unreachable; in tables of the family [`Ipv6`](super::Family::Ipv6).
    Ipv6PortUnreachable,
}

/// One step of a rule. Steps run in order until one does not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Loads bytes of the packet.
    Payload {
        /// Which header.
        base: Base,
        /// From where in it.
        offset: u32,
        /// How many bytes.
        length: u32,
        /// To where.
        to: Register,
    },
    /// Loads a property of the packet.
    Meta {
        /// Which.
        key: MetaKey,
        /// To where.
        to: Register,
    },
    /// Sets a property of the packet.
    SetMeta {
        /// Which.
        key: MetaKey,
        /// From where.
        from: Register,
    },
    /// Loads a property of the connection.
    Ct {
        /// Which.
        key: CtKey,
        /// Of which direction, where the key needs one.
        direction: Option<CtDirection>,
        /// To where.
        to: Register,
    },
    /// Compares a register with a value.
    Compare {
        /// The register.
        from: Register,
        /// How.
        operator: Operator,
        /// The value, in the register's byte order.
        value: Vec<u8>,
    },
    /// `to = (from & mask) ^ xor`.
    Bitwise {
        /// The source.
        from: Register,
        /// The destination.
        to: Register,
        /// The bits that are kept.
        mask: Vec<u8>,
        /// The bits that are flipped.
        xor: Vec<u8>,
    },
    /// Loads a value.
    Immediate {
        /// To where.
        to: Register,
        /// The value.
        value: Vec<u8>,
    },
    /// Ends the rule with a verdict.
    Verdict(Verdict),
    /// Goes on when the set has the key.
    Lookup {
        /// The set.
        set: String,
        /// Where the key is.
        key: Register,
        /// Goes on when the set does not have the key instead.
        inverted: bool,
    },
    /// Loads what a map has for a key; ends the rule without an effect when it has nothing.
    MapLookup {
        /// The map.
        map: String,
        /// Where the key is.
        key: Register,
        /// To where.
        to: Register,
    },
    /// Takes the verdict that a map has for a key; goes on when it has none.
    VerdictMap {
        /// The map.
        map: String,
        /// Where the key is.
        key: Register,
    },
    /// Loads a random number below a limit, in host byte order.
    Random {
        /// The limit.
        modulus: u32,
        /// To where.
        to: Register,
    },
    /// Loads an [`AddressType`].
    Fib {
        /// Of which address.
        source: FibSource,
        /// To where.
        to: Register,
    },
    /// Puts an element into a set or map.
    Dynset {
        /// Which.
        set: String,
        /// How.
        operation: DynsetOperation,
        /// Where the key is.
        key: Register,
        /// Where the value is, for a map.
        value: Option<Register>,
        /// How long it stays, in milliseconds; the set's default without.
        timeout_ms: Option<u64>,
    },
    /// Translates an address, and ends the rule.
    Nat {
        /// Which address.
        kind: NatType,
        /// IPv4 or IPv6.
        ipv6: bool,
        /// Where the new address is.
        address: Register,
        /// Where the new port is.
        port: Option<Register>,
    },
    /// Translates the source to an address of the interface it leaves by, ends the rule. The
    /// port is chosen at random, so that parallel connections do not race for one.
    Masquerade,
    /// Discards the packet and tells its sender.
    Reject(Rejection),
}

impl Expression {
    /// An `NFTA_LIST_ELEM` with name and data.
    pub(super) fn write(&self, wire: &mut Wire) {
        wire.nest(1, |wire| {
            wire.text(1, self.name());
            wire.nest(2, |wire| self.write_data(wire));
        });
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Payload { .. } => "payload",
            Self::Meta { .. } | Self::SetMeta { .. } => "meta",
            Self::Ct { .. } => "ct",
            Self::Compare { .. } => "cmp",
            Self::Bitwise { .. } => "bitwise",
            Self::Immediate { .. } | Self::Verdict(_) => "immediate",
            Self::Lookup { .. } | Self::MapLookup { .. } | Self::VerdictMap { .. } => "lookup",
            Self::Random { .. } => "numgen",
            Self::Fib { .. } => "fib",
            Self::Dynset { .. } => "dynset",
            Self::Nat { .. } => "nat",
            Self::Masquerade => "masq",
            Self::Reject(_) => "reject",
        }
    }

    fn write_data(&self, wire: &mut Wire) {
        match self {
            Self::Payload { base, offset, length, to } => {
                wire.be32(1, to.number());
                wire.be32(2, base.number());
                wire.be32(3, *offset);
                wire.be32(4, *length);
            }
            Self::Meta { key, to } => {
                wire.be32(1, to.number());
                wire.be32(2, key.number());
            }
            Self::SetMeta { key, from } => {
                wire.be32(2, key.number());
                wire.be32(3, from.number());
            }
            Self::Ct { key, direction, to } => {
                wire.be32(1, to.number());
                wire.be32(2, key.number());
                if let Some(direction) = direction {
                    wire.attribute(3, &[u8::from(*direction == CtDirection::Reply)]);
                }
            }
            Self::Compare { from, operator, value } => {
                wire.be32(1, from.number());
                wire.be32(2, u32::from(*operator == Operator::NotEqual));
                wire.nest(3, |wire| wire.attribute(1, value));
            }
            Self::Bitwise { from, to, mask, xor } => {
                wire.be32(1, from.number());
                wire.be32(2, to.number());
                wire.be32(3, length(mask));
                wire.nest(4, |wire| wire.attribute(1, mask));
                wire.nest(5, |wire| wire.attribute(1, xor));
            }
            Self::Immediate { to, value } => {
                wire.be32(1, to.number());
                wire.nest(2, |wire| wire.attribute(1, value));
            }
            Self::Verdict(verdict) => {
                wire.be32(1, 0);
                wire.nest(2, |wire| wire.nest(2, |wire| verdict.write(wire)));
            }
            Self::Lookup { set, key, inverted } => {
                wire.text(1, set);
                wire.be32(2, key.number());
                wire.be32(5, u32::from(*inverted));
            }
            Self::MapLookup { map, key, to } => {
                wire.text(1, map);
                wire.be32(2, key.number());
                wire.be32(3, to.number());
            }
            Self::VerdictMap { map, key } => {
                wire.text(1, map);
                wire.be32(2, key.number());
                wire.be32(3, 0);
            }
            Self::Random { modulus, to } => {
                wire.be32(1, to.number());
                wire.be32(2, *modulus);
                wire.be32(3, 1);
                wire.be32(4, 0);
            }
            Self::Fib { .. } | Self::Dynset { .. } | Self::Nat { .. } => self.write_long(wire),
            // NF_NAT_RANGE_PROTO_RANDOM_FULLY
            Self::Masquerade => wire.be32(1, 1 << 4),
            Self::Reject(Rejection::TcpReset) => wire.be32(1, 1),
            Self::Reject(Rejection::PortUnreachable) => {
                // NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_PORT_UNREACH
                wire.be32(1, 2);
                wire.attribute(2, &[1]);
            }
            Self::Reject(Rejection::Ipv4PortUnreachable) => {
                wire.be32(1, 0);
                wire.attribute(2, &[3]);
            }
            Self::Reject(Rejection::Ipv6PortUnreachable) => {
                wire.be32(1, 0);
                wire.attribute(2, &[4]);
            }
        }
    }

    fn write_long(&self, wire: &mut Wire) {
        if let Self::Fib { source, to } = self {
            wire.be32(1, to.number());
            // NFT_FIB_RESULT_ADDRTYPE
            wire.be32(2, 3);
            wire.be32(3, if *source == FibSource::Source { 1 } else { 2 });
        }
        if let Self::Dynset { set, operation, key, value, timeout_ms } = self {
            wire.text(1, set);
            wire.be32(
                3,
                match operation {
                    DynsetOperation::Add => 0,
                    DynsetOperation::Update => 1,
                    DynsetOperation::Delete => 2,
                },
            );
            wire.be32(4, key.number());
            if let Some(value) = value {
                wire.be32(5, value.number());
            }
            if let Some(timeout_ms) = timeout_ms {
                wire.be64(6, *timeout_ms);
            }
        }
        if let Self::Nat { kind, ipv6, address, port } = self {
            wire.be32(1, u32::from(*kind == NatType::Destination));
            wire.be32(2, if *ipv6 { 10 } else { 2 });
            wire.be32(3, address.number());
            if let Some(port) = port {
                wire.be32(5, port.number());
            }
        }
    }
}

fn length(bytes: &[u8]) -> u32 {
    // A value has at most 64 bytes; a longer one the kernel refuses.
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

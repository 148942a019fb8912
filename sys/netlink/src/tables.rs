//! nf_tables: an encoder of batches and a reader of what the kernel holds
//! (`linux/netfilter/nf_tables.h`).

mod batch;
mod expression;
mod read;
mod set;

pub use batch::{BaseChain, Batch, ChainType, Hook};
pub use expression::{
    AddressType, Base, CtDirection, CtKey, DynsetOperation, Expression, FibSource, MetaKey,
    NatType, Operator, Register, Rejection, Verdict,
};
pub use read::{ChainInfo, ElementInfo, RuleInfo};
pub use set::{Element, ElementData, FieldType, Set, SetData};

use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::error::NetlinkError;
use crate::socket::Connection;

/// `NFNL_SUBSYS_NFTABLES`, in the upper byte of a message's type.
const SUBSYSTEM: u16 = 10 << 8;

/// The families that tables live in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4 and IPv6 together.
    Inet,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// Packets that a bridge forwards.
    Bridge,
}

impl Family {
    const ALL: [Self; 4] = [Self::Inet, Self::Ipv4, Self::Ipv6, Self::Bridge];

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ipv4 => 2,
            Self::Bridge => 7,
            Self::Ipv6 => 10,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.number() == number)
    }

    /// The name as `nft` writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ipv4 => "ip",
            Self::Ipv6 => "ip6",
            Self::Bridge => "bridge",
        }
    }
}

/// A table's family and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table {
    /// The family.
    pub family: Family,
    /// The name.
    pub name: String,
}

impl Table {
    /// Names a table.
    #[must_use]
    pub fn new(family: Family, name: &str) -> Self {
        Self { family, name: name.to_owned() }
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.family.as_str(), self.name)
    }
}

/// A socket to the tables of one network namespace.
#[derive(Debug)]
pub struct Tables {
    connection: Connection,
}

impl Tables {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// When there is no socket to be had.
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self { connection: Connection::open(NETLINK_NETFILTER)? })
    }
}

/// `struct nfgenmsg`.
fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

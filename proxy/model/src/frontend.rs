//! Where packets are sent to, where they go, and what has to change.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::{Protocol, ServiceName, Warning};

/// What a packet's destination is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrontendKey {
    /// An address of a Service.
    Address {
        /// The address.
        address: IpAddr,
        /// The protocol.
        protocol: Protocol,
        /// The port.
        port: u16,
    },
    /// A port on every address of the node.
    NodePort {
        /// Of IPv6 packets, else of IPv4 packets.
        ipv6: bool,
        /// The protocol.
        protocol: Protocol,
        /// The port.
        port: u16,
    },
}

impl FrontendKey {
    /// Whether it is about IPv6 packets.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        match self {
            Self::Address { address, .. } => address.is_ipv6(),
            Self::NodePort { ipv6, .. } => *ipv6,
        }
    }

    /// The protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Address { protocol, .. } | Self::NodePort { protocol, .. } => *protocol,
        }
    }
}

impl fmt::Display for FrontendKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { address, protocol, port } => {
                write!(f, "{} {protocol}", SocketAddr::new(*address, *port))
            }
            Self::NodePort { ipv6, protocol, port } => {
                let family = if *ipv6 { "IPv6" } else { "IPv4" };
                write!(f, "node port {port} {protocol} ({family})")
            }
        }
    }
}

/// Where the packets of a frontend go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To one of these, chosen by index. Indices are stable: a change of one endpoint changes few
    /// of them. With affinity one endpoint may be in several slots.
    Endpoints(Vec<SocketAddr>),
    /// Back: there is no endpoint anywhere.
    Reject,
    /// Nowhere: there are endpoints, but none that the traffic policy allows.
    Drop,
}

/// A frontend's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontend {
    /// Where packets go.
    pub target: Target,
    /// A client keeps to one endpoint until it has been silent for so many seconds.
    pub affinity_s: Option<u32>,
    /// The endpoint sees the node's address instead of the client's.
    pub masquerade: bool,
}

impl Frontend {
    /// The endpoints; none when there is no way.
    #[must_use]
    pub fn slots(&self) -> &[SocketAddr] {
        match &self.target {
            Target::Endpoints(slots) => slots,
            Target::Reject | Target::Drop => &[],
        }
    }
}

/// One frontend's change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub key: FrontendKey,
    /// Whose it is, or was.
    pub service: ServiceName,
    /// What is committed; nothing when it is new.
    pub old: Option<Frontend>,
    /// What is to be; nothing when it goes.
    pub new: Option<Frontend>,
}

/// Flows of UDP that the kernel remembers and that lead where they should no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StaleFlow {
    /// To an endpoint that is gone from a frontend.
    Endpoint {
        /// The frontend.
        key: FrontendKey,
        /// The endpoint.
        endpoint: SocketAddr,
    },
    /// To a frontend that had no endpoints: such flows were not translated.
    Untranslated {
        /// The frontend.
        key: FrontendKey,
    },
}

/// What has to change in the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Frontends, in the order of their keys.
    pub changes: Vec<Change>,
    /// Addresses of endpoints on this node that come; they may call themselves by a Service.
    pub local_added: Vec<IpAddr>,
    /// Those that go.
    pub local_removed: Vec<IpAddr>,
    /// What to tell the Services' authors.
    pub warnings: Vec<Warning>,
}

impl Plan {
    /// Whether the kernel has everything already.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.local_added.is_empty() && self.local_removed.is_empty()
    }

    /// The flows to be forgotten once this is committed.
    #[must_use]
    pub fn stale_flows(&self) -> Vec<StaleFlow> {
        let mut stale = Vec::new();
        for change in self.changes.iter().filter(|it| it.key.protocol() == Protocol::Udp) {
            let key = change.key;
            let old = change.old.as_ref().map_or(&[][..], Frontend::slots);
            let new = change.new.as_ref().map_or(&[][..], Frontend::slots);
            for &endpoint in old.iter().filter(|endpoint| !new.contains(endpoint)) {
                stale.push(StaleFlow::Endpoint { key, endpoint });
            }
            if old.is_empty() && !new.is_empty() {
                stale.push(StaleFlow::Untranslated { key });
            }
        }
        stale.sort();
        stale.dedup();
        stale
    }
}

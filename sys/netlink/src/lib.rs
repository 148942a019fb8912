//! rtnetlink, nf_tables and conntrack over plain, synchronous netlink sockets.
//!
//! A socket belongs to the network namespace that it was opened in, for ever; [`in_namespace`] runs
//! code, such as opening one, in another. Every request is acknowledged by the kernel or refused
//! with an error that names what was asked. Nothing here execs a program.
//!
//! Non-goals: watching (no multicast groups are joined), policy of any kind.
//! Entry types: [`route::Links`] for links, addresses and routes; [`tables::Tables`] and
//! [`tables::Batch`] for nf_tables; [`conntrack::Conntrack`].
//! Privileges: CAP_NET_ADMIN in the network namespace; CAP_SYS_ADMIN for [`in_namespace`].

pub mod conntrack;
mod error;
mod namespace;
pub mod route;
mod socket;
pub mod tables;
mod wire;

pub use error::{NetlinkError, Refusal};
pub use namespace::{NamespaceError, in_namespace};

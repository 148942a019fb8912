//! What each kind does beyond its schema: defaults, validation, what may change, field selectors,
//! graceful deletion, printing.
//!
//! One module per kind, one shape: each implements [`Strategy`]; [`strategy`] finds it in an
//! explicit table. [`lifecycle`] runs a create or an update through a strategy, in the order that
//! upstream has it; [`table`](mod@table) prints.
//!
//! Pure: objects in, objects and errors out; no IO, no clock (the time comes in), no privileges.
//! Not here: resource versions, uids, names for `generateName`, allocation of cluster IPs and node
//! ports, admission, storage: those are the server's.
//!
//! Entry types: [`Strategy`], [`strategy`], [`lifecycle`], [`table::table`], [`scale`].

mod duration;
pub mod lifecycle;
mod metadata;
mod read;
pub mod scale;
mod strategy;
pub mod table;

mod bodies;
mod cluster_role;
mod cluster_role_binding;
mod config_map;
mod deployment;
mod endpoint_slice;
mod endpoints;
mod event;
mod lease;
mod namespace;
mod node;
mod pod;
mod pod_template;
mod rbac;
mod replica_set;
mod reviews;
mod role;
mod role_binding;
mod secret;
mod service;
mod service_account;

pub use read::Read;
pub use strategy::{Column, Grace, ScalePaths, Strategy, strategy};

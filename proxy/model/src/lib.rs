//! What Services and EndpointSlices mean for packets, without a kernel and without an API server.
//!
//! The [`Model`] is told of every change of an object and keeps what has been committed to the
//! kernel. [`Model::plan`] gives the difference, in time that grows with what has changed and not
//! with the cluster; [`Model::commit`] makes it what is committed.
//!
//! Honoured: ClusterIP, NodePort, external and load-balancer addresses, TCP, UDP, SCTP, session
//! affinity, internal and external traffic policy, terminating endpoints as a last resort, both
//! families. What is not honoured is a [`Warning`].
//!
//! Non-goals: reading objects from an API server (`proxy/daemon`), rules of any kind of firewall
//! (`proxy/nftables`).
//! Entry types: [`Model`], [`Service`], [`EndpointSlice`], [`Plan`].
//! Privileges: none.

mod endpoints;
mod frontend;
mod model;
mod objects;
mod slots;

pub use frontend::{Change, Frontend, FrontendKey, Plan, StaleFlow, Target};
pub use model::Model;
pub use objects::{
    Endpoint, EndpointPort, EndpointSlice, Protocol, Service, ServiceName, ServicePort,
    TrafficPolicy, Warning,
};

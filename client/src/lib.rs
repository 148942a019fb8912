//! How every component reaches the API server: a [`kube::Client`], shared read-only informers and
//! an event recorder.
//!
//! Components of one process share one watch and one store per kind through [`Informers`]; what
//! they read there may be a little behind the server, what they write goes through the client.
//!
//! Non-goals: retry policies of a component, and any knowledge of what kinds mean.
//! Entry types: [`Informers`], [`Informer`], [`Recorder`]. Privileges: none of the host.

mod connect;
mod events;
mod informer;

pub use connect::{ConnectError, connect_kubeconfig};
pub use events::{EventType, Recorder, Source};
pub use informer::{Change, Informer, Informers, Watched};

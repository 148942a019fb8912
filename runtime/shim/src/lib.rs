//! The one small process of a pod.
//!
//! A shim makes and pins its sandbox's namespaces, is the parent of its containers and of what is
//! executed in them, writes their output to log files, notes how they ended and tells whoever
//! asks. It outlives its client: whoever connects anew reads [`protocol::Op::State`] and goes on.
//!
//! Entry points: [`protocol`], which has no IO and is what a client needs; [`main`], the process.
//!
//! Non-goals: images, networks, CRI; a runtime other than `corten-runtime-container`. No tokio and
//! no threads: one loop over epoll that never blocks, so that it may fork.
//!
//! Privileges: root, in the host's namespaces.

mod builder;
mod cleanup;
mod connection;
mod container;
mod crilog;
mod fault;
mod id;
mod journal;
mod poller;
pub mod protocol;
mod reaper;
mod record;
mod sandbox;
mod shim;
mod start;
mod sysctl;

pub use start::main;

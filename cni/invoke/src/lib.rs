//! Runs chains of CNI plugins as the specification (1.1.0) asks of a runtime: finds the network's
//! configuration, execs the plugins in order, passes results along and caches them.
//!
//! Every call blocks until the plugins have answered or ran out of time; asynchronous callers move
//! it to a blocking thread. The cache has the reference library's format, so that a node can be
//! switched over.
//!
//! Non-goals: what plugins do; watching the configuration folder for changes.
//! Entry types: [`load_conf_dir`], [`Invoker`]; [`Program`] for plugins that delegate.
//! Privileges: what the plugins need (root); to write the cache folder.

mod cache;
mod conf_dir;
mod error;
mod invoker;
mod process;
mod program;

pub use conf_dir::load_conf_dir;
pub use error::InvokeError;
pub use invoker::Invoker;
pub use program::{Environment, Program};

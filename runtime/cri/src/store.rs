//! What is known of sandboxes and containers: an [`Index`] in memory, and on disk one small file
//! for each, replaced as a whole, so that the service can be killed at any moment.
//!
//! An operation that takes several steps first writes down that it has begun
//! ([`SandboxPhase::Creating`] and its like): a service that is started anew undoes what was left
//! half done.

mod files;
mod index;
mod records;

pub(crate) use files::{Store, StoreError};
pub(crate) use index::{Index, Lookup, Reserved};
pub(crate) use records::{
    ContainerPhase, ContainerRecord, ExitRecord, ImageUse, SandboxPhase, SandboxRecord, VERSION,
};

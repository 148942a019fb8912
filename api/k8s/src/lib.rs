//! The Kubernetes API as data: which kinds are served, what their fields are, and the algebra over
//! objects that needs nothing but that: decoding, patching, quantities, selectors, Status errors,
//! discovery and OpenAPI documents.
//!
//! Objects are `serde_json::Value`, so that built-in kinds and (later) custom resources take the
//! same road. Everything here is pure: no IO, no clock, no async, no privileges.
//!
//! Not here: defaulting, validation and printing, which are per kind (`apiserver/registry`); and
//! anything that talks HTTP (`apiserver/server`).
//!
//! Entry types: [`kinds::Kind`] (the table of kinds), [`schema::Type`] (the table of fields),
//! [`decode::decode`], [`patch`], [`status::Status`], [`field::FieldError`],
//! [`quantity::Quantity`], [`selector::Selector`].

pub mod decode;
pub mod discovery;
pub mod field;
#[path = "gen/mod.rs"]
mod generated;
pub mod kinds;
pub mod meta;
pub mod names;
pub mod openapi;
pub mod patch;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod status;
pub mod time;

/// The Kubernetes release whose API is served.
pub const KUBERNETES_VERSION: &str = "v1.36.0";

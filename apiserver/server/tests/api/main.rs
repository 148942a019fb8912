//! The server as clients meet it, mostly without a network.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod access;
mod cluster;
mod deletion;
mod lists;
mod objects;
mod services;
mod tokens;
mod watches;
mod wire;

//! The command line, as engines use it: statuses, messages, files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests fails the test that it helps"
)]

mod control;
mod engines;
mod world;
mod wrong_use;

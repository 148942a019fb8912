//! Filters are judged by running them: against the meaning of a profile, and against libseccomp.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests fails the test that it helps"
)]

mod default;
mod examples;
mod interpreter;
mod libseccomp;
mod meaning;
mod random;

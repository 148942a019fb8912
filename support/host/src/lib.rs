//! Whether a machine can be a node, what it lacks, and how to get it.
//!
//! [`check`] only looks; [`prepare`] loads kernel modules and sets the sysctls that a node needs.
//!
//! Non-goals: installing packages. Entry types: [`Finding`], [`check`], [`prepare`].
//! Privileges: none to look; root to prepare.

mod findings;
mod prepare;

pub use findings::{Finding, Verdict, check};
pub use prepare::{PrepareError, prepare};

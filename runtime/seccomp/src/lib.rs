//! Compiles an OCI seccomp profile (`linux.seccomp` of a `config.json`) into a classic BPF program.
//!
//! A profile names system calls, conditions on their arguments and what happens then. Every name
//! becomes a number for each architecture that the kernel here can run, the numbers become ranges
//! with one verdict each, and the ranges a binary search: a call is judged in some ten instructions,
//! where a chain takes hundreds. What a profile means is what libseccomp, as runc and crun use it,
//! makes of it; `rules` says it whole.
//!
//! Entry types: [`compile`], [`Filter`], [`runtime_default`], [`features`]. Non-goals: loading the
//! program (`sys/linux`), and what goes before and after (`runtime/container`). Privileges: none;
//! makes no system call.
#![forbid(unsafe_code)]

mod abi;
mod action;
mod code;
mod default;
mod error;
mod features;
mod filter;
mod program;
mod rules;
mod table;

pub use abi::{NATIVE, number};
pub use default::runtime_default;
pub use error::CompileError;
pub use features::features;
pub use filter::{Filter, INSTRUCTIONS_MAX, Instruction, Listener, compile};

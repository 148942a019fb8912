//! The kernel edge: every system call that needs `unsafe`, wrapped once over owned descriptors,
//! and the safe-by-construction handles (`RootFd`, `ProcFs`, `Pidfd`) that the rest builds on.
//!
//! Two layers, told apart by their error type. Functions that return [`rustix::io::Result`] make
//! one system call, never allocate and take no lock, so a freshly cloned child may call them.
//! Functions that return [`SysError`] are for ordinary code: the error carries call, arguments and
//! errno.
//!
//! Non-goals: policy of any kind, and calls that rustix already offers safely (use rustix).
//!
//! Entry types: [`clone::clone3`], [`path::RootFd`], [`procfs::ProcFs`], [`pidfd::Pidfd`],
//! [`exec::Image`], [`fdpass`]. Privileges: those of the calls themselves; most need
//! `CAP_SYS_ADMIN`.
#![allow(unsafe_code, reason = "this crate is the one place where system calls are made by hand")]
#![warn(
    clippy::cast_lossless,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::ptr_as_ptr
)]

pub mod bpf;
pub mod caps;
pub mod clone;
mod error;
pub mod exec;
pub mod fd;
pub mod fdpass;
pub mod keyring;
pub mod memory;
pub mod mount;
pub mod ns;
pub mod path;
pub mod pidfd;
pub mod procfs;
pub mod pty;
pub mod seal;
pub mod seccomp;
pub mod signal;
mod syscall;
pub mod tuning;

pub use error::SysError;
pub use rustix;

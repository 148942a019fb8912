//! Containers on this machine: root, real namespaces and cgroups, busybox as the image.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests fails the test that it helps"
)]

mod basics;
mod exec;
mod filesystem;
mod gate;
mod hooks;
mod labels;
mod limits;
mod mounts;
mod net;
mod nothing_left;
mod seccomp;
mod security;
mod time;
mod tuning;
mod users;
mod world;

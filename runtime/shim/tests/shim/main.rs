//! A real shim, started as its client does, with real containers. Needs root, busybox (static) and
//! util-linux.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's setup fails the test")]

mod attach;
mod bundle;
mod client;
mod containers;
mod execs;
mod logs;
mod sandbox;

use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip};

/// Runs a test where its mounts concern nobody, or says why not.
fn isolated(test: impl FnOnce() + Send) {
    if !is_root() {
        skip("a shim needs root");
    } else if !std::path::Path::new(bundle::BUSYBOX).exists() {
        skip("containers are made of busybox (Debian package busybox-static)");
    } else {
        in_new_namespaces(NamespaceOptions::default(), test);
    }
}

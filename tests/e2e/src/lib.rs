//! A whole cluster for one test, driven by the clients that users have.
//!
//! [`with_cluster`] runs `corten server`, the binary that users get, in namespaces of the test's
//! own, with its own `/run`, data and cgroup, and takes all of it down again. A test fails when the
//! machine is not as it was before it: mounts, links, rules, cgroups, processes, files. In a
//! virtual machine that is the test's own (`CORTEN_E2E_VM`), it runs on the machine itself.
//!
//! Non-goals: what a cheaper test can show. Privileges: root.

mod cluster;
mod footprint;
mod helm;
mod http;
mod kubectl;

pub use cluster::{Cluster, POD_PIDS_MAX, with_cluster};
pub use helm::Helm;
pub use http::get;
pub use kubectl::Kubectl;

use std::path::PathBuf;

/// Where `cargo xtask test` puts the release binaries.
pub const BIN_DIR_VARIABLE: &str = "CORTEN_BIN_DIR";
/// Where it puts the demo image, an OCI layout.
pub const DEMO_IMAGE_VARIABLE: &str = "CORTEN_DEMO_IMAGE";
/// Set in a virtual machine that belongs to the test.
pub const VM_VARIABLE: &str = "CORTEN_E2E_VM";

/// Why no cluster can be had here; none when it can.
#[must_use]
pub fn unavailable() -> Option<&'static str> {
    if !corten_tests_harness::is_root() {
        return Some("a cluster needs root");
    }
    if bin_dir().is_none() || demo_image().is_none() {
        return Some("run through `cargo xtask test`, which builds the binaries and the image");
    }
    None
}

fn bin_dir() -> Option<PathBuf> {
    std::env::var_os(BIN_DIR_VARIABLE).map(PathBuf::from)
}

fn demo_image() -> Option<PathBuf> {
    std::env::var_os(DEMO_IMAGE_VARIABLE).map(PathBuf::from)
}

/// Whether `PATH` has that program.
fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

fn owns_machine() -> bool {
    std::env::var_os(VM_VARIABLE).is_some()
}

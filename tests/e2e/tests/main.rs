//! What users do, with the binaries and clients that they have.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "test code")]

#[path = "main/crash.rs"]
mod crash;
#[path = "main/demo.rs"]
mod demo;
#[path = "main/heal.rs"]
mod heal;
#[path = "main/helm.rs"]
mod helm;
#[path = "main/kubectl.rs"]
mod kubectl;
#[path = "main/limits.rs"]
mod limits;
#[path = "main/manifests.rs"]
mod manifests;
#[path = "main/seccomp.rs"]
mod seccomp;
#[path = "main/wrong.rs"]
mod wrong;

/// Leaves the test, counted as skipped, where no cluster can be had.
#[macro_export]
macro_rules! needs_cluster {
    () => {
        if let Some(reason) = corten_tests_e2e::unavailable() {
            corten_tests_harness::skip(reason);
            return;
        }
    };
}

/// Leaves the test, counted as skipped, where kubectl is not installed.
#[macro_export]
macro_rules! needs_kubectl {
    () => {
        $crate::needs_cluster!();
        corten_tests_harness::skip_unless!(
            corten_tests_e2e::Kubectl::is_installed(),
            "kubectl is not installed"
        );
    };
}

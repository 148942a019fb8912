//! What tests share: fresh namespaces, cgroups and folders that clean up after themselves, and
//! skips that are counted.
//!
//! A test that the machine cannot run calls [`skip`]: `cargo xtask test` reads what was skipped
//! from the file that `CORTEN_TEST_SKIPS` names and never counts it as passed.
//!
//! Non-goals: anything the product needs. Privileges: root for [`in_new_namespaces`] and
//! [`TempCgroup`].

mod cgroup;
mod namespaces;

use std::io::Write as _;

pub use cgroup::{TempCgroup, mounted_hierarchies};
pub use namespaces::{NamespaceOptions, in_new_namespaces};

/// The variable that names the file which skips are appended to: `test<TAB>reason`, a line each.
pub const SKIPS_VARIABLE: &str = "CORTEN_TEST_SKIPS";

/// Says that the running test cannot be run here, and why.
///
/// # Panics
/// When the skip cannot be recorded, so that it cannot count as passed.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("unnamed");
    let mut stderr = std::io::stderr().lock();
    writeln!(stderr, "skipped: {test}: {reason}").expect("standard error is open in tests");
    if let Some(path) = std::env::var_os(SKIPS_VARIABLE) {
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(format!("{test}\t{reason}\n").as_bytes()))
            .expect("the file for skips can be written");
    }
}

/// Whether the test runs as root.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Leaves the test, counted as skipped, unless the condition holds.
#[macro_export]
macro_rules! skip_unless {
    ($condition:expr, $reason:expr) => {
        if !$condition {
            $crate::skip($reason);
            return;
        }
    };
}

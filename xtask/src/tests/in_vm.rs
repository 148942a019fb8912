//! The end-to-end tests that show pure cgroup v2 at work, in a virtual machine of their own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::cargo::{self, cargo};
use crate::{demo_image, say, vm};

/// What is run there: emulated, all of them would take too long.
const TESTS: [&str; 4] = [
    "demo::the_page_is_served",
    "limits::a_pod_that_eats",
    "limits::a_cpu_limit",
    "limits::a_fork_bomb",
];

pub(super) fn run() -> Result<()> {
    say::step("building what the virtual machine runs");
    let binaries = cargo::build_release()?;
    let image = demo_image::build()?;
    let tests = test_binary()?;
    let name = tests.file_name().context("the test binary has a name")?.to_string_lossy();
    let mut command = vec![format!("/payload/bin/{name}"), "--test-threads=1".to_owned()];
    command.extend(TESTS.map(str::to_owned));
    let environment = BTreeMap::from(
        [
            ("CORTEN_BIN_DIR", "/payload/bin"),
            ("CORTEN_DEMO_IMAGE", "/payload/image"),
            ("CORTEN_E2E_VM", "1"),
            ("TMPDIR", "/var/tmp"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let code =
        vm::run_with(&binaries, &image, std::slice::from_ref(&tests), &command, &environment)?;
    ensure!(code == 0, "the tests in the virtual machine ended with {code}");
    Ok(())
}

/// Builds the end-to-end tests and asks cargo where they are.
fn test_binary() -> Result<PathBuf> {
    let arguments =
        ["test", "--package", "corten-tests-e2e", "--no-run", "--message-format=json", "--quiet"];
    let output = cargo(&arguments).stderr(Stdio::inherit()).output().context("start cargo")?;
    ensure!(output.status.success(), "building the end-to-end tests failed");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["kind"][0] == "test")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo named no test binary")
}

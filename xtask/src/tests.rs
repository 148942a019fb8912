//! `cargo xtask test`: runs the tests and counts what passed, failed and was skipped.

mod in_vm;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::cargo::{self, cargo};
use crate::demo_image;
use crate::say;

/// Options of `test`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Fail on a skip that tests/skips.toml does not give a reason for
    #[arg(long)]
    strict: bool,
    /// `vm`: the demo and the limits, in a virtual machine with pure cgroup v2. Anything else: only
    /// tests whose name contains it
    what: Option<String>,
}

impl Options {
    pub(crate) fn strict() -> Self {
        Self { strict: true, what: None }
    }

    pub(crate) fn vm() -> Self {
        Self { strict: true, what: Some("vm".to_owned()) }
    }
}

/// tests/skips.toml: `["test name"]` tables with a `reason`.
#[derive(Debug, Deserialize)]
struct Allowed {
    reason: String,
}

#[derive(Debug, Default)]
struct Counts {
    passed: usize,
    failed: usize,
    failures: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.what.as_deref() == Some("vm") {
        return in_vm::run();
    }
    say::step("building the binaries that tests drive");
    let binaries = cargo::build_release()?;
    let image = demo_image::build()?;
    say::step("cargo test");
    let skips = cargo::target_dir().join("skips.tsv");
    std::fs::write(&skips, "").with_context(|| format!("write {}", skips.display()))?;
    let mut command = cargo(&["test", "--workspace", "--exclude", "xtask-gen", "--no-fail-fast"]);
    if let Some(filter) = &options.what {
        command.arg(filter);
    }
    command
        .env("CORTEN_TEST_SKIPS", &skips)
        .env("CORTEN_BIN_DIR", &binaries)
        .env("CORTEN_DEMO_IMAGE", &image)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().context("start cargo test")?;
    let mut counts = Counts::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.context("read the output of cargo test")?;
            say::line(&line);
            counts.read(&line);
        }
    }
    let status = child.wait().context("wait for cargo test")?;
    let skipped = read_skips(&skips)?;
    let unexplained = report(&counts, &skipped)?;
    ensure!(status.success(), "tests failed: {}", counts.failures.join(", "));
    ensure!(
        !options.strict || unexplained.is_empty(),
        "skipped without a reason in tests/skips.toml: {}",
        unexplained.join(", ")
    );
    Ok(())
}

impl Counts {
    /// Reads a line that libtest printed.
    fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            let number = |what: &str| {
                let before = result.split(what).next().unwrap_or_default();
                before.rsplit([' ', ';']).find_map(|word| word.parse::<usize>().ok()).unwrap_or(0)
            };
            self.passed += number(" passed");
            self.failed += number(" failed");
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failures.push(name.to_owned());
        }
    }
}

fn read_skips(path: &Path) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let split = |line: &str| {
        let (name, reason) = line.split_once('\t')?;
        Some((name.to_owned(), reason.to_owned()))
    };
    Ok(text.lines().filter_map(split).collect())
}

/// Prints the end result; returns the skips that nothing explains.
fn report(counts: &Counts, skipped: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let path = cargo::root().join("tests/skips.toml");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let allowed: BTreeMap<String, Allowed> =
        toml::from_str(&text).with_context(|| format!("parse {}", path.display()))?;
    let mut unexplained = Vec::new();
    for (name, reason) in skipped {
        match allowed.get(name) {
            Some(allowed) => {
                say::line(&format!("skipped: {name}: {reason} (known: {})", allowed.reason));
            }
            None => {
                say::line(&format!("skipped: {name}: {reason}"));
                unexplained.push(name.clone());
            }
        }
    }
    let passed = counts.passed.saturating_sub(skipped.len());
    say::line(&format!("{passed} passed, {} failed, {} skipped", counts.failed, skipped.len()));
    Ok(unexplained)
}

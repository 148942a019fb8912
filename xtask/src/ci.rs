//! `cargo xtask ci`: all that must hold before a change lands.

use anyhow::Result;

use crate::cargo::{self, cargo};
use crate::{say, tests, tidy};

pub(crate) fn run() -> Result<()> {
    say::step("cargo fmt");
    cargo::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    say::step("cargo clippy");
    cargo::run(
        cargo(&["clippy", "--workspace", "--all-targets", "--quiet"])
            .args(["--", "--deny", "warnings"]),
    )?;
    say::step("tidy");
    tidy::run()?;
    tests::run(&tests::Options::strict())?;
    tests::run(&tests::Options::vm())
}

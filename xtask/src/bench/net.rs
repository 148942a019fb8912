//! `cargo xtask bench net`: ADD and DEL of our CNI plugins against the reference plugins.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{cargo, say};

/// Options of `bench net`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The folder of the reference plugins
    #[arg(long, default_value = "/usr/lib/cni")]
    reference: PathBuf,
    /// How often each is run
    #[arg(long, default_value_t = 101)]
    rounds: u32,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let reference = &options.reference;
    ensure!(
        reference.join("bridge").exists(),
        "{} has no plugins: install Debian's containernetworking-plugins",
        reference.display()
    );
    say::step("building the plugins as users get them");
    let built = cargo::build_static(&["corten-cni"])?;
    let folder = tempfile::tempdir().context("make a folder for the plugins")?;
    for plugin in ["bridge", "host-local"] {
        symlink(built.join("corten-cni"), folder.path().join(plugin))
            .with_context(|| format!("link {plugin}"))?;
    }
    let example = ["build", "--release", "--package", "corten-cni", "--example", "net_bench"];
    cargo::run(&mut cargo::cargo(&example))?;
    say::step("ADD and DEL in alternating runs, medians");
    let bench = cargo::target_dir().join("release/examples/net_bench");
    let mut command = Command::new(bench);
    command.arg(folder.path()).arg(reference).arg(options.rounds.to_string());
    cargo::run(&mut command)
}

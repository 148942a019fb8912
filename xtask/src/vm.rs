//! Virtual machines: a stock Debian kernel with pure cgroup v2, under QEMU's emulation.
//!
//! `cargo xtask vm -- COMMAND…` boots one, runs the command in it with the project's binaries at
//! `/payload/bin`, and ends with its exit code.

mod image;
mod machine;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::cargo;
use crate::demo_image;
use crate::say;

/// Options of `vm`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What to run in it
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let binaries = cargo::build_release()?;
    let image = demo_image::build()?;
    let code = run_with(&binaries, &image, &[], &options.command, &BTreeMap::new())?;
    ensure!(code == 0, "{} ended with {code} in the virtual machine", options.command.join(" "));
    Ok(())
}

/// Boots a machine with the binaries, the demo image and `extra` programs, and runs `command`.
pub(crate) fn run_with(
    binaries: &Path,
    demo_image: &Path,
    extra: &[PathBuf],
    command: &[String],
    environment: &BTreeMap<String, String>,
) -> Result<i32> {
    require(&["qemu-system-x86_64", "mmdebstrap", "mkfs.ext4", "mksquashfs", "lz4", "depmod"])?;
    let folder = cargo::target_dir().join("vm");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let agent = cargo::build_static(&["corten-vm-agent"])?.join("corten-vm-agent");
    let images = image::prepare(&folder, &agent)?;
    let payload = image::payload(&folder, binaries, demo_image, extra)?;
    say::step("booting the virtual machine");
    machine::run(&folder, &images, &payload, command, environment)
}

/// All that is missing is named at once.
fn require(programs: &[&str]) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |program: &&str| {
        let sbin = [PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
        std::env::split_paths(&path).chain(sbin).any(|folder| folder.join(program).exists())
    };
    let missing: Vec<_> = programs.iter().filter(|program| !found(program)).copied().collect();
    ensure!(
        missing.is_empty(),
        "{} missing; on Debian: apt-get install qemu-system-x86 mmdebstrap e2fsprogs \
         squashfs-tools lz4 kmod",
        missing.join(", ")
    );
    Ok(())
}

/// A command that only speaks when it fails.
fn quietly(command: &mut Command) -> Result<()> {
    let shown = cargo::shown(command);
    let output = command.output().with_context(|| format!("start {shown}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown}: {}\n{error}", output.status);
    Ok(())
}

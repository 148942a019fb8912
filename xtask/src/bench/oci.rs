//! `bench oci`: how long the steps of a container's life take, what they cost and how much memory
//! they need; for every runtime in turn, so that a busy moment hits all of them.
//!
//! Equal work for all: a mount namespace in which /sys/fs/cgroup shows nothing but the v1
//! hierarchies, because crun refuses a host that has both versions. On a host with v2 alone nothing
//! is hidden.

mod bundle;
mod floor;
mod report;
mod sample;
mod view;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cargo;
use crate::say;
use bundle::Bundle;
use report::Report;
use sample::Runtime;

/// Options of `bench oci`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many rounds
    #[arg(long, default_value_t = 50)]
    rounds: u32,
    /// Another runtime, by its path; may be given several times
    #[arg(long)]
    runtime: Vec<PathBuf>,
    /// Not with a seccomp profile
    #[arg(long)]
    no_seccomp: bool,
    /// In a mount namespace of its own already
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "containers need root");
    match &options.inside {
        Some(ours) => measure(options, ours),
        None => enter(options),
    }
}

/// Builds the runtime as users get it, and goes on in a mount namespace of its own.
fn enter(options: &Options) -> Result<()> {
    let ours = cargo::build_static(&["corten-run"])?.join("corten-run");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--"]);
    command.arg(std::env::current_exe().context("find xtask's own program")?);
    command.args(["bench", "oci", "--rounds", &options.rounds.to_string(), "--inside"]).arg(ours);
    for runtime in &options.runtime {
        command.arg("--runtime").arg(runtime);
    }
    if options.no_seccomp {
        command.arg("--no-seccomp");
    }
    cargo::run(&mut command)
}

fn measure(options: &Options, ours: &Path) -> Result<()> {
    view::only_v1()?;
    let mut runtimes = vec![Runtime::new("corten-run", ours)];
    for name in ["crun", "runc"] {
        match find(name) {
            Some(path) => runtimes.push(Runtime::new(name, &path)),
            None => say::line(&format!("{name} is not installed (Debian package {name})")),
        }
    }
    for path in &options.runtime {
        let name = path.file_name().context("--runtime: a path is wanted")?.to_string_lossy();
        runtimes.push(Runtime::new(&name, path));
    }
    let mut report = Report::new(&runtimes)?;
    let plain = Bundle::new(None)?;
    sample_all(options.rounds, &runtimes, &plain, &mut report)?;
    match (options.no_seccomp, bundle::profile()?) {
        (true, _) => (),
        (false, None) => say::line("no seccomp profile is installed: measured without"),
        (false, Some(profile)) => {
            let filtered = Bundle::new(Some(&profile))?;
            sample_all(options.rounds, &runtimes, &filtered, &mut report)?;
        }
    }
    report.memory(&runtimes, &plain)?;
    report.syscalls(&runtimes, &plain)?;
    report.finish()
}

fn sample_all(
    rounds: u32,
    runtimes: &[Runtime],
    bundle: &Bundle,
    report: &mut Report,
) -> Result<()> {
    say::step(if bundle.seccomp { "with a seccomp profile" } else { "without a seccomp profile" });
    let mut able: Vec<&Runtime> = Vec::new();
    for runtime in runtimes {
        // Once before anything counts: caches are warm, and who cannot do it is known.
        match runtime.round(bundle) {
            Ok(_warm) => able.push(runtime),
            Err(error) => say::line(&format!("{} is left out: {error:#}", runtime.name)),
        }
    }
    if able.is_empty() {
        bail!("no runtime can run a container here");
    }
    for _round in 0..rounds {
        if !bundle.seccomp {
            report.add("floor", false, "run", floor::sample(bundle)?);
        }
        for runtime in &able {
            for (step, sample) in runtime.round(bundle)? {
                report.add(&runtime.name, bundle.seccomp, step, sample);
            }
        }
        // Nobody is first in every round.
        able.rotate_left(1);
    }
    Ok(())
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
}

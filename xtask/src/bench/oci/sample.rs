//! One runtime, one round.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use corten_sys_linux::usage;
use rustix::process::Pid;
use serde::Serialize;

use super::bundle::Bundle;

/// How long a container may take to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Before each step. Moving a process between v1 cgroups can wait for a grace period of RCU (10 ms
/// and more), which a step that comes soon after another does not: after a pause all pay alike.
const PAUSE: Duration = Duration::from_millis(50);

/// What one step took.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Sample {
    pub(super) wall_us: u64,
    pub(super) cpu_us: u64,
}

/// A runtime.
pub(super) struct Runtime {
    pub(super) name: String,
    pub(super) path: PathBuf,
}

impl Runtime {
    pub(super) fn new(name: &str, path: &Path) -> Self {
        Self { name: name.to_owned(), path: path.to_owned() }
    }

    pub(super) fn command(&self, bundle: &Bundle, words: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("--root").arg(bundle.path(&format!("state-{}", self.name))).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// All steps once: a container that is run, one step by step, and a program in a third.
    pub(super) fn round(&self, bundle: &Bundle) -> Result<Vec<(&'static str, Sample)>> {
        let id = format!("bench-{}-{}", std::process::id(), self.name.replace('.', "-"));
        let bundle_of = |name: &str| bundle.path(name).display().to_string();
        let (short, long) = (bundle_of("true"), bundle_of("sleep"));
        let pid_file = bundle.path("pid").display().to_string();
        let mut samples = Vec::new();
        let mut step = |name: &'static str, words: &[&str]| -> Result<()> {
            samples.push((name, self.sample(bundle, words)?));
            Ok(())
        };
        step("run", &["run", "-b", &short, &id])?;
        step("create", &["create", "-b", &short, "--pid-file", &pid_file, &id])?;
        let started = step("start", &["start", &id]);
        wait_for_end(&pid_file)?;
        started?;
        step("delete", &["delete", &id])?;
        self.sample(bundle, &["run", "-d", "-b", &long, "--pid-file", &pid_file, &id])?;
        let executed = step("exec", &["exec", &id, "/bin/true"]);
        self.sample(bundle, &["delete", "--force", &id])?;
        executed?;
        Ok(samples)
    }

    fn sample(&self, bundle: &Bundle, words: &[&str]) -> Result<Sample> {
        // A file, not a pipe: a container that is created keeps it.
        let errors = bundle.path("stderr");
        let file = std::fs::File::create(&errors).context("make a file for errors")?;
        let mut command = self.command(bundle, words);
        command.stderr(file);
        std::thread::sleep(PAUSE);
        let begin = Instant::now();
        let child = command.spawn().with_context(|| format!("start {}", self.path.display()))?;
        let pid = Pid::from_raw(child.id().cast_signed()).context("the child's id")?;
        let (status, usage) = usage::wait(pid)?;
        let wall = begin.elapsed();
        ensure!(
            status == 0,
            "{} {}: {}",
            self.name,
            words[0],
            std::fs::read_to_string(&errors).unwrap_or_default().trim()
        );
        Ok(Sample { wall_us: micros(wall), cpu_us: micros(usage.user + usage.system) })
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Waits until a container's process is gone, or a zombie that nobody here reaps.
fn wait_for_end(pid_file: &str) -> Result<()> {
    let pid = std::fs::read_to_string(pid_file).context("read the pid file")?;
    let stat = format!("/proc/{}/stat", pid.trim());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let Ok(text) = std::fs::read_to_string(&stat) else { return Ok(()) };
        if text.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "process {} does not end", pid.trim());
        std::thread::sleep(Duration::from_micros(200));
    }
}

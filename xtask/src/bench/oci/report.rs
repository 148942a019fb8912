//! What was measured: a table for people, and all of it as JSON under `bench/results/`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::bundle::Bundle;
use super::sample::{Runtime, Sample};
use crate::{cargo, say};

const OURS: &str = "corten-run";
const STEPS: [&str; 5] = ["run", "create", "start", "exec", "delete"];

/// By seccomp, step and runtime.
type Samples = BTreeMap<(bool, &'static str, String), Vec<Sample>>;

pub(super) struct Report {
    samples: Samples,
    versions: BTreeMap<String, Value>,
    syscalls: BTreeMap<String, u64>,
}

impl Report {
    pub(super) fn new(runtimes: &[Runtime]) -> Result<Self> {
        let versions = runtimes
            .iter()
            .map(|runtime| {
                let output = Command::new(&runtime.path).arg("--version").output()?;
                let text = String::from_utf8_lossy(&output.stdout);
                let version = text.lines().next().unwrap_or_default();
                let bytes = std::fs::metadata(&runtime.path)?.len();
                Ok((runtime.name.clone(), json!({ "version": version, "binary_bytes": bytes })))
            })
            .collect::<std::io::Result<_>>()
            .context("ask for versions")?;
        Ok(Self { samples: BTreeMap::new(), versions, syscalls: BTreeMap::new() })
    }

    pub(super) fn add(&mut self, name: &str, seccomp: bool, step: &'static str, sample: Sample) {
        self.samples.entry((seccomp, step, name.to_owned())).or_default().push(sample);
    }

    /// Counts the system calls of one `run`, where strace is installed.
    pub(super) fn syscalls(&mut self, runtimes: &[Runtime], bundle: &Bundle) -> Result<()> {
        let counts = bundle.path("strace");
        for runtime in runtimes {
            let short = bundle.path("true").display().to_string();
            let run = runtime.command(bundle, &["run", "-b", &short, "bench-strace"]);
            let mut strace = Command::new("strace");
            strace.args(["-f", "-c", "-o"]).arg(&counts).arg(run.get_program());
            strace.args(run.get_args()).stdin(std::process::Stdio::null());
            match strace.output() {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    say::line("strace is not installed: system calls are not counted");
                    return Ok(());
                }
                output => {
                    let output = output.context("start strace")?;
                    ensure!(output.status.success(), "strace of {} failed", runtime.name);
                }
            }
            let text = std::fs::read_to_string(&counts).context("read strace's counts")?;
            if let Some(total) = total(&text) {
                self.syscalls.insert(runtime.name.clone(), total);
            }
        }
        Ok(())
    }

    pub(super) fn finish(&self) -> Result<()> {
        for seccomp in [false, true] {
            self.table(seccomp);
        }
        for (name, count) in &self.syscalls {
            say::line(&format!("{name}: {count} system calls for run"));
        }
        let path = cargo::root().join("bench/results").join(format!("oci-{}.json", today()?));
        let text = serde_json::to_string(&self.json()).context("as JSON")?;
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))
            .and_then(|()| std::fs::write(&path, format!("{text}\n")))
            .with_context(|| format!("write {}", path.display()))?;
        say::line(&format!("all samples: {}", path.display()));
        Ok(())
    }

    fn table(&self, seccomp: bool) {
        if !self.samples.keys().any(|(with, _, _)| *with == seccomp) {
            return;
        }
        let title = if seccomp { "with seccomp" } else { "without seccomp" };
        say::line(&format!(
            "\n{title:<22}{:>6}{:>10}{:>8}{:>10}{:>8}{:>10}",
            "n", "wall ms", "ratio", "cpu ms", "ratio", "RSS KiB"
        ));
        for step in STEPS {
            let ours = self.samples.get(&(seccomp, step, OURS.to_owned())).map(|it| median(it));
            for ((with, at, name), samples) in &self.samples {
                if (*with, *at) != (seccomp, step) {
                    continue;
                }
                let typical = median(samples);
                // How much of theirs ours takes.
                let ratio = |ours: Option<u64>, theirs: u64| match ours {
                    Some(ours) if theirs > 0 => format!("{:.2}", as_f64(ours) / as_f64(theirs)),
                    Some(_) | None => String::new(),
                };
                say::line(&format!(
                    "{:<22}{:>6}{:>10}{:>8}{:>10}{:>8}{:>10}",
                    format!("{step} {name}"),
                    samples.len(),
                    millis(typical.wall_us),
                    ratio(ours.map(|ours| ours.wall_us), typical.wall_us),
                    millis(typical.cpu_us),
                    ratio(ours.map(|ours| ours.cpu_us), typical.cpu_us),
                    typical.resident_kib,
                ));
            }
        }
    }

    fn json(&self) -> Value {
        let samples = self.samples.iter().map(|((seccomp, step, name), samples)| {
            let typical = median(samples);
            json!({
                "runtime": name, "step": step, "seccomp": seccomp, "median": typical,
                "samples": samples,
            })
        });
        json!({
            "runtimes": self.versions,
            "kernel": rustix::system::uname().release().to_string_lossy(),
            "processors": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            "syscalls": self.syscalls,
            "results": samples.collect::<Vec<_>>(),
        })
    }
}

/// The last line of `strace -c`: `100.00 0.001 1 754 12 total`.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().rev().find(|line| line.ends_with("total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// The median of each number by itself.
fn median(samples: &[Sample]) -> Sample {
    let of = |get: fn(&Sample) -> u64| {
        let mut values: Vec<u64> = samples.iter().map(get).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or(0)
    };
    Sample {
        wall_us: of(|sample| sample.wall_us),
        cpu_us: of(|sample| sample.cpu_us),
        resident_kib: of(|sample| sample.resident_kib),
    }
}

fn as_f64(micros: u64) -> f64 {
    f64::from(u32::try_from(micros).unwrap_or(u32::MAX))
}

fn millis(micros: u64) -> String {
    format!("{}.{:02}", micros / 1000, micros % 1000 / 10)
}

fn today() -> Result<String> {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output().context("date")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

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
    resident_kib: BTreeMap<String, u64>,
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
        Ok(Self {
            samples: BTreeMap::new(),
            versions,
            syscalls: BTreeMap::new(),
            resident_kib: BTreeMap::new(),
        })
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

    /// The most memory that one `run` has resident. busybox starts it: what a child of this program
    /// is told of counts this program's own memory until the `execve`, and that is more.
    pub(super) fn memory(&mut self, runtimes: &[Runtime], bundle: &Bundle) -> Result<()> {
        for runtime in runtimes {
            let short = bundle.path("true").display().to_string();
            let run = runtime.command(bundle, &["run", "-b", &short, "bench-memory"]);
            let mut time = Command::new("/bin/busybox");
            time.args(["time", "-v"]).arg(run.get_program()).args(run.get_args());
            let output = time.output().context("start busybox time")?;
            ensure!(output.status.success(), "busybox time of {} failed", runtime.name);
            let text = String::from_utf8_lossy(&output.stderr);
            let line = text.lines().find(|line| line.contains("Maximum resident set size"));
            let shown: Option<u64> = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
            // busybox takes the kernel's KiB for pages and turns them into KiB once more.
            let page_kib = page_bytes()? / 1024;
            let kib = shown.context("busybox time says no memory")? / page_kib;
            self.resident_kib.insert(runtime.name.clone(), kib);
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
        for (name, kib) in &self.resident_kib {
            say::line(&format!("{name}: {kib} KiB resident at most in run"));
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
            "\n{title:<22}{:>6}{:>10}{:>8}{:>10}{:>8}",
            "n", "wall ms", "ratio", "cpu ms", "ratio"
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
                    "{:<22}{:>6}{:>10}{:>8}{:>10}{:>8}",
                    format!("{step} {name}"),
                    samples.len(),
                    millis(typical.wall_us),
                    ratio(ours.map(|ours| ours.wall_us), typical.wall_us),
                    millis(typical.cpu_us),
                    ratio(ours.map(|ours| ours.cpu_us), typical.cpu_us),
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
            "resident_kib": self.resident_kib,
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
    Sample { wall_us: of(|sample| sample.wall_us), cpu_us: of(|sample| sample.cpu_us) }
}

fn page_bytes() -> Result<u64> {
    let output = Command::new("getconf").arg("PAGESIZE").output().context("getconf")?;
    String::from_utf8_lossy(&output.stdout).trim().parse().context("the size of a page")
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

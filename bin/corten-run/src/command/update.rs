//! `update`.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use corten_api_oci::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources};
use corten_runtime_container::ContainerId;

use crate::cli::{Args, Flag, Operand, Takes, value};
use crate::global::Global;

/// More than any engine writes.
const RESOURCES_BYTES_MAX: u64 = 1 << 20;

/// `update`.
#[derive(Debug, Default)]
pub(super) struct Update {
    id: Option<ContainerId>,
    resources: Option<PathBuf>,
    block_io: LinuxBlockIo,
    cpu: LinuxCpu,
    memory: LinuxMemory,
    pids: Option<i64>,
    cache_schema: Option<String>,
    bandwidth_schema: Option<String>,
}

/// An empty value is none: engines pass options that their users have not set so.
fn some<T>(value: OsString, parse: fn(OsString) -> anyhow::Result<T>) -> anyhow::Result<Option<T>> {
    if value.is_empty() { Ok(None) } else { parse(value).map(Some) }
}

const CPU: &[Flag<Update>] = &[
    Flag::value(
        "cpu-period",
        Takes::Text("USEC"),
        "Length of a quota's period",
        |update, value| {
            update.cpu.set_period(some(value, value::number)?);
            Ok(())
        },
    ),
    Flag::value(
        "cpu-quota",
        Takes::Text("USEC"),
        "Processor time in a period; -1: any",
        |update, value| {
            update.cpu.set_quota(some(value, value::number)?);
            Ok(())
        },
    ),
    Flag::value("cpu-burst", Takes::Text("USEC"), "Quota that can be saved up", |update, value| {
        update.cpu.set_burst(some(value, value::number)?);
        Ok(())
    }),
    Flag::value(
        "cpu-share",
        Takes::Text("N"),
        "Share in contention, 2 to 262144",
        |update, value| {
            update.cpu.set_shares(some(value, value::number)?);
            Ok(())
        },
    ),
    Flag::value(
        "cpu-rt-period",
        Takes::Text("USEC"),
        "Length of a real-time period",
        |update, value| {
            update.cpu.set_realtime_period(some(value, value::number)?);
            Ok(())
        },
    ),
    Flag::value(
        "cpu-rt-runtime",
        Takes::Text("USEC"),
        "Real-time scheduling in it",
        |update, value| {
            update.cpu.set_realtime_runtime(some(value, value::number)?);
            Ok(())
        },
    ),
    Flag::value(
        "cpu-idle",
        Takes::OneOf(&["0", "1"]),
        "Only when nothing else runs",
        |update, value| {
            update.cpu.set_idle(some(value, value::number)?);
            Ok(())
        },
    ),
    Flag::value(
        "cpuset-cpus",
        Takes::Text("LIST"),
        "Processors, such as 0-2,7",
        |update, value| {
            update.cpu.set_cpus(some(value, value::text)?);
            Ok(())
        },
    ),
    Flag::value("cpuset-mems", Takes::Text("LIST"), "Memory nodes", |update, value| {
        update.cpu.set_mems(some(value, value::text)?);
        Ok(())
    }),
];

const MEMORY: &[Flag<Update>] = &[
    Flag::value(
        "memory",
        Takes::Text("BYTES"),
        "Memory, such as 512m; -1: any",
        |update, value| {
            update.memory.set_limit(some(value, value::bytes)?);
            Ok(())
        },
    ),
    Flag::value(
        "memory-reservation",
        Takes::Text("BYTES"),
        "Memory that is left alone",
        |update, value| {
            update.memory.set_reservation(some(value, value::bytes)?);
            Ok(())
        },
    ),
    Flag::value(
        "memory-swap",
        Takes::Text("BYTES"),
        "Memory and swap together",
        |update, value| {
            update.memory.set_swap(some(value, value::bytes)?);
            Ok(())
        },
    ),
    Flag::value(
        "kernel-memory",
        Takes::Text("BYTES"),
        "Refused: no kernel has it now",
        |update: &mut Update, value| {
            update.memory.set_kernel(some(value, value::bytes)?);
            Ok(())
        },
    )
    .hidden(),
    Flag::value(
        "kernel-memory-tcp",
        Takes::Text("BYTES"),
        "Buffers of TCP",
        |update: &mut Update, value| {
            update.memory.set_kernel_tcp(some(value, value::bytes)?);
            Ok(())
        },
    )
    .hidden(),
];

const OTHER: &[Flag<Update>] = &[
    Flag::value(
        "resources",
        Takes::File,
        "Take all from this JSON, as in linux.resources; - is standard input",
        |update: &mut Update, path| {
            update.resources = Some(path.into());
            Ok(())
        },
    )
    .short('r'),
    Flag::value("blkio-weight", Takes::Text("N"), "Share on disks, 10 to 1000", |update, value| {
        update.block_io.set_weight(some(value, value::number)?);
        Ok(())
    }),
    Flag::value("pids-limit", Takes::Text("N"), "Processes; -1: any", |update, value| {
        update.pids = some(value, value::number)?;
        Ok(())
    }),
    Flag::value(
        "l3-cache-schema",
        Takes::Text("SCHEMA"),
        "Intel's cache allocation",
        |update, value| {
            update.cache_schema = some(value, value::text)?;
            Ok(())
        },
    ),
    Flag::value(
        "mem-bw-schema",
        Takes::Text("SCHEMA"),
        "Intel's bandwidth allocation",
        |update, value| {
            update.bandwidth_schema = some(value, value::text)?;
            Ok(())
        },
    ),
];

impl Args for Update {
    const NAME: &'static str = "update";
    const ABOUT: &'static str = "Change the limits of a container; what is not named stays";
    const FLAGS: &'static [&'static [Flag<Self>]] = &[CPU, MEMORY, OTHER];
    const OPERANDS: &'static [Operand<Self>] = &[Operand::one("ID", |update, id| {
        update.id = value::id(id)?;
        Ok(())
    })];

    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        ensure!(
            self.cache_schema.is_none() && self.bandwidth_schema.is_none(),
            "--l3-cache-schema and --mem-bw-schema are not supported: linux.intelRdt is not honoured"
        );
        let states = super::states(global)?;
        let id = super::given(&self.id)?;
        let wanted = match &self.resources {
            Some(path) => read(path)?,
            None => self.resources(),
        };
        let warnings = corten_runtime_container::update(&states, id, &wanted, global.rootless)?;
        super::warn(&warnings);
        Ok(ExitCode::SUCCESS)
    }
}

impl Update {
    fn resources(&self) -> LinuxResources {
        let mut made = LinuxResources::default();
        if let Some(limit) = self.pids {
            let mut pids = LinuxPids::default();
            pids.set_limit(limit);
            made.set_pids(Some(pids));
        }
        made.set_block_io(Some(self.block_io.clone()));
        made.set_cpu(Some(self.cpu.clone()));
        made.set_memory(Some(self.memory));
        made
    }
}

fn read(path: &PathBuf) -> anyhow::Result<LinuxResources> {
    let context = || format!("--resources {}", path.display());
    let input: Box<dyn std::io::Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).with_context(context)?)
    };
    let mut text = Vec::new();
    input.take(RESOURCES_BYTES_MAX + 1).read_to_end(&mut text).with_context(context)?;
    ensure!(text.len() as u64 <= RESOURCES_BYTES_MAX, "{}: is too long", context());
    corten_api_oci::parse_resources(&text, &context()).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse_words;

    #[test]
    fn options_become_resources() {
        let update: Update = parse_words(&[
            "--memory",
            "64m",
            "--memory-swap=-1",
            "--cpu-quota",
            "-1",
            "--cpu-idle",
            "1",
            "--cpuset-cpus",
            "",
            "--pids-limit",
            "7",
            "--blkio-weight",
            "300",
            "one",
        ])
        .unwrap();
        let made = update.resources();
        let (memory, cpu) = (made.memory().unwrap(), made.cpu().clone().unwrap());
        assert_eq!((memory.limit(), memory.swap()), (Some(64 << 20), Some(-1)));
        assert_eq!((cpu.quota(), cpu.idle(), cpu.cpus()), (Some(-1), Some(1), &None));
        assert_eq!(made.pids().as_ref().unwrap().limit(), 7);
        assert_eq!(made.block_io().as_ref().unwrap().weight(), Some(300));
        for words in
            [["--memory", "much", "x"], ["--cpu-idle", "2", "x"], ["--pids-limit", "x", "y"]]
        {
            parse_words::<Update>(&words).unwrap_err();
        }
    }
}

//! `ps`.

use std::collections::HashSet;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail, ensure};
use corten_runtime_container::ContainerId;

use crate::cli::{Args, Flag, Operand, Takes, value};
use crate::global::Global;

/// `ps`.
#[derive(Debug, Default)]
pub(super) struct Ps {
    id: Option<ContainerId>,
    json: bool,
    /// For ps(1).
    args: Vec<OsString>,
}

impl Args for Ps {
    const NAME: &'static str = "ps";
    const ABOUT: &'static str = "Show the processes of a container";
    const FLAGS: &'static [&'static [Flag<Self>]] = &[&[Flag::value(
        "format",
        Takes::OneOf(&["table", "json"]),
        "What ps(1) says of them, or their ids alone",
        |ps: &mut Self, format| {
            ps.json = format == "json";
            Ok(())
        },
    )
    .short('f')]];
    const OPERANDS: &'static [Operand<Self>] = &[
        Operand::one("ID", |ps, id| {
            ps.id = value::id(id)?;
            Ok(())
        }),
        Operand::rest("PS-OPTION", |ps, word| {
            ps.args.push(word);
            Ok(())
        }),
    ];

    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let states = super::states(global)?;
        let id = super::given(&self.id)?;
        let pids: Vec<i32> = corten_runtime_container::processes(&states, id)?
            .into_iter()
            .map(|pid| pid.as_raw_nonzero().get())
            .collect();
        if self.json {
            return super::say(&format!("{}\n", serde_json::to_string(&pids)?));
        }
        let args = if self.args.is_empty() { vec!["-ef".into()] } else { self.args };
        let output = Command::new("ps")
            .args(args)
            .output()
            .context("ps(1) cannot be run; --format json needs none")?;
        ensure!(output.status.success(), "ps: {}", String::from_utf8_lossy(&output.stderr).trim());
        super::say(&only(&String::from_utf8_lossy(&output.stdout), &pids)?)
    }
}

/// Of what ps(1) printed, the heading and the lines of these processes.
fn only(text: &str, pids: &[i32]) -> anyhow::Result<String> {
    let wanted: HashSet<&i32> = pids.iter().collect();
    let heading = text.lines().next().unwrap_or_default();
    let Some(column) = heading.split_whitespace().position(|name| name == "PID") else {
        bail!("ps: there is no column PID among {heading:?}");
    };
    let of_container = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid: i32| wanted.contains(&pid))
    };
    let lines = std::iter::once(heading).chain(text.lines().skip(1).filter(of_container));
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_processes_are_left_out() {
        let text = "UID   PID CMD\nroot    1 init\nroot   12 a 1\nroot  120 b 12\n";
        assert_eq!(only(text, &[12]).unwrap(), "UID   PID CMD\nroot   12 a 1\n");
        only("UID CMD\nroot init\n", &[1]).unwrap_err();
    }
}

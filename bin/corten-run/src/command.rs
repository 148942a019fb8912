//! A file per command.

mod create;
mod delete;
mod exec;
mod kill;
mod list;
mod start;
mod state;

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use corten_runtime_container::{Console, ContainerId, StateDir, Stdio};
use corten_sys_linux::pidfd::Exit;

use crate::args::{Command, Parsed, USAGE};

/// Does what the command line says.
pub(crate) fn run(parsed: Parsed) -> anyhow::Result<ExitCode> {
    let open = || StateDir::open(&parsed.global.root).context("--root");
    match parsed.command {
        Command::Version => say(&format!(
            "corten-run version {}\nspec: {}\n",
            env!("CARGO_PKG_VERSION"),
            corten_api_oci::RUNTIME_SPEC_VERSION
        )),
        Command::Help => say(USAGE),
        Command::Create(args) => create::create(&open()?, &args),
        Command::Run { create, detach, keep } => create::run(&open()?, &create, detach, keep),
        Command::Start { id } => start::start(&open()?, &ContainerId::new(&id)?),
        Command::State { id } => state::state(&open()?, &ContainerId::new(&id)?),
        Command::Kill { id, signal, all } => {
            kill::kill(&open()?, &ContainerId::new(&id)?, &signal, all)
        }
        Command::Delete { id, force } => delete::delete(&open()?, &ContainerId::new(&id)?, force),
        Command::List { json, quiet } => list::list(&open()?, json, quiet),
        Command::Exec(args) => exec::exec(&open()?, &args),
    }
}

/// Writes to standard output.
fn say(text: &str) -> anyhow::Result<ExitCode> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a pid file in one step: a reader finds it whole or not at all.
fn write_pid_file(path: &Path, pid: rustix::process::Pid) -> anyhow::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    std::fs::write(&temporary, pid.as_raw_nonzero().to_string())
        .and_then(|()| std::fs::rename(&temporary, path))
        .with_context(|| format!("--pid-file {}", path.display()))
}

/// Where the program's streams come from, and whether this process relays a terminal.
fn stdio(terminal: bool, detached: bool, console_socket: Option<&Path>) -> anyhow::Result<Stdio> {
    match (terminal, console_socket) {
        (false, None) => Ok(Stdio::Inherit),
        (false, Some(_)) => {
            anyhow::bail!("--console-socket: the process has no terminal (process.terminal, -t)")
        }
        (true, Some(path)) => {
            let socket = std::os::unix::net::UnixStream::connect(path)
                .with_context(|| format!("--console-socket {}", path.display()))?;
            Ok(Stdio::Terminal(Console::Socket(OwnedFd::from(socket))))
        }
        (true, None) if detached => {
            anyhow::bail!(
                "cannot allocate tty if runtime will detach without setting console socket"
            )
        }
        (true, None) => Ok(Stdio::Terminal(Console::Keep)),
    }
}

/// A program's end as this process's own.
fn exit_code(exit: Exit) -> ExitCode {
    ExitCode::from(u8::try_from(exit.status()).unwrap_or(255))
}

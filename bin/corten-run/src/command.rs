//! A file per command.

mod create;
mod delete;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod pause;
mod ps;
mod resume;
mod run;
mod spec;
mod start;
mod state;
mod update;

use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use corten_runtime_container::{Console, ContainerId, Created, StateDir, Stdio};
use corten_sys_linux::fdpass;
use corten_sys_linux::pidfd::Exit;

use crate::cli::{Entry, Failure, completion, help};
use crate::global::{Global, Request};
use crate::log;

/// Every command, in the order that help shows them in.
pub(crate) const ALL: &[Entry] = &[
    Entry::of::<create::Create>(),
    Entry::of::<start::Start>(),
    Entry::of::<run::Run>(),
    Entry::of::<exec::Exec>(),
    Entry::of::<state::StateOf>(),
    Entry::of::<list::List>(),
    Entry::of::<ps::Ps>(),
    Entry::of::<kill::Kill>(),
    Entry::of::<delete::Delete>(),
    Entry::of::<pause::Pause>(),
    Entry::of::<resume::Resume>(),
    Entry::of::<update::Update>(),
    Entry::of::<events::Events>(),
    Entry::of::<spec::MakeSpec>(),
    Entry::of::<features::Features>(),
    Entry::of::<completion::Completion>(),
];

/// Does what the command line says.
pub(crate) fn run(
    global: &Global,
    request: Request,
    parser: &mut lexopt::Parser,
) -> Result<ExitCode, Failure> {
    match request {
        Request::Version => Ok(say(&format!(
            "corten-run version {}\nspec: {}\n",
            env!("CARGO_PKG_VERSION"),
            corten_api_oci::RUNTIME_SPEC_VERSION
        ))?),
        Request::Help => Ok(say(&help::of_all())?),
        Request::Command(name) => {
            let entry = ALL
                .iter()
                .find(|entry| entry.name == name)
                .with_context(|| format!("there is no command {name:?}; see corten-run --help"))?;
            (entry.run)(global, parser)
        }
    }
}

/// Writes to standard output.
pub(crate) fn say(text: &str) -> anyhow::Result<ExitCode> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// The containers that `--root` keeps.
fn states(global: &Global) -> anyhow::Result<StateDir> {
    StateDir::open(&global.root).context("--root")
}

/// The operand that says which container.
fn given(id: &Option<ContainerId>) -> anyhow::Result<&ContainerId> {
    id.as_ref().context("ID is missing")
}

/// Tells what was asked for and does not quite hold.
fn warn(warnings: &[String]) {
    for warning in warnings {
        log::warning(warning);
    }
}

/// Writes a pid file in one step: a reader finds it whole or not at all.
fn write_pid_file(path: &Path, pid: rustix::process::Pid) -> anyhow::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    std::fs::write(&temporary, pid.as_raw_nonzero().to_string())
        .and_then(|()| std::fs::rename(&temporary, path))
        .with_context(|| format!("--pid-file {}", path.display()))
}

/// Sends a process's handle to whoever listens.
fn send_pidfd(path: &Path, created: &Created) -> anyhow::Result<()> {
    let context = || format!("--pidfd-socket {}", path.display());
    let socket = UnixStream::connect(path).with_context(context)?;
    fdpass::send(&socket, b"pidfd", &[created.pidfd.as_fd()]).with_context(context)?;
    Ok(())
}

/// Where the program's streams come from, and whether this process relays a terminal.
fn stdio(terminal: bool, detached: bool, console_socket: Option<&Path>) -> anyhow::Result<Stdio> {
    match (terminal, console_socket) {
        (false, None) => Ok(Stdio::Inherit),
        (false, Some(_)) => {
            anyhow::bail!("--console-socket: the process has no terminal (process.terminal, -t)")
        }
        (true, Some(path)) => {
            let socket = UnixStream::connect(path)
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

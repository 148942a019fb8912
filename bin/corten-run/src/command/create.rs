//! `create` and `run`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use corten_api_oci::Bundle;
use corten_runtime_container::{
    ContainerId, Created, Parenthood, Plan, PlanOptions, StartGate, StateDir,
};
use corten_sys_linux::seal;

use crate::args::Create;
use crate::{log, relay};

pub(super) fn create(states: &StateDir, args: &Create) -> anyhow::Result<ExitCode> {
    make(states, args, true)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run(
    states: &StateDir,
    args: &Create,
    detach: bool,
    keep: bool,
) -> anyhow::Result<ExitCode> {
    let (id, created) = make(states, args, detach)?;
    let ended = corten_runtime_container::start(states, &id).map_err(anyhow::Error::from);
    if detach && ended.is_ok() {
        return Ok(ExitCode::SUCCESS);
    }
    let ended = ended.and_then(|()| relay::until_exit(created.pidfd, created.master));
    // Whatever happened, nothing of it stays.
    if !keep {
        corten_runtime_container::delete(states, &id, true)
            .with_context(|| format!("delete {id}"))?;
    }
    ended.map(super::exit_code)
}

fn make(
    states: &StateDir,
    args: &Create,
    detached: bool,
) -> anyhow::Result<(ContainerId, Created)> {
    seal::ensure().context("seal the runtime's own image")?;
    let id = ContainerId::new(&args.id)?;
    let bundle = Bundle::load(&bundle_path(args.bundle.as_deref())?)?;
    let mut options = PlanOptions::new(&bundle.path);
    options.no_pivot = args.no_pivot;
    options.no_new_keyring = args.no_new_keyring;
    options.preserve_fds = args.preserve_fds;
    let plan = Plan::new(&id, &bundle.spec, &options).context("config.json")?;
    let terminal =
        bundle.spec.process().as_ref().and_then(|process| process.terminal()).unwrap_or(false);
    let stdio = super::stdio(terminal, detached, args.console_socket.as_deref())?;
    let created =
        corten_runtime_container::create(states, plan, stdio, Parenthood::Caller, StartGate::Fifo)
            .with_context(|| format!("create {id}"))?;
    for warning in &created.warnings {
        log::warning(warning);
    }
    if let Some(path) = &args.pid_file
        && let Err(error) = super::write_pid_file(path, created.pid)
    {
        corten_runtime_container::delete(states, &id, true)?;
        return Err(error);
    }
    Ok((id, created))
}

fn bundle_path(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("the working directory")?;
    Ok(given.map_or_else(|| here.clone(), |given| here.join(given)))
}

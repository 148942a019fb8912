//! `exec`.

use std::process::ExitCode;

use anyhow::Context as _;
use corten_api_oci::runtime::{Capability, LinuxCapabilities, Process, User};
use corten_api_oci::{Bundle, parse_process};
use corten_runtime_container::{ContainerId, ExecOptions, Parenthood, StateDir};
use corten_sys_linux::seal;

use crate::args::Exec;
use crate::{log, relay};

pub(super) fn exec(states: &StateDir, args: &Exec) -> anyhow::Result<ExitCode> {
    seal::ensure().context("seal the runtime's own image")?;
    let id = ContainerId::new(&args.id)?;
    let process = process(states, &id, args)?;
    let terminal = process.terminal().unwrap_or(false);
    let stdio = super::stdio(terminal, args.detach, args.console_socket.as_deref())?;
    let options = ExecOptions { cgroup: args.cgroup.clone(), preserve_fds: args.preserve_fds };
    let created =
        corten_runtime_container::exec(states, &id, &process, stdio, Parenthood::Caller, &options)
            .context("exec failed")?;
    for warning in &created.warnings {
        log::warning(warning);
    }
    if let Some(path) = &args.pid_file {
        super::write_pid_file(path, created.pid)?;
    }
    if args.detach {
        return Ok(ExitCode::SUCCESS);
    }
    relay::until_exit(created.pidfd, created.master).map(super::exit_code)
}

/// The process of `--process`, or the container's own with what the options change.
fn process(states: &StateDir, id: &ContainerId, args: &Exec) -> anyhow::Result<Process> {
    if let Some(path) = &args.process {
        let text = std::fs::read(path).with_context(|| format!("--process {}", path.display()))?;
        return Ok(parse_process(&text, &path.display().to_string())?);
    }
    let bundle = Bundle::load(&states.load(id)?.bundle)?;
    let mut process = bundle.spec.process().clone().context("config.json: process is missing")?;
    process.set_args(Some(args.args.clone())).set_terminal(Some(args.tty));
    if let Some(cwd) = &args.cwd {
        process.set_cwd(cwd.clone());
    }
    if !args.env.is_empty() {
        let mut env = process.env().clone().unwrap_or_default();
        env.extend(args.env.iter().cloned());
        process.set_env(Some(env));
    }
    if let Some((uid, gid)) = args.user {
        let mut user = User::default();
        user.set_uid(uid);
        user.set_gid(gid.unwrap_or(process.user().gid()));
        user.set_umask(process.user().umask());
        process.set_user(user);
    }
    if !args.additional_gids.is_empty() {
        let mut user = process.user().clone();
        user.set_additional_gids(Some(args.additional_gids.clone()));
        process.set_user(user);
    }
    if args.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    add_capabilities(&mut process, &args.capabilities)?;
    Ok(process)
}

/// Adds to the bounding, effective and permitted sets; never to the inheritable one, which would
/// hand them on through every exec (CVE-2022-29162).
fn add_capabilities(process: &mut Process, names: &[String]) -> anyhow::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let mut sets = process.capabilities().clone().unwrap_or_else(|| {
        let mut none = LinuxCapabilities::default();
        none.set_bounding(None);
        none.set_effective(None);
        none.set_permitted(None);
        none.set_inheritable(None);
        none.set_ambient(None);
        none
    });
    let (mut bounding, mut effective, mut permitted) = (
        sets.bounding().clone().unwrap_or_default(),
        sets.effective().clone().unwrap_or_default(),
        sets.permitted().clone().unwrap_or_default(),
    );
    for name in names {
        let upper = name.to_ascii_uppercase();
        let capability: Capability = upper
            .strip_prefix("CAP_")
            .unwrap_or(&upper)
            .parse()
            .with_context(|| format!("--cap {name:?} is no capability"))?;
        bounding.insert(capability);
        effective.insert(capability);
        permitted.insert(capability);
    }
    sets.set_bounding(Some(bounding));
    sets.set_effective(Some(effective));
    sets.set_permitted(Some(permitted));
    process.set_capabilities(Some(sets));
    Ok(())
}

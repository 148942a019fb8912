//! `exec`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use corten_api_oci::runtime::{Capability, LinuxCapabilities, Process, User};
use corten_api_oci::{Bundle, parse_process};
use corten_runtime_container::{ContainerId, ExecOptions, Parenthood, StateDir};
use corten_sys_linux::seal;

use crate::cli::{Args, Flag, Operand, Takes, value};
use crate::global::Global;
use crate::relay;

/// `exec`.
#[derive(Debug, Default)]
pub(super) struct Exec {
    id: Option<ContainerId>,
    args: Vec<String>,
    process: Option<PathBuf>,
    console_socket: Option<PathBuf>,
    pidfd_socket: Option<PathBuf>,
    pid_file: Option<PathBuf>,
    cwd: Option<PathBuf>,
    env: Vec<String>,
    tty: bool,
    detach: bool,
    user: Option<(u32, Option<u32>)>,
    additional_gids: Vec<u32>,
    process_label: Option<String>,
    apparmor: Option<String>,
    capabilities: Vec<String>,
    no_new_privs: bool,
    preserve_fds: u32,
    cgroup: Option<String>,
    ignore_paused: bool,
}

/// What changes the process.
const PROCESS: &[Flag<Exec>] = &[
    Flag::value("process", Takes::File, "Run what this file describes", |exec: &mut Exec, path| {
        exec.process = Some(path.into());
        Ok(())
    })
    .short('p'),
    Flag::value("cwd", Takes::Text("DIR"), "The working directory", |exec, path| {
        exec.cwd = Some(path.into());
        Ok(())
    }),
    Flag::value(
        "env",
        Takes::Text("NAME=VALUE"),
        "Add to the environment",
        |exec: &mut Exec, pair| {
            exec.env.push(value::text(pair)?);
            Ok(())
        },
    )
    .short('e'),
    Flag::switch("tty", "Give it a terminal", |exec: &mut Exec, on| exec.tty = on).short('t'),
    Flag::value("user", Takes::Text("UID[:GID]"), "Run as, by number", |exec: &mut Exec, user| {
        exec.user = Some(value::user(user)?);
        Ok(())
    })
    .short('u'),
    Flag::value(
        "additional-gids",
        Takes::Text("GID"),
        "More groups, by number",
        |exec: &mut Exec, gid| {
            exec.additional_gids.push(value::user_or_group(&value::text(gid)?)?);
            Ok(())
        },
    )
    .short('g'),
    Flag::value("process-label", Takes::Text("LABEL"), "Its SELinux label", |exec, label| {
        exec.process_label = Some(value::text(label)?);
        Ok(())
    }),
    Flag::value("apparmor", Takes::Text("PROFILE"), "Its AppArmor profile", |exec, profile| {
        exec.apparmor = Some(value::text(profile)?);
        Ok(())
    }),
    Flag::switch("no-new-privs", "It cannot gain privileges by exec", |exec, on| {
        exec.no_new_privs = on;
    }),
    Flag::value(
        "cap",
        Takes::Text("CAP"),
        "Give it a capability more",
        |exec: &mut Exec, capability| {
            exec.capabilities.push(value::text(capability)?);
            Ok(())
        },
    )
    .short('c'),
];

/// What is around the process.
const AROUND: &[Flag<Exec>] = &[
    Flag::switch("detach", "Leave it running and return", |exec: &mut Exec, on| exec.detach = on)
        .short('d'),
    Flag::value(
        "console-socket",
        Takes::File,
        "Send the terminal's master to who listens on this unix socket",
        |exec, path| {
            exec.console_socket = Some(path.into());
            Ok(())
        },
    ),
    Flag::value(
        "pidfd-socket",
        Takes::File,
        "Send a pidfd of the process to who listens on this unix socket",
        |exec, path| {
            exec.pidfd_socket = Some(path.into());
            Ok(())
        },
    ),
    Flag::value("pid-file", Takes::File, "Write the process's id to this file", |exec, path| {
        exec.pid_file = Some(path.into());
        Ok(())
    }),
    Flag::value(
        "preserve-fds",
        Takes::Text("N"),
        "Hand on N descriptors, from number 3 (plus $LISTEN_FDS)",
        |exec, count| {
            exec.preserve_fds = value::number(count)?;
            Ok(())
        },
    ),
    Flag::value(
        "cgroup",
        Takes::Text("PATH"),
        "Run it in this cgroup, which must be there, below the container's",
        |exec, path| {
            exec.cgroup = Some(cgroup(&value::text(path)?)?);
            Ok(())
        },
    ),
    Flag::switch("ignore-paused", "Also in a paused container: it waits there", |exec, on| {
        exec.ignore_paused = on;
    }),
];

impl Args for Exec {
    const NAME: &'static str = "exec";
    const ABOUT: &'static str = "Run one more process in a container";
    const FLAGS: &'static [&'static [Flag<Self>]] = &[PROCESS, AROUND];
    const OPERANDS: &'static [Operand<Self>] = &[
        Operand::one("ID", |exec, id| {
            exec.id = value::id(id)?;
            Ok(())
        }),
        Operand::rest("PROGRAM", |exec, word| {
            exec.args.push(value::text(word)?);
            Ok(())
        }),
    ];
    const FAILURE: u8 = 255;

    fn check(&self) -> anyhow::Result<()> {
        match (self.args.is_empty(), self.process.is_some()) {
            (true, false) => bail!("a program, or --process, is missing"),
            (false, true) => bail!("a program and --process exclude each other"),
            (true, true) | (false, false) => Ok(()),
        }
    }

    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let id = super::given(&self.id)?;
        let states = super::states(global)?;
        seal::ensure().context("seal the runtime's own image")?;
        let mut process = process(&states, id, &self)?;
        let terminal = process.terminal().unwrap_or(false);
        let stdio = super::stdio(terminal, self.detach, self.console_socket.as_deref())?;
        let options = ExecOptions {
            cgroup: self.cgroup.clone(),
            preserve_fds: self.preserve_fds.saturating_add(activation(Some(&mut process))),
            ignore_paused: self.ignore_paused,
        };
        let created = corten_runtime_container::exec(
            &states,
            id,
            &process,
            stdio,
            Parenthood::Caller,
            &options,
        )
        .context("exec failed")?;
        super::warn(&created.warnings);
        if let Some(path) = &self.pidfd_socket {
            super::send_pidfd(path, &created)?;
        }
        if let Some(path) = &self.pid_file {
            super::write_pid_file(path, created.pid)?;
        }
        if self.detach {
            return Ok(ExitCode::SUCCESS);
        }
        relay::until_exit(created.pidfd, created.master).map(super::exit_code)
    }
}

/// `PATH`, or as runc writes it with one cgroup for all hierarchies, `:PATH`.
fn cgroup(text: &str) -> anyhow::Result<String> {
    match text.split_once(':') {
        None => Ok(text.to_owned()),
        Some(("", path)) => Ok(path.to_owned()),
        Some((controllers, _)) => bail!(
            "a cgroup for {controllers} alone is not supported; give one for all, without \":\""
        ),
    }
}

/// Sockets that this process was activated with (sd_listen_fds(3)) are for the program: says how
/// many there are, and tells the program in its environment.
pub(super) fn activation(process: Option<&mut Process>) -> u32 {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let for_us = number("LISTEN_PID") == Some(std::process::id());
    let Some(count) = number("LISTEN_FDS").filter(|count| for_us && *count > 0) else { return 0 };
    if let Some(process) = process {
        let mut env = process.env().clone().unwrap_or_default();
        env.extend([format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()]);
        process.set_env(Some(env));
    }
    count
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
    if args.process_label.is_some() {
        process.set_selinux_label(args.process_label.clone());
    }
    if args.apparmor.is_some() {
        process.set_apparmor_profile(args.apparmor.clone());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse_words;

    #[test]
    fn a_programs_options_are_its_own() {
        let exec: Exec =
            parse_words(&["-t", "one", "ls", "-t", "--env", "-d", "-process"]).unwrap();
        assert!(exec.tty && !exec.detach);
        assert_eq!(exec.args, ["ls", "-t", "--env", "-d", "-process"]);
    }

    #[test]
    fn a_program_or_a_file_but_not_both() {
        parse_words::<Exec>(&["one"]).unwrap_err();
        parse_words::<Exec>(&["-p", "/f", "one", "ls"]).unwrap_err();
        parse_words::<Exec>(&["-p", "/f", "one"]).unwrap();
    }

    #[test]
    fn a_cgroup_for_some_controllers_is_refused() {
        assert_eq!(cgroup("a/b").unwrap(), "a/b");
        assert_eq!(cgroup(":a").unwrap(), "a");
        cgroup("cpu,memory:a").unwrap_err();
    }
}

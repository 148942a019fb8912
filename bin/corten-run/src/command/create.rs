//! `create`, and what `run` shares with it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use corten_api_oci::Bundle;
use corten_runtime_container::{
    ContainerId, Created, Parenthood, Plan, PlanOptions, StartGate, StateDir,
};
use corten_sys_linux::seal;

use crate::cli::{Args, Flag, Operand, Takes, value};
use crate::global::Global;

/// `create`, and the first half of `run`.
#[derive(Debug, Default)]
pub(super) struct Create {
    pub(super) id: Option<ContainerId>,
    pub(super) bundle: Option<PathBuf>,
    console_socket: Option<PathBuf>,
    pidfd_socket: Option<PathBuf>,
    pid_file: Option<PathBuf>,
    no_pivot: bool,
    no_new_keyring: bool,
    preserve_fds: u32,
}

/// A command that makes a container.
pub(super) trait Makes: Args {
    fn create(&mut self) -> &mut Create;

    const CREATE_FLAGS: &'static [Flag<Self>] = &[
        Flag::value(
            "bundle",
            Takes::Dir,
            "The folder with config.json; without it, the working directory",
            |args: &mut Self, path| {
                args.create().bundle = Some(path.into());
                Ok(())
            },
        )
        .short('b'),
        Flag::value(
            "console-socket",
            Takes::File,
            "Send the terminal's master to who listens on this unix socket",
            |args, path| {
                args.create().console_socket = Some(path.into());
                Ok(())
            },
        ),
        Flag::value(
            "pidfd-socket",
            Takes::File,
            "Send a pidfd of the first process to who listens on this unix socket",
            |args, path| {
                args.create().pidfd_socket = Some(path.into());
                Ok(())
            },
        ),
        Flag::value(
            "pid-file",
            Takes::File,
            "Write the first process's id to this file",
            |args, path| {
                args.create().pid_file = Some(path.into());
                Ok(())
            },
        ),
        Flag::switch(
            "no-pivot",
            "Move the root mount instead of pivot_root(2): for hosts that run from a ramdisk",
            |args, on| args.create().no_pivot = on,
        ),
        Flag::switch("no-new-keyring", "Stay in the caller's session keyring", |args, on| {
            args.create().no_new_keyring = on
        }),
        Flag::value(
            "preserve-fds",
            Takes::Text("N"),
            "Hand on N descriptors, from number 3 (plus $LISTEN_FDS)",
            |args, count| {
                args.create().preserve_fds = value::number(count)?;
                Ok(())
            },
        ),
    ];

    const CREATE_OPERANDS: &'static [Operand<Self>] = &[Operand::one("ID", |args, id| {
        args.create().id = value::id(id)?;
        Ok(())
    })];
}

impl Makes for Create {
    fn create(&mut self) -> &mut Create {
        self
    }
}

impl Args for Create {
    const NAME: &'static str = "create";
    const ABOUT: &'static str = "Make a container, up to where it waits to be started";
    const FLAGS: &'static [&'static [Flag<Self>]] = &[Self::CREATE_FLAGS];
    const OPERANDS: &'static [Operand<Self>] = Self::CREATE_OPERANDS;

    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        self.make(global, &super::states(global)?, true)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Create {
    /// Makes the container; after a failure nothing of it is left.
    pub(super) fn make(
        &self,
        global: &Global,
        states: &StateDir,
        detached: bool,
    ) -> anyhow::Result<Created> {
        let id = super::given(&self.id)?;
        anyhow::ensure!(
            !global.systemd,
            "--systemd-cgroup is not supported: use the cgroupfs driver"
        );
        seal::ensure().context("seal the runtime's own image")?;
        let mut bundle = Bundle::load(&bundle_path(self.bundle.as_deref())?)?;
        let mut options = PlanOptions::new(&bundle.path);
        options.no_pivot = self.no_pivot;
        options.no_new_keyring = self.no_new_keyring;
        options.allow_missing_controllers = global.rootless;
        let activated = super::exec::activation(bundle.spec.process_mut().as_mut());
        options.preserve_fds = self.preserve_fds.saturating_add(activated);
        let plan = Plan::new(id, &bundle.spec, &options).context("config.json")?;
        let terminal =
            bundle.spec.process().as_ref().and_then(|process| process.terminal()).unwrap_or(false);
        let stdio = super::stdio(terminal, detached, self.console_socket.as_deref())?;
        let created = corten_runtime_container::create(
            states,
            plan,
            stdio,
            Parenthood::Caller,
            StartGate::Fifo,
        )
        .with_context(|| format!("create {id}"))?;
        super::warn(&created.warnings);
        if let Err(error) = self.tell(&created) {
            corten_runtime_container::delete(states, id, true)?;
            return Err(error);
        }
        Ok(created)
    }

    /// Tells of the process those who asked.
    fn tell(&self, created: &Created) -> anyhow::Result<()> {
        if let Some(path) = &self.pidfd_socket {
            super::send_pidfd(path, created)?;
        }
        self.pid_file.as_ref().map_or(Ok(()), |path| super::write_pid_file(path, created.pid))
    }
}

pub(super) fn bundle_path(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("the working directory")?;
    Ok(given.map_or_else(|| here.clone(), |given| here.join(given)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse_words;

    #[test]
    fn options_stand_before_or_after_the_id() {
        for words in [
            ["--bundle", "/b", "--preserve-fds", "2", "one"],
            ["one", "-b", "/b", "-preserve-fds", "2"],
            ["--bundle=/b", "one", "--preserve-fds=2", "--no-pivot=false", "--no-new-keyring"],
        ] {
            let create: Create = parse_words(&words).unwrap();
            assert_eq!(create.id.unwrap().as_str(), "one");
            assert_eq!((create.bundle, create.preserve_fds), (Some("/b".into()), 2));
            assert!(!create.no_pivot);
        }
    }

    #[test]
    fn what_is_unknown_or_missing_is_named() {
        for (words, named) in [
            (&["--frob", "x"][..], "--frob"),
            (&["-d", "x"], "-d"),
            (&[], "ID"),
            (&["a", "b"], "b"),
            (&["../x"], "container id"),
            (&["--preserve-fds", "-1", "x"], "preserve-fds"),
        ] {
            let error = parse_words::<Create>(words).unwrap_err();
            assert!(format!("{error:#}").contains(named), "{error:#}");
        }
    }
}

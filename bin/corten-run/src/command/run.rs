//! `run`.

use std::process::ExitCode;

use anyhow::Context as _;

use super::create::{Create, Makes};
use crate::cli::{Args, Flag, Operand};
use crate::global::Global;
use crate::relay;

/// `run`.
#[derive(Debug, Default)]
pub(super) struct Run {
    create: Create,
    detach: bool,
    keep: bool,
}

impl Makes for Run {
    fn create(&mut self) -> &mut Create {
        &mut self.create
    }
}

impl Args for Run {
    const NAME: &'static str = "run";
    const ABOUT: &'static str = "Make a container, start it, and remove it when it has ended";
    const FLAGS: &'static [&'static [Flag<Self>]] = &[
        Self::CREATE_FLAGS,
        &[
            Flag::switch(
                "detach",
                "Leave the container running and return",
                |run: &mut Self, on| {
                    run.detach = on;
                },
            )
            .short('d'),
            Flag::switch("keep", "Do not remove the container when it has ended", |run, on| {
                run.keep = on;
            }),
            Flag::switch(
                "no-subreaper",
                "Leave orphans of the container to init: always so here",
                |_run, _on| (),
            ),
        ],
    ];
    const OPERANDS: &'static [Operand<Self>] = Self::CREATE_OPERANDS;

    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let states = super::states(global)?;
        let id = super::given(&self.create.id)?;
        let created = self.create.make(global, &states, self.detach)?;
        let ended = corten_runtime_container::start(&states, id).map_err(anyhow::Error::from);
        if self.detach && ended.is_ok() {
            return Ok(ExitCode::SUCCESS);
        }
        let ended = ended.and_then(|()| relay::until_exit(created.pidfd, created.master));
        // Whatever happened, nothing of it stays.
        if !self.keep {
            corten_runtime_container::delete(&states, id, true)
                .with_context(|| format!("delete {id}"))?;
        }
        ended.map(super::exit_code)
    }
}

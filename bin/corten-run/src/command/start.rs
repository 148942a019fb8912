//! `start`.

use std::process::ExitCode;

use corten_runtime_container::ContainerId;

use crate::cli::{Args, Flag, Operand, value};
use crate::global::Global;

/// `start`.
#[derive(Debug, Default)]
pub(super) struct Start {
    id: Option<ContainerId>,
}

impl Args for Start {
    const NAME: &'static str = "start";
    const ABOUT: &'static str = "Start a container that was made";
    const FLAGS: &'static [&'static [Flag<Self>]] = &[];
    const OPERANDS: &'static [Operand<Self>] = &[Operand::one("ID", |args, id| {
        args.id = value::id(id)?;
        Ok(())
    })];

    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        corten_runtime_container::start(&super::states(global)?, super::given(&self.id)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

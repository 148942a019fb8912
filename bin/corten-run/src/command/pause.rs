//! `pause`.

use std::process::ExitCode;

use corten_runtime_container::ContainerId;

use crate::cli::{Args, Flag, Operand, value};
use crate::global::Global;

/// `pause`.
#[derive(Debug, Default)]
pub(super) struct Pause {
    id: Option<ContainerId>,
}

impl Args for Pause {
    const NAME: &'static str = "pause";
    const ABOUT: &'static str = "Stop all processes of a container where they are";
    const FLAGS: &'static [&'static [Flag<Self>]] = &[];
    const OPERANDS: &'static [Operand<Self>] = &[Operand::one("ID", |args, id| {
        args.id = value::id(id)?;
        Ok(())
    })];

    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        corten_runtime_container::pause(&super::states(global)?, super::given(&self.id)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

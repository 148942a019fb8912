//! `resume`.

use std::process::ExitCode;

use corten_runtime_container::ContainerId;

use crate::cli::{Args, Flag, Operand, value};
use crate::global::Global;

/// `resume`.
#[derive(Debug, Default)]
pub(super) struct Resume {
    id: Option<ContainerId>,
}

impl Args for Resume {
    const NAME: &'static str = "resume";
    const ABOUT: &'static str = "Let the processes of a paused container go on";
    const FLAGS: &'static [&'static [Flag<Self>]] = &[];
    const OPERANDS: &'static [Operand<Self>] = &[Operand::one("ID", |args, id| {
        args.id = value::id(id)?;
        Ok(())
    })];

    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        corten_runtime_container::resume(&super::states(global)?, super::given(&self.id)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

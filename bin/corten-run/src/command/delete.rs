//! `delete`.

use std::process::ExitCode;

use corten_runtime_container::ContainerId;

use crate::cli::{Args, Flag, Operand, value};
use crate::global::Global;

/// `delete`.
#[derive(Debug, Default)]
pub(super) struct Delete {
    id: Option<ContainerId>,
    force: bool,
}

impl Args for Delete {
    const NAME: &'static str = "delete";
    const ABOUT: &'static str = "Remove what is left of a container that has ended";
    const FLAGS: &'static [&'static [Flag<Self>]] = &[&[Flag::switch(
        "force",
        "Kill it first if it runs; one that does not exist is fine",
        |delete: &mut Self, on| delete.force = on,
    )
    .short('f')]];
    const OPERANDS: &'static [Operand<Self>] = &[Operand::one("ID", |delete, id| {
        delete.id = value::id(id)?;
        Ok(())
    })];

    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let states = super::states(global)?;
        corten_runtime_container::delete(&states, super::given(&self.id)?, self.force)?;
        Ok(ExitCode::SUCCESS)
    }
}

//! `features`.

use std::process::ExitCode;

use crate::cli::{Args, Flag, Operand};
use crate::global::Global;

/// `features`.
#[derive(Debug, Default)]
pub(super) struct Features;

impl Args for Features {
    const NAME: &'static str = "features";
    const ABOUT: &'static str = "Show what this runtime can do, as JSON";
    const FLAGS: &'static [&'static [Flag<Self>]] = &[];
    const OPERANDS: &'static [Operand<Self>] = &[];

    fn run(self, _global: &Global) -> anyhow::Result<ExitCode> {
        let features = corten_runtime_container::features();
        super::say(&format!("{}\n", serde_json::to_string_pretty(&features)?))
    }
}

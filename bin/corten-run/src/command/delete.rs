//! `delete`.

use std::process::ExitCode;

use corten_runtime_container::{ContainerId, StateDir};

pub(super) fn delete(states: &StateDir, id: &ContainerId, force: bool) -> anyhow::Result<ExitCode> {
    corten_runtime_container::delete(states, id, force)?;
    Ok(ExitCode::SUCCESS)
}

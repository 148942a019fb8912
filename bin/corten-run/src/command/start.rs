//! `start`.

use std::process::ExitCode;

use corten_runtime_container::{ContainerId, StateDir};

pub(super) fn start(states: &StateDir, id: &ContainerId) -> anyhow::Result<ExitCode> {
    corten_runtime_container::start(states, id)?;
    Ok(ExitCode::SUCCESS)
}

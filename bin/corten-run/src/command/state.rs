//! `state`.

use std::process::ExitCode;

use corten_runtime_container::{ContainerId, State, StateDir, Status};
use serde::Serialize;

/// A container as engines read it (runtime.md, "State", and what runc adds).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    oci_version: String,
    pub(super) id: String,
    pub(super) pid: i32,
    pub(super) status: Status,
    pub(super) bundle: String,
    rootfs: String,
    pub(super) created: String,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    annotations: std::collections::BTreeMap<String, String>,
    pub(super) owner: String,
}

impl View {
    pub(super) fn new(states: &StateDir, state: State) -> Self {
        let status = states.status(&state);
        Self {
            oci_version: state.oci_version,
            id: state.id,
            // An ended process's number may be another's by now.
            pid: if status == Status::Stopped { 0 } else { state.pid },
            status,
            bundle: state.bundle.display().to_string(),
            rootfs: state.rootfs.display().to_string(),
            created: state.created,
            annotations: state.annotations,
            owner: if state.owner == 0 { "root".to_owned() } else { state.owner.to_string() },
        }
    }
}

pub(super) fn state(states: &StateDir, id: &ContainerId) -> anyhow::Result<ExitCode> {
    let view = View::new(states, states.load(id)?);
    super::say(&format!("{}\n", serde_json::to_string_pretty(&view)?))
}

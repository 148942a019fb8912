//! `state`.

use std::process::ExitCode;

use corten_runtime_container::{ContainerId, State, StateDir, Status};
use serde::Serialize;

use crate::cli::{Args, Flag, Operand, value};
use crate::global::Global;

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
        let status = corten_runtime_container::status(states, &state);
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

/// `state`.
#[derive(Debug, Default)]
pub(super) struct StateOf {
    id: Option<ContainerId>,
}

impl Args for StateOf {
    const NAME: &'static str = "state";
    const ABOUT: &'static str = "Show where a container is in its life";
    const FLAGS: &'static [&'static [Flag<Self>]] = &[];
    const OPERANDS: &'static [Operand<Self>] = &[Operand::one("ID", |args, id| {
        args.id = value::id(id)?;
        Ok(())
    })];

    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let states = super::states(global)?;
        let view = View::new(&states, states.load(super::given(&self.id)?)?);
        super::say(&format!("{}\n", serde_json::to_string_pretty(&view)?))
    }
}

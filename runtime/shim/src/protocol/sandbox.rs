//! What a shim is told when it is started, and what it says when it is ready.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Fault, VERSION};

/// The file `sandbox.json` in a shim's folder, written by the client before it runs
/// `corten-run shim --dir <folder>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxSpec {
    /// The protocol's version.
    pub v: u32,
    /// The sandbox's id: up to 255 of `[A-Za-z0-9+._-]`.
    pub sandbox_id: String,
    /// The host name in the pod's own uts namespace.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Which namespaces are the pod's own.
    pub namespaces: Namespaces,
    /// Where those are pinned: `net`, `ipc`, `uts`, `pid` in this folder.
    pub ns_dir: PathBuf,
    /// Written in the pod's namespaces; only `net.*` with a net namespace of its own, and those of
    /// the ipc and uts namespaces likewise.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// The size of the tmpfs that is mounted on `<shim's folder>/shm`; none without an own ipc
    /// namespace, 64 MiB being usual with one.
    #[serde(default)]
    pub shm_size_bytes: Option<u64>,
    /// The pod's cgroup; the shim itself runs in the leaf `shim-<sandbox id>` below it.
    pub cgroup_parent: String,
    /// Where the state of the pod's containers is kept, as by `corten-run --root`.
    pub state_dir: PathBuf,
}

impl SandboxSpec {
    /// A sandbox whose namespaces are all its own, pid apart.
    #[must_use]
    pub fn new(sandbox_id: &str, ns_dir: PathBuf, cgroup_parent: &str, state_dir: PathBuf) -> Self {
        Self {
            v: VERSION,
            sandbox_id: sandbox_id.to_owned(),
            hostname: None,
            namespaces: Namespaces::default(),
            ns_dir,
            sysctls: BTreeMap::new(),
            shm_size_bytes: Some(64 << 20),
            cgroup_parent: cgroup_parent.to_owned(),
            state_dir,
        }
    }
}

/// Which namespaces are the pod's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Namespaces {
    /// Links, addresses, routes, ports.
    pub net: PodNamespace,
    /// System V IPC and POSIX message queues.
    pub ipc: PodNamespace,
    /// The host name.
    pub uts: PodNamespace,
    /// Processes.
    pub pid: PidNamespace,
}

/// Whose a namespace is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PodNamespace {
    /// The pod's own.
    #[default]
    Pod,
    /// The host's.
    Host,
}

/// Whose a pid namespace is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PidNamespace {
    /// One for all the pod's containers, with a reaper of the shim's as its first process.
    Pod,
    /// Each container's own.
    #[default]
    Container,
    /// The host's.
    Host,
}

/// The one line of JSON on the standard output of `corten-run shim`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Startup {
    /// The shim listens.
    Ready(Ready),
    /// It could not start, and left nothing behind.
    Failed(Fault),
}

/// The shim listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Always true.
    pub ready: bool,
    /// The shim's process.
    pub pid: i32,
}

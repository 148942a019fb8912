//! What is kept of a sandbox and of a container.

use std::net::IpAddr;

use corten_api_cri::v1::{
    ContainerConfig, LinuxContainerResources, LinuxContainerUser, PodSandboxConfig,
};
use serde::{Deserialize, Serialize};

/// The version of the records' form; a file of another version is not read.
pub(crate) const VERSION: u32 = 1;

/// Where a sandbox is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SandboxPhase {
    /// Being made. Found on disk: the service was killed, and it is taken down.
    Creating,
    /// Containers can be made in it.
    Ready,
    /// Stopped, or its shim died.
    NotReady,
    /// Being removed. Found on disk: that goes on.
    Removing,
}

/// A sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SandboxRecord {
    pub(crate) version: u32,
    pub(crate) id: String,
    pub(crate) phase: SandboxPhase,
    pub(crate) config: PodSandboxConfig,
    pub(crate) runtime_handler: String,
    /// Nanoseconds since the epoch.
    pub(crate) created_at: i64,
    /// Below which its cgroups are.
    pub(crate) cgroup_parent: String,
    /// Whether the network plugins may have something to undo.
    pub(crate) attached: bool,
    pub(crate) ips: Vec<IpAddr>,
    /// Whether everything outside this record was taken down.
    pub(crate) stopped: bool,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ContainerPhase {
    /// Being made. Found on disk: the service was killed, and it is taken down.
    Creating,
    /// Waits to be started.
    Created,
    /// Its first process runs.
    Running,
    /// Its first process has ended, or could not be started.
    Exited,
    /// Being removed. Found on disk: that goes on.
    Removing,
}

impl ContainerPhase {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "being created",
            Self::Created => "created",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Removing => "being removed",
        }
    }
}

/// The image a container was made from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct ImageUse {
    /// `sha256:…` of its configuration.
    pub(crate) id: String,
    /// What people call it: the name it was asked for by, or else one of its own.
    pub(crate) name: String,
    /// A name with a digest if it has one, else the id.
    pub(crate) reference: String,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExitRecord {
    pub(crate) code: i32,
    /// Nanoseconds since the epoch.
    pub(crate) at: i64,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    pub(crate) version: u32,
    pub(crate) id: String,
    pub(crate) sandbox_id: String,
    pub(crate) phase: ContainerPhase,
    pub(crate) config: ContainerConfig,
    pub(crate) image: ImageUse,
    /// The whole path of its log; empty without one.
    pub(crate) log_path: String,
    pub(crate) cgroup_path: String,
    /// The limits in force: those it was made with, and what was changed since.
    pub(crate) resources: LinuxContainerResources,
    pub(crate) user: LinuxContainerUser,
    pub(crate) stop_signal: i32,
    pub(crate) pid: Option<i32>,
    /// Its program cannot be run, which is told when it is to be started; there is no process.
    pub(crate) start_error: Option<String>,
    /// Nanoseconds since the epoch.
    pub(crate) created_at: i64,
    /// Nothing before the start.
    pub(crate) started_at: Option<i64>,
    pub(crate) exit: Option<ExitRecord>,
    /// The kernel killed one of its processes for want of memory.
    pub(crate) oom: bool,
}

impl ContainerRecord {
    pub(crate) fn metadata(&self) -> corten_api_cri::v1::ContainerMetadata {
        self.config.metadata.clone().unwrap_or_default()
    }
}

impl SandboxRecord {
    pub(crate) fn metadata(&self) -> corten_api_cri::v1::PodSandboxMetadata {
        self.config.metadata.clone().unwrap_or_default()
    }
}

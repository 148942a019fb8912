//! What the kubelet knows of one pod, as plain data: no IO and no clock in here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

/// The identity of a pod incarnation (`metadata.uid`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PodUid(pub(crate) String);

impl PodUid {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for PodUid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the runtime holds of one pod, newest first in both lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Observed {
    pub(crate) sandboxes: Vec<Sandbox>,
    pub(crate) containers: Vec<RuntimeContainer>,
}

/// A sandbox as the runtime tells it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sandbox {
    pub(crate) id: String,
    pub(crate) attempt: u32,
    pub(crate) created_at: Timestamp,
    pub(crate) ready: bool,
    pub(crate) ips: Vec<String>,
    pub(crate) host_network: bool,
}

/// The life of a container in the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Created,
    Running,
    Exited,
    Unknown,
}

/// A container as the runtime tells it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RuntimeContainer {
    pub(crate) id: String,
    pub(crate) sandbox_id: String,
    pub(crate) name: String,
    /// How often a container of this name was started before this one in the pod.
    pub(crate) attempt: u32,
    pub(crate) life: Life,
    pub(crate) created_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) exit_code: i32,
    pub(crate) reason: String,
    /// The termination message, already read and bounded.
    pub(crate) message: String,
    pub(crate) image: String,
    pub(crate) image_ref: String,
    /// Hash of the part of the spec whose change restarts the container.
    pub(crate) hash: String,
}

impl Observed {
    /// The newest sandbox.
    pub(crate) fn sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.first()
    }

    /// The newest container of this name.
    pub(crate) fn newest(&self, name: &str) -> Option<&RuntimeContainer> {
        self.containers.iter().find(|c| c.name == name)
    }

    /// The newest container of this name within one sandbox.
    pub(crate) fn newest_in(&self, sandbox_id: &str, name: &str) -> Option<&RuntimeContainer> {
        self.containers.iter().find(|c| c.name == name && c.sandbox_id == sandbox_id)
    }

    /// The newest container of this name that ended, other than the newest of all.
    pub(crate) fn previous(&self, name: &str) -> Option<&RuntimeContainer> {
        self.containers.iter().filter(|c| c.name == name).skip(1).find(|c| c.life == Life::Exited)
    }

    /// Containers with a live process, or that may have one.
    pub(crate) fn alive(&self) -> impl Iterator<Item = &RuntimeContainer> {
        self.containers.iter().filter(|c| matches!(c.life, Life::Running | Life::Unknown))
    }

    /// Puts both lists in the order that the other functions rely on.
    pub(crate) fn sort(&mut self) {
        self.sandboxes.sort_by(|a, b| {
            (b.created_at, b.attempt, &b.id).cmp(&(a.created_at, a.attempt, &a.id))
        });
        self.containers.sort_by(|a, b| {
            (b.created_at, b.attempt, &b.id).cmp(&(a.created_at, a.attempt, &a.id))
        });
    }
}

/// What a container is to its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to completion before the next one.
    Init,
    /// An init container with `restartPolicy: Always` (KEP-753).
    Sidecar,
    Main,
}

/// `spec.restartPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

/// The pod's restart policy.
pub(crate) fn restart_policy(spec: &PodSpec) -> RestartPolicy {
    match spec.restart_policy.as_deref() {
        Some("Never") => RestartPolicy::Never,
        Some("OnFailure") => RestartPolicy::OnFailure,
        _ => RestartPolicy::Always,
    }
}

/// The role of an entry of `spec.initContainers`.
pub(crate) fn init_role(container: &Container) -> Role {
    if container.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init }
}

/// All containers of the spec with their roles, init containers first.
pub(crate) fn containers(spec: &PodSpec) -> impl Iterator<Item = (Role, &Container)> {
    spec.init_containers
        .iter()
        .flatten()
        .map(|c| (init_role(c), c))
        .chain(spec.containers.iter().map(|c| (Role::Main, c)))
}

/// The container of this name, with its role.
pub(crate) fn container<'a>(spec: &'a PodSpec, name: &str) -> Option<(Role, &'a Container)> {
    containers(spec).find(|(_, c)| c.name == name)
}

/// How long a pod may take to end by its spec, in seconds.
pub(crate) fn spec_grace_seconds(spec: &PodSpec) -> i64 {
    spec.termination_grace_period_seconds.unwrap_or(30).max(0)
}

/// The pod's uid; the API server gives every stored object one.
pub(crate) fn uid(pod: &Pod) -> PodUid {
    PodUid(pod.metadata.uid.clone().unwrap_or_default())
}

/// The outcome that a probe stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeResult {
    /// Not decided yet.
    Unknown,
    Success,
    Failure,
}

/// Where the probes of one running container stand; `None` where no such probe is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbeView {
    pub(crate) container_id: String,
    pub(crate) startup: Option<ProbeResult>,
    pub(crate) liveness: Option<ProbeResult>,
    pub(crate) readiness: Option<ProbeResult>,
}

/// Probe results by container name.
pub(crate) type Probes = BTreeMap<String, ProbeView>;

/// Whether a running container has passed its startup probe.
pub(crate) fn started(container: &Container, running: &RuntimeContainer, probes: &Probes) -> bool {
    if container.startup_probe.is_none() {
        return true;
    }
    probes.get(&container.name).is_some_and(|view| {
        view.container_id == running.id && view.startup == Some(ProbeResult::Success)
    })
}

/// Whether a running container counts as ready.
pub(crate) fn ready(container: &Container, running: &RuntimeContainer, probes: &Probes) -> bool {
    if !started(container, running, probes) {
        return false;
    }
    if container.readiness_probe.is_none() {
        return true;
    }
    probes.get(&container.name).is_some_and(|view| {
        view.container_id == running.id && view.readiness == Some(ProbeResult::Success)
    })
}

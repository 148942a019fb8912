//! The `PodStatus` that follows from what is seen: pure, recomputed whole each time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, HostIP, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::core::{self, Ending, Input, Waiting};
use super::model::{self, Life, RestartPolicy, Role, RuntimeContainer};
use super::resources;

/// What a status says that does not come from the pod.
#[derive(Clone, Debug)]
pub(crate) struct HostFacts {
    pub(crate) node_ip: String,
    /// The name before `://` in container ids.
    pub(crate) runtime_name: String,
}

/// The pod's status now. `waiting` is what [`core::decide`] said of the same input.
pub(crate) fn pod_status(input: &Input<'_>, waiting: &[Waiting], host: &HostFacts) -> PodStatus {
    let old = input.memory.last_status.clone().unwrap_or_default();
    let init: Vec<ContainerStatus> = input
        .spec
        .init_containers
        .iter()
        .flatten()
        .map(|c| container_status(input, waiting, host, model::init_role(c), c, &old))
        .collect();
    let main: Vec<ContainerStatus> = input
        .spec
        .containers
        .iter()
        .map(|c| container_status(input, waiting, host, Role::Main, c, &old))
        .collect();
    let (phase, reason, message) = phase(input, &init, &main, &old);
    // A pod that was refused before anything of it was made has no containers to tell of.
    let never_made = input.memory.failed.is_some()
        && input.observed.containers.is_empty()
        && old.container_statuses.is_none();
    let (init, main) = if never_made { (Vec::new(), Vec::new()) } else { (init, main) };
    let ips = pod_ips(input, host, &old, &phase);
    let started = old.start_time.clone().unwrap_or(seconds(input.now));
    let mut status = PodStatus {
        phase: Some(phase),
        reason,
        message,
        start_time: Some(started),
        host_ip: Some(host.node_ip.clone()),
        host_ips: Some(vec![HostIP { ip: host.node_ip.clone() }]),
        pod_ip: ips.first().cloned(),
        pod_ips: (!ips.is_empty()).then(|| ips.iter().map(|ip| PodIP { ip: ip.clone() }).collect()),
        qos_class: Some(resources::qos_class(input.spec).to_string()),
        init_container_statuses: (!init.is_empty()).then_some(init),
        container_statuses: (!main.is_empty()).then_some(main),
        observed_generation: input.pod.metadata.generation,
        ..PodStatus::default()
    };
    status.conditions = Some(conditions(input, &status, &old));
    status
}

fn pod_ips(input: &Input<'_>, host: &HostFacts, old: &PodStatus, phase: &str) -> Vec<String> {
    if input.spec.host_network == Some(true) {
        return vec![host.node_ip.clone()];
    }
    let ready = input.observed.sandboxes.iter().find(|s| s.ready && !s.ips.is_empty());
    match ready {
        Some(sandbox) => sandbox.ips.clone(),
        // An ended pod keeps the addresses it had, as a record.
        None if matches!(phase, "Succeeded" | "Failed") || core::ending(input).is_some() => {
            old.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect()
        }
        None => Vec::new(),
    }
}

/// `metav1.Time` counts whole seconds.
fn seconds(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

fn time(at: Timestamp) -> Option<Time> {
    Some(seconds(at))
}

fn running(c: &RuntimeContainer) -> ContainerState {
    ContainerState {
        running: Some(ContainerStateRunning { started_at: c.started_at.and_then(time) }),
        ..ContainerState::default()
    }
}

fn terminated(c: &RuntimeContainer, host: &HostFacts) -> ContainerState {
    let reason = match (c.reason.as_str(), c.life, c.exit_code) {
        ("", Life::Created, _) => "ContainerCannotRun",
        ("", _, 0) => "Completed",
        ("", _, _) => "Error",
        (reason, _, _) => reason,
    };
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(format!("{}://{}", host.runtime_name, c.id)),
            exit_code: c.exit_code,
            reason: Some(reason.to_owned()),
            message: (!c.message.is_empty()).then(|| c.message.clone()),
            started_at: c.started_at.and_then(time),
            finished_at: c.finished_at.and_then(time),
            signal: None,
        }),
        ..ContainerState::default()
    }
}

fn waiting_state(reason: &str, message: Option<String>) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message }),
        ..ContainerState::default()
    }
}

fn container_status(
    input: &Input<'_>,
    waiting: &[Waiting],
    host: &HostFacts,
    role: Role,
    container: &Container,
    old: &PodStatus,
) -> ContainerStatus {
    let name = &container.name;
    let old = old
        .init_container_statuses
        .iter()
        .flatten()
        .chain(old.container_statuses.iter().flatten())
        .find(|c| c.name == *name);
    let Some(newest) = input.observed.newest(name) else {
        return forgotten_status(input, role, container, old);
    };
    let state = match newest.life {
        Life::Running | Life::Unknown => running(newest),
        // Made, but not told to start yet: it has not ended, whatever its exit code says.
        Life::Created => waiting_state("ContainerCreating", None),
        Life::Exited => terminated(newest, host),
    };
    let last = input.observed.previous(name).map(|c| terminated(c, host));
    let is_running = newest.life == Life::Running;
    let mut status = ContainerStatus {
        name: name.clone(),
        image: if newest.image.is_empty() {
            container.image.clone().unwrap_or_default()
        } else {
            newest.image.clone()
        },
        image_id: newest.image_ref.clone(),
        container_id: Some(format!("{}://{}", host.runtime_name, newest.id)),
        restart_count: i32::try_from(newest.attempt).unwrap_or(i32::MAX),
        started: Some(is_running && model::started(container, newest, input.probes)),
        ready: match role {
            Role::Init => newest.life == Life::Exited && newest.exit_code == 0,
            Role::Sidecar | Role::Main => {
                is_running && model::ready(container, newest, input.probes)
            }
        },
        last_state: last.or_else(|| old.and_then(|o| o.last_state.clone())),
        state: Some(state),
        ..ContainerStatus::default()
    };
    if !is_running && core::ending(input).is_none() && !core::is_terminal(input) {
        if let Some(trouble) = input.memory.troubles.get(name) {
            let wait = waiting_state(&trouble.reason, Some(trouble.message.clone()));
            status.last_state = status.state.replace(wait);
        } else if let Some(wait) = waiting.iter().find(|w| w.name == *name) {
            let wait = waiting_state("CrashLoopBackOff", Some(back_off_message(input, wait)));
            status.last_state = status.state.replace(wait);
        }
    }
    status
}

/// The message of a container in `CrashLoopBackOff`.
pub(crate) fn back_off_message(input: &Input<'_>, waiting: &Waiting) -> String {
    let seconds = waiting.delay.as_secs();
    let delay = match (seconds / 60, seconds % 60) {
        (0, s) => format!("{s}s"),
        (m, s) => format!("{m}m{s}s"),
    };
    format!(
        "back-off {delay} restarting failed container={} pod={}_{}({})",
        waiting.name,
        input.pod.metadata.name.as_deref().unwrap_or_default(),
        input.pod.metadata.namespace.as_deref().unwrap_or_default(),
        model::uid(input.pod),
    )
}

/// The status of a container that the runtime has no record of: not yet, or not any more.
fn forgotten_status(
    input: &Input<'_>,
    role: Role,
    container: &Container,
    old: Option<&ContainerStatus>,
) -> ContainerStatus {
    let over = core::ending(input).is_some() || core::is_terminal(input);
    let mut status = ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        started: Some(false),
        restart_count: old.map_or(0, |o| o.restart_count),
        last_state: old.and_then(|o| o.last_state.clone()),
        ..ContainerStatus::default()
    };
    let old_state = old.and_then(|o| o.state.clone()).unwrap_or_default();
    if over && let Some(old) = old {
        status.container_id = old.container_id.clone();
        status.image_id = old.image_id.clone();
        if old_state.terminated.is_some() {
            status.ready = role == Role::Init && old.ready;
            status.state = Some(old_state);
            return status;
        }
        if old_state.running.is_some() {
            status.state = Some(lost(old));
            return status;
        }
    }
    if !over && let Some(old) = old {
        if old_state.terminated.is_some() {
            status.last_state = Some(old_state);
        } else if old_state.running.is_some() {
            status.last_state = Some(lost(old));
        }
    }
    let has_init = input.spec.init_containers.as_ref().is_some_and(|c| !c.is_empty());
    let state = match (input.memory.troubles.get(&container.name), role) {
        (Some(trouble), _) if !over => {
            waiting_state(&trouble.reason, Some(trouble.message.clone()))
        }
        (_, Role::Main | Role::Sidecar | Role::Init) if has_init => {
            waiting_state("PodInitializing", None)
        }
        (_, Role::Main | Role::Sidecar | Role::Init) => waiting_state("ContainerCreating", None),
    };
    status.state = Some(state);
    status
}

/// The state of a container that was seen running and is gone without a trace: its true exit code
/// is lost.
fn lost(old: &ContainerStatus) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: 137,
            reason: Some("ContainerStatusUnknown".to_owned()),
            message: Some("The container could not be located any more".to_owned()),
            container_id: old.container_id.clone(),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }
}

type Phase = (String, Option<String>, Option<String>);

fn phase(
    input: &Input<'_>,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
    old: &PodStatus,
) -> Phase {
    let alive = input.observed.alive().next().is_some();
    if matches!(old.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return (old.phase.clone().unwrap_or_default(), old.reason.clone(), old.message.clone());
    }
    if let Some(Ending::Failed { reason, message }) = core::ending(input) {
        let phase = if alive { running_phase(init, main, input) } else { "Failed" };
        return (phase.to_owned(), Some(reason), Some(message));
    }
    if let Some(succeeded) = core::completion(input) {
        // Sidecars may still be ending; the phase is only told once nothing runs.
        let phase = match (alive, succeeded) {
            (true, _) => "Running",
            (false, true) => "Succeeded",
            (false, false) => "Failed",
        };
        return (phase.to_owned(), None, None);
    }
    let deleted = matches!(core::ending(input), Some(Ending::Deleted { .. }));
    if deleted && !alive && old.container_statuses.is_some() {
        return (deleted_phase(main).to_owned(), old.reason.clone(), old.message.clone());
    }
    (running_phase(init, main, input).to_owned(), None, None)
}

/// The last phase of a pod that was deleted: it tells whether all its containers succeeded.
fn deleted_phase(main: &[ContainerStatus]) -> &'static str {
    let exit = |c: &ContainerStatus| Some(c.state.as_ref()?.terminated.as_ref()?.exit_code);
    let codes: Vec<Option<i32>> = main.iter().map(exit).collect();
    if codes.iter().all(Option::is_none) {
        "Pending"
    } else if codes.iter().all(|code| *code == Some(0)) {
        "Succeeded"
    } else {
        "Failed"
    }
}

fn running_phase(
    init: &[ContainerStatus],
    main: &[ContainerStatus],
    input: &Input<'_>,
) -> &'static str {
    let is_running =
        |c: &ContainerStatus| c.state.as_ref().is_some_and(|state| state.running.is_some());
    let has_ended = |c: &ContainerStatus| {
        c.state.as_ref().is_some_and(|s| s.terminated.is_some())
            || c.last_state.as_ref().is_some_and(|s| s.terminated.is_some())
    };
    let waits = main.iter().any(|c| !is_running(c) && !has_ended(c));
    let moved = main.iter().any(|c| is_running(c) || has_ended(c));
    let init_pending =
        init.iter().zip(input.spec.init_containers.iter().flatten()).any(|(s, c)| {
            match model::init_role(c) {
                Role::Init | Role::Main => !s.ready,
                Role::Sidecar => s.started != Some(true),
            }
        });
    let always = model::restart_policy(input.spec) == RestartPolicy::Always;
    match (waits, moved) {
        (_, false) => "Pending",
        (true, true) if init_pending && !always && !main.iter().any(is_running) => "Pending",
        (_, true) => "Running",
    }
}

fn names(list: &[&str]) -> String {
    format!("[{}]", list.join(" "))
}

struct Verdict {
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Verdict {
    fn of(holds: bool) -> Self {
        Self { holds, reason: None, message: None }
    }

    fn no(reason: &'static str, message: Option<String>) -> Self {
        Self { holds: false, reason: Some(reason), message }
    }
}

fn conditions(input: &Input<'_>, status: &PodStatus, old: &PodStatus) -> Vec<PodCondition> {
    let phase = status.phase.as_deref().unwrap_or_default();
    let sandbox =
        input.observed.sandbox().is_some_and(|s| s.ready && (s.host_network || !s.ips.is_empty()));
    let containers = containers_ready(input, status, phase);
    let verdicts = [
        ("PodReadyToStartContainers", Verdict::of(sandbox)),
        ("Initialized", initialized(input, status, phase)),
        ("Ready", ready(input, &containers)),
        ("ContainersReady", containers),
        ("PodScheduled", Verdict::of(true)),
    ];
    let now = input.now;
    let generation = input.pod.metadata.generation;
    verdicts
        .into_iter()
        .map(|(kind, verdict)| {
            let value = if verdict.holds { "True" } else { "False" };
            let known = old.conditions.iter().flatten().find(|c| c.type_ == kind);
            let since = known
                .filter(|c| c.status == value)
                .and_then(|c| c.last_transition_time.clone())
                .unwrap_or(seconds(now));
            PodCondition {
                type_: kind.to_owned(),
                status: value.to_owned(),
                reason: verdict.reason.map(str::to_owned),
                message: verdict.message,
                last_transition_time: Some(since),
                last_probe_time: None,
                observed_generation: generation,
            }
        })
        .collect()
}

fn initialized(input: &Input<'_>, status: &PodStatus, phase: &str) -> Verdict {
    if phase == "Succeeded" {
        return Verdict { holds: true, reason: Some("PodCompleted"), message: None };
    }
    let statuses: BTreeMap<&str, &ContainerStatus> =
        status.init_container_statuses.iter().flatten().map(|c| (c.name.as_str(), c)).collect();
    // Once a main container has run, initialisation is over, whatever the runtime remembers.
    let past = status.container_statuses.iter().flatten().any(|c| c.container_id.is_some());
    let incomplete: Vec<&str> = input
        .spec
        .init_containers
        .iter()
        .flatten()
        .filter(|c| {
            let status = statuses.get(c.name.as_str());
            !past
                && match model::init_role(c) {
                    Role::Sidecar => status.is_none_or(|s| s.started != Some(true)),
                    Role::Init | Role::Main => !status.is_some_and(|s| s.ready),
                }
        })
        .map(|c| c.name.as_str())
        .collect();
    if incomplete.is_empty() {
        return Verdict::of(true);
    }
    Verdict::no(
        "ContainersNotInitialized",
        Some(format!("containers with incomplete status: {}", names(&incomplete))),
    )
}

fn containers_ready(input: &Input<'_>, status: &PodStatus, phase: &str) -> Verdict {
    match phase {
        "Succeeded" => return Verdict::no("PodCompleted", None),
        "Failed" => return Verdict::no("PodFailed", None),
        _ => {}
    }
    let sidecars = status.init_container_statuses.iter().flatten().filter(|s| {
        model::container(input.spec, &s.name).is_some_and(|(role, _)| role == Role::Sidecar)
    });
    let unready: Vec<&str> = sidecars
        .chain(status.container_statuses.iter().flatten())
        .filter(|c| !c.ready)
        .map(|c| c.name.as_str())
        .collect();
    if unready.is_empty() {
        return Verdict::of(true);
    }
    Verdict::no(
        "ContainersNotReady",
        Some(format!("containers with unready status: {}", names(&unready))),
    )
}

fn ready(input: &Input<'_>, containers: &Verdict) -> Verdict {
    if !containers.holds {
        return Verdict {
            holds: false,
            reason: containers.reason,
            message: containers.message.clone(),
        };
    }
    let given = input.pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let given: BTreeMap<&str, &str> =
        given.map(|c| (c.type_.as_str(), c.status.as_str())).collect();
    let missing: Vec<String> = input
        .spec
        .readiness_gates
        .iter()
        .flatten()
        .filter(|gate| given.get(gate.condition_type.as_str()) != Some(&"True"))
        .map(|gate| {
            let known = given.contains_key(gate.condition_type.as_str());
            let what = if known { "corresponding condition of pod readiness gate" } else { "" };
            if known {
                format!("{what} \"{}\" does not have status \"True\"", gate.condition_type)
            } else {
                format!(
                    "corresponding condition of pod readiness gate \"{}\" does not exist",
                    gate.condition_type
                )
            }
        })
        .collect();
    if missing.is_empty() {
        return Verdict::of(true);
    }
    Verdict::no("ReadinessGatesNotReady", Some(missing.join(", ")))
}

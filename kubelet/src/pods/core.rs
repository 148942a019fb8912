//! The pure heart of a pod worker: from what is wanted and what is seen to what is to be done.
//!
//! [`decide`] is called again after its actions were carried out and the runtime was looked at
//! again, so it never has to guess an outcome: it names the next safe step and stops there.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodStatus};

use super::backoff::Backoff;
use super::model::{
    self, Life, Observed, ProbeResult, Probes, RestartPolicy, Role, RuntimeContainer,
};

/// Why the pod is being brought to its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ending {
    /// It was deleted; the API object goes once nothing is left here.
    Deleted { deadline: Timestamp, grace_seconds: i64 },
    /// It fails as a whole: it was never admitted, or ran past its deadline.
    Failed { reason: String, message: String },
}

/// Why something could not be started, and when to try again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trouble {
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) retry_at: Timestamp,
}

/// What the worker remembers between two decisions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// Delays between restarts, by container name and hash.
    pub(crate) restarts: Backoff,
    /// Why containers could not be started, by name.
    pub(crate) troubles: BTreeMap<String, Trouble>,
    /// Why the pod as a whole cannot go on (sandbox, volumes, cgroup).
    pub(crate) pod_trouble: Option<Trouble>,
    /// The pod failed as a whole.
    pub(crate) failed: Option<(String, String)>,
    /// The object is gone from the API server.
    pub(crate) gone_from_api: bool,
    /// Volumes and cgroup are given back.
    pub(crate) released: bool,
    /// The last status that was computed, or at first the one that the API server had.
    pub(crate) last_status: Option<PodStatus>,
}

impl Memory {
    /// Notes that an action is about to be carried out.
    pub(crate) fn note(&mut self, action: &Action, now: Timestamp) {
        match action {
            Action::StartContainer { name, backoff_key, previous_end, .. } => {
                self.troubles.remove(name);
                if let Some(end) = previous_end {
                    self.restarts.attempt(backoff_key, *end, now);
                }
            }
            Action::CreateSandbox { .. } => self.pod_trouble = None,
            Action::StopContainers { .. }
            | Action::StopSandbox { .. }
            | Action::RemoveSandbox { .. }
            | Action::RemoveContainer { .. }
            | Action::Release
            | Action::DeleteFromApi => {}
        }
    }
}

/// Everything that a decision rests on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) spec: &'a PodSpec,
    pub(crate) observed: &'a Observed,
    pub(crate) probes: &'a Probes,
    pub(crate) memory: &'a Memory,
    /// Hash of each container of the spec, by name.
    pub(crate) hashes: &'a BTreeMap<String, String>,
    pub(crate) now: Timestamp,
}

/// Why a container is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    PodEnds,
    Liveness,
    Startup,
    DefinitionChanged,
    SandboxChanged,
    /// It is not in the spec, or an older one of its name.
    Superfluous,
}

/// One container to stop.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stop {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) reason: StopReason,
    /// The time between SIGTERM and SIGKILL, preStop hook included.
    pub(crate) grace_seconds: i64,
}

/// A step that the worker carries out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Stops them all at once and waits for them.
    StopContainers {
        stops: Vec<Stop>,
    },
    StopSandbox {
        id: String,
    },
    RemoveSandbox {
        id: String,
    },
    RemoveContainer {
        id: String,
    },
    CreateSandbox {
        attempt: u32,
    },
    StartContainer {
        name: String,
        role: Role,
        attempt: u32,
        sandbox_id: String,
        backoff_key: String,
        /// When the container that this one replaces ended.
        previous_end: Option<Timestamp>,
    },
    /// Unmounts the volumes and removes the pod's cgroup and folder.
    Release,
    /// Deletes the API object with grace 0.
    DeleteFromApi,
}

/// A container that waits before it is restarted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Waiting {
    pub(crate) name: String,
    pub(crate) delay: SignedDuration,
}

/// What to do, and when to ask again even if nothing happens.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Decision {
    pub(crate) actions: Vec<Action>,
    pub(crate) wake_at: Option<Timestamp>,
    pub(crate) waiting: Vec<Waiting>,
    /// Nothing is left to do, ever: the worker may end.
    pub(crate) finished: bool,
}

impl Decision {
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |old| old.min(at)));
    }
}

/// The next safe steps for this pod.
pub(crate) fn decide(input: &Input<'_>) -> Decision {
    let mut decision = Decision::default();
    if let Some(ending) = ending(input) {
        end_pod(input, &ending, &mut decision);
    } else if is_terminal(input) {
        wind_down(input, model::spec_grace_seconds(input.spec), &mut decision);
    } else {
        run_pod(input, &mut decision);
    }
    decision
}

/// Whether and why the pod is to end, whatever its containers do.
pub(crate) fn ending(input: &Input<'_>) -> Option<Ending> {
    let spec_grace = model::spec_grace_seconds(input.spec);
    if let Some(at) = &input.pod.metadata.deletion_timestamp {
        let grace = input.pod.metadata.deletion_grace_period_seconds.unwrap_or(spec_grace);
        return Some(Ending::Deleted { deadline: at.0, grace_seconds: grace.max(0) });
    }
    if input.memory.gone_from_api {
        let deadline = input.now + SignedDuration::from_secs(spec_grace);
        return Some(Ending::Deleted { deadline, grace_seconds: spec_grace });
    }
    if let Some((reason, message)) = &input.memory.failed {
        return Some(Ending::Failed { reason: reason.clone(), message: message.clone() });
    }
    let deadline = deadline(input)?;
    (input.now >= deadline && !is_terminal(input)).then(|| Ending::Failed {
        reason: "DeadlineExceeded".to_owned(),
        message: "Pod was active on the node longer than the specified deadline".to_owned(),
    })
}

/// When `activeDeadlineSeconds` runs out.
fn deadline(input: &Input<'_>) -> Option<Timestamp> {
    let seconds = input.spec.active_deadline_seconds?;
    let status = input.memory.last_status.as_ref()?;
    Some(status.start_time.as_ref()?.0 + SignedDuration::from_secs(seconds))
}

/// Whether the pod has reached Succeeded or Failed: from then on nothing is ever started again.
pub(crate) fn is_terminal(input: &Input<'_>) -> bool {
    let phase = input.memory.last_status.as_ref().and_then(|s| s.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return true;
    }
    completion(input).is_some()
}

/// Whether every container has run its last time: `Some(true)` if all succeeded.
pub(crate) fn completion(input: &Input<'_>) -> Option<bool> {
    let policy = model::restart_policy(input.spec);
    if policy == RestartPolicy::Always {
        return None;
    }
    if policy == RestartPolicy::Never && init_failed(input) {
        return Some(false);
    }
    let mut succeeded = true;
    for container in &input.spec.containers {
        let newest = input.observed.newest(&container.name)?;
        if newest.life != Life::Exited || restarts(policy, newest) {
            return None;
        }
        succeeded &= newest.exit_code == 0;
    }
    Some(succeeded)
}

fn init_failed(input: &Input<'_>) -> bool {
    input.spec.init_containers.iter().flatten().any(|container| {
        model::init_role(container) == Role::Init
            && input
                .observed
                .newest(&container.name)
                .is_some_and(|c| c.life == Life::Exited && c.exit_code != 0)
    })
}

fn restarts(policy: RestartPolicy, ended: &RuntimeContainer) -> bool {
    match policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => ended.exit_code != 0,
        RestartPolicy::Never => false,
    }
}

fn end_pod(input: &Input<'_>, ending: &Ending, decision: &mut Decision) {
    match ending {
        Ending::Failed { .. } => {
            wind_down(input, model::spec_grace_seconds(input.spec), decision);
        }
        Ending::Deleted { deadline, grace_seconds } => {
            // After a restart of the kubelet only the rest of the grace period is given; a second
            // is the least, so that a forced deletion still lets a process close its files.
            let left =
                deadline.duration_since(input.now).as_secs().clamp(1, (*grace_seconds).max(1));
            if wind_down(input, left, decision) {
                remove_everything(input, decision);
            }
        }
    }
}

/// Stops what runs, sidecars last, then the sandboxes. True once nothing runs.
fn wind_down(input: &Input<'_>, grace_seconds: i64, decision: &mut Decision) -> bool {
    let is_sidecar = |c: &&RuntimeContainer| {
        model::container(input.spec, &c.name).is_some_and(|(role, _)| role == Role::Sidecar)
    };
    let (sidecars, others): (Vec<_>, Vec<_>) = input.observed.alive().partition(is_sidecar);
    let group = if others.is_empty() { sidecars } else { others };
    if !group.is_empty() {
        let stop = |c: &RuntimeContainer| stop(c, StopReason::PodEnds, grace_seconds);
        decision
            .actions
            .push(Action::StopContainers { stops: group.into_iter().map(stop).collect() });
        return false;
    }
    let ready: Vec<_> = input.observed.sandboxes.iter().filter(|s| s.ready).collect();
    for sandbox in &ready {
        decision.actions.push(Action::StopSandbox { id: sandbox.id.clone() });
    }
    ready.is_empty()
}

fn remove_everything(input: &Input<'_>, decision: &mut Decision) {
    if !input.observed.sandboxes.is_empty() || !input.observed.containers.is_empty() {
        for container in &input.observed.containers {
            decision.actions.push(Action::RemoveContainer { id: container.id.clone() });
        }
        for sandbox in &input.observed.sandboxes {
            decision.actions.push(Action::RemoveSandbox { id: sandbox.id.clone() });
        }
    } else if !input.memory.released {
        decision.actions.push(Action::Release);
    } else if !input.memory.gone_from_api {
        decision.actions.push(Action::DeleteFromApi);
    } else {
        decision.finished = true;
    }
}

fn run_pod(input: &Input<'_>, decision: &mut Decision) {
    if let Some(deadline) = deadline(input) {
        decision.wake(deadline);
    }
    let usable =
        input.observed.sandbox().filter(|s| s.ready && (s.host_network || !s.ips.is_empty()));
    let Some(sandbox) = usable else {
        replace_sandbox(input, decision);
        return;
    };
    for old in input.observed.sandboxes.iter().skip(1).filter(|s| s.ready) {
        decision.actions.push(Action::StopSandbox { id: old.id.clone() });
    }
    let stops = unwanted(input, &sandbox.id);
    if !stops.is_empty() {
        decision.actions.push(Action::StopContainers { stops });
        return;
    }
    prune(input, decision);
    if run_init_containers(input, &sandbox.id, decision) {
        for container in &input.spec.containers {
            run_main_container(input, container, &sandbox.id, decision);
        }
    }
}

/// There is no sandbox to run in: whatever still runs goes, then a new sandbox is made if any
/// container is still to be run.
fn replace_sandbox(input: &Input<'_>, decision: &mut Decision) {
    let grace = model::spec_grace_seconds(input.spec);
    let stops: Vec<_> =
        input.observed.alive().map(|c| stop(c, StopReason::SandboxChanged, grace)).collect();
    if !stops.is_empty() {
        decision.actions.push(Action::StopContainers { stops });
        return;
    }
    let ready: Vec<_> = input.observed.sandboxes.iter().filter(|s| s.ready).collect();
    if !ready.is_empty() {
        for sandbox in ready {
            decision.actions.push(Action::StopSandbox { id: sandbox.id.clone() });
        }
        return;
    }
    // A pod that never restarts keeps its one sandbox: what ran in it has run.
    let policy = model::restart_policy(input.spec);
    if policy == RestartPolicy::Never && !input.observed.containers.is_empty() {
        return;
    }
    if let Some(trouble) = &input.memory.pod_trouble
        && input.now < trouble.retry_at
    {
        decision.wake(trouble.retry_at);
        return;
    }
    let attempt = input.observed.sandbox().map_or(0, |s| s.attempt + 1);
    decision.actions.push(Action::CreateSandbox { attempt });
}

/// Containers that run and should not, or not like this.
fn unwanted(input: &Input<'_>, sandbox_id: &str) -> Vec<Stop> {
    let grace = model::spec_grace_seconds(input.spec);
    let mut stops = Vec::new();
    for running in input.observed.alive() {
        let newest = input.observed.newest(&running.name).is_some_and(|c| c.id == running.id);
        let reason = match model::container(input.spec, &running.name) {
            None => Some((StopReason::Superfluous, grace)),
            Some(_) if !newest || running.life == Life::Unknown => {
                Some((StopReason::Superfluous, grace))
            }
            Some(_) if running.sandbox_id != sandbox_id => {
                Some((StopReason::SandboxChanged, grace))
            }
            Some((_, container)) => failing(input, container, running, grace),
        };
        if let Some((reason, grace)) = reason {
            stops.push(stop(running, reason, grace));
        }
    }
    stops
}

/// Why a wanted, running container must be stopped, and with which grace period.
fn failing(
    input: &Input<'_>,
    container: &Container,
    running: &RuntimeContainer,
    grace: i64,
) -> Option<(StopReason, i64)> {
    let hash = input.hashes.get(&container.name);
    if hash.is_some_and(|hash| *hash != running.hash && !running.hash.is_empty()) {
        return Some((StopReason::DefinitionChanged, grace));
    }
    let view = input.probes.get(&container.name).filter(|v| v.container_id == running.id)?;
    let own_grace = |probe: &Option<k8s_openapi::api::core::v1::Probe>| {
        probe.as_ref().and_then(|p| p.termination_grace_period_seconds).unwrap_or(grace)
    };
    if view.startup == Some(ProbeResult::Failure) {
        return Some((StopReason::Startup, own_grace(&container.startup_probe)));
    }
    if view.liveness == Some(ProbeResult::Failure) {
        return Some((StopReason::Liveness, own_grace(&container.liveness_probe)));
    }
    None
}

fn stop(c: &RuntimeContainer, reason: StopReason, grace_seconds: i64) -> Stop {
    Stop { id: c.id.clone(), name: c.name.clone(), reason, grace_seconds }
}

/// Removes records that nobody can ask for any more: of each name, the newest container and one
/// before it stay (`kubectl logs --previous`), and sandboxes that still hold a container.
fn prune(input: &Input<'_>, decision: &mut Decision) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut kept_sandboxes: Vec<&str> = Vec::new();
    for container in &input.observed.containers {
        let count = seen.entry(container.name.as_str()).or_default();
        *count += 1;
        if *count > 2 && container.life == Life::Exited {
            decision.actions.push(Action::RemoveContainer { id: container.id.clone() });
        } else {
            kept_sandboxes.push(container.sandbox_id.as_str());
        }
    }
    for old in input.observed.sandboxes.iter().skip(1).filter(|s| !s.ready) {
        if !kept_sandboxes.contains(&old.id.as_str()) {
            decision.actions.push(Action::RemoveSandbox { id: old.id.clone() });
        }
    }
}

/// Brings the init containers on by at most one step. True when the main containers may run.
fn run_init_containers(input: &Input<'_>, sandbox_id: &str, decision: &mut Decision) -> bool {
    let main_exists = input
        .spec
        .containers
        .iter()
        .any(|c| input.observed.newest_in(sandbox_id, &c.name).is_some());
    for container in input.spec.init_containers.iter().flatten() {
        let role = model::init_role(container);
        let newest = input.observed.newest_in(sandbox_id, &container.name);
        let done = match (role, newest.map(|c| c.life)) {
            (Role::Sidecar, Some(Life::Running)) => {
                newest.is_some_and(|c| model::started(container, c, input.probes))
            }
            (_, Some(Life::Running | Life::Unknown)) => false,
            (Role::Init | Role::Main, Some(Life::Exited))
                if newest.is_some_and(|c| c.exit_code == 0) =>
            {
                true
            }
            (Role::Init | Role::Main, _) if main_exists => true,
            (_, None | Some(Life::Created | Life::Exited)) => {
                start(input, container, role, sandbox_id, decision);
                false
            }
        };
        if !done && !main_exists {
            return false;
        }
    }
    true
}

fn run_main_container(
    input: &Input<'_>,
    container: &Container,
    sandbox_id: &str,
    decision: &mut Decision,
) {
    let policy = model::restart_policy(input.spec);
    let wanted = match input.observed.newest(&container.name) {
        None => true,
        Some(c) => match c.life {
            Life::Running | Life::Unknown => false,
            Life::Created => true,
            Life::Exited => restarts(policy, c),
        },
    };
    if wanted {
        start(input, container, Role::Main, sandbox_id, decision);
    }
}

/// Starts the container now, or says when.
fn start(
    input: &Input<'_>,
    container: &Container,
    role: Role,
    sandbox_id: &str,
    decision: &mut Decision,
) {
    if let Some(trouble) = input.memory.troubles.get(&container.name)
        && input.now < trouble.retry_at
    {
        decision.wake(trouble.retry_at);
        return;
    }
    let hash = input.hashes.get(&container.name).map_or("", String::as_str);
    let backoff_key = format!("{}_{hash}", container.name);
    let newest = input.observed.newest(&container.name);
    let previous_end = newest.map(|c| c.finished_at.unwrap_or(c.created_at));
    if let Some(end) = previous_end
        && let Some((delay, until)) = input.memory.restarts.wait(&backoff_key, end, input.now)
    {
        decision.waiting.push(Waiting { name: container.name.clone(), delay });
        decision.wake(until);
        return;
    }
    decision.actions.push(Action::StartContainer {
        name: container.name.clone(),
        role,
        attempt: next_attempt(input, &container.name),
        sandbox_id: sandbox_id.to_owned(),
        backoff_key,
        previous_end,
    });
}

/// The number of the next container of this name. What the runtime forgot (it was rebooted, or
/// the record removed) is still known from the status, so that a restart count never falls.
fn next_attempt(input: &Input<'_>, name: &str) -> u32 {
    if let Some(newest) = input.observed.newest(name) {
        return newest.attempt + 1;
    }
    let status = input.memory.last_status.as_ref();
    let known = status.and_then(|status| {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten()).find(|c| c.name == name)
    });
    known
        .filter(|c| {
            c.container_id.as_deref().is_some_and(|id| !id.is_empty())
                || c.last_state.as_ref().is_some_and(|state| state.terminated.is_some())
        })
        .and_then(|c| u32::try_from(c.restart_count).ok())
        .map_or(0, |count| count + 1)
}

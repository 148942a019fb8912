//! Probes: a task per probe of a running container, whose results the pod's worker reads.
//!
//! A result is told at once when it changes. A liveness or startup probe that has failed stays
//! silent until its container was replaced, as upstream has it.

mod counter;
mod exec;
mod http;
mod tcp;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use corten_client::EventType;
use corten_task::{CancellationToken, Tasks};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, PodSpec, PodStatus, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::sync::watch;

use self::counter::Counter;
use crate::cri::Cri;
use crate::pods::model::{self, Life, Observed, ProbeResult, ProbeView, Probes, RuntimeContainer};
use crate::pods::tell::Teller;

/// How often a probe that could not be carried out is tried again at once.
const ATTEMPTS: usize = 3;

/// Which of a container's probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }

    fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
        }
    }

    fn slot(self, view: &mut ProbeView) -> &mut Option<ProbeResult> {
        match self {
            Self::Startup => &mut view.startup,
            Self::Liveness => &mut view.liveness,
            Self::Readiness => &mut view.readiness,
        }
    }
}

/// What came of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    /// It failed, and this is what is told of it.
    Failure(String),
    /// It could not be carried out, which says nothing of the container.
    Error(String),
}

#[derive(Debug)]
struct Running {
    container_id: String,
    /// Cancelled when the container is gone or no probe of it is wanted.
    all: CancellationToken,
    /// Cancelled when the pod ends: only readiness is still told.
    life: CancellationToken,
}

/// The probes of one pod.
#[derive(Debug)]
pub(crate) struct ProbeSet {
    cri: Cri,
    tasks: Tasks,
    running: BTreeMap<String, Running>,
    results: Arc<watch::Sender<Probes>>,
}

impl Drop for ProbeSet {
    fn drop(&mut self) {
        for running in self.running.values() {
            running.all.cancel();
        }
    }
}

impl ProbeSet {
    pub(crate) fn new(cri: Cri, tasks: Tasks) -> Self {
        let (results, _) = watch::channel(Probes::new());
        Self { cri, tasks, running: BTreeMap::new(), results: Arc::new(results) }
    }

    /// Becomes ready when any result changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Probes> {
        self.results.subscribe()
    }

    /// Where the probes stand.
    pub(crate) fn view(&self) -> Probes {
        self.results.borrow().clone()
    }

    /// Starts and stops tasks so that they fit the containers that run. `last` is the status that
    /// was known before: a container that was ready stays so until a probe says otherwise, so that
    /// a restart of the kubelet takes no pod out of its services.
    pub(crate) fn sync(
        &mut self,
        spec: &PodSpec,
        observed: &Observed,
        address: Option<IpAddr>,
        ending: bool,
        last: Option<&PodStatus>,
        teller: &Teller,
    ) {
        let live = |name: &str| observed.newest(name).filter(|c| c.life == Life::Running);
        self.running.retain(|name, running| {
            let keep = live(name).is_some_and(|c| c.id == running.container_id);
            if !keep {
                running.all.cancel();
            }
            keep
        });
        if ending {
            for running in self.running.values() {
                running.life.cancel();
            }
            return;
        }
        for (_, container) in model::containers(spec) {
            let Some(newest) = live(&container.name) else { continue };
            let probed = [Kind::Startup, Kind::Liveness, Kind::Readiness]
                .iter()
                .any(|kind| kind.of(container).is_some());
            if probed && !self.running.contains_key(&container.name) {
                self.start(container, newest, address, last, teller);
            }
        }
    }

    fn start(
        &mut self,
        container: &Container,
        newest: &RuntimeContainer,
        address: Option<IpAddr>,
        last: Option<&PodStatus>,
        teller: &Teller,
    ) {
        let all = self.tasks.token().child_token();
        let life = all.child_token();
        let view = first_view(container, newest, last);
        let done_starting = view.startup.is_none_or(|r| r == ProbeResult::Success);
        self.results.send_modify(|results| {
            results.insert(container.name.clone(), view);
        });
        for kind in [Kind::Startup, Kind::Liveness, Kind::Readiness] {
            let Some(probe) = kind.of(container) else { continue };
            if kind == Kind::Startup && done_starting {
                continue;
            }
            let token = if kind == Kind::Readiness { all.clone() } else { life.clone() };
            let task = Task {
                kind,
                probe: probe.clone(),
                container: container.clone(),
                container_id: newest.id.clone(),
                started_at: newest.started_at.unwrap_or(newest.created_at),
                address,
                cri: self.cri.clone(),
                results: Arc::clone(&self.results),
                teller: teller.clone(),
            };
            self.tasks.spawn("probe", async move {
                token.run_until_cancelled(Box::pin(task.run())).await;
            });
        }
        let running = Running { container_id: newest.id.clone(), all, life };
        self.running.insert(container.name.clone(), running);
    }
}

/// What is taken for granted before the first result.
fn first_view(
    container: &Container,
    newest: &RuntimeContainer,
    last: Option<&PodStatus>,
) -> ProbeView {
    let known = last.into_iter().flat_map(|status| {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    });
    let same = known.into_iter().find(|c| {
        c.name == container.name
            && c.container_id
                .as_deref()
                .is_some_and(|id| id.ends_with(&format!("://{}", newest.id)))
    });
    let was = |held: bool, otherwise| if held { ProbeResult::Success } else { otherwise };
    let started = same.is_some_and(|c| c.started == Some(true));
    let ready = same.is_some_and(|c| c.ready);
    ProbeView {
        container_id: newest.id.clone(),
        startup: container.startup_probe.as_ref().map(|_| was(started, ProbeResult::Unknown)),
        liveness: container.liveness_probe.as_ref().map(|_| ProbeResult::Success),
        readiness: container.readiness_probe.as_ref().map(|_| was(ready, ProbeResult::Failure)),
    }
}

struct Task {
    kind: Kind,
    probe: Probe,
    container: Container,
    container_id: String,
    started_at: Timestamp,
    address: Option<IpAddr>,
    cri: Cri,
    results: Arc<watch::Sender<Probes>>,
    teller: Teller,
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(
        value.and_then(|v| u64::try_from(v).ok()).filter(|v| *v > 0).unwrap_or(default),
    )
}

impl Task {
    async fn run(self) {
        if self.kind != Kind::Startup {
            self.until_started().await;
        }
        let delay = seconds(self.probe.initial_delay_seconds, 0);
        let age = Timestamp::now().duration_since(self.started_at);
        let age = Duration::try_from(age).unwrap_or_default();
        tokio::time::sleep(delay.saturating_sub(age)).await;
        let mut counter = Counter::new(&self.probe, self.current());
        let mut ticks = tokio::time::interval(seconds(self.probe.period_seconds, 10));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let outcome = self.attempt().await;
            self.report(&outcome);
            let Some(result) = counter.record(&outcome) else { continue };
            let settled = match (self.kind, result) {
                (Kind::Startup, _) => true,
                (Kind::Liveness, result) => result == ProbeResult::Failure,
                (Kind::Readiness, _) => false,
            };
            self.publish(result);
            if settled {
                return;
            }
        }
    }

    /// Liveness and readiness are silent until the startup probe, if any, has succeeded.
    async fn until_started(&self) {
        let mut results = self.results.subscribe();
        let started = |results: &Probes| {
            results.get(&self.container.name).is_some_and(|view| {
                view.container_id == self.container_id
                    && view.startup.is_none_or(|r| r == ProbeResult::Success)
            })
        };
        if results.wait_for(started).await.is_err() {
            // The pod's worker has ended; this task is cancelled with it.
            std::future::pending::<()>().await;
        }
    }

    fn current(&self) -> ProbeResult {
        let mut view = self.results.borrow().get(&self.container.name).cloned();
        view.as_mut().and_then(|view| *self.kind.slot(view)).unwrap_or(ProbeResult::Unknown)
    }

    fn publish(&self, result: ProbeResult) {
        self.results.send_if_modified(|results| {
            let Some(view) = results.get_mut(&self.container.name) else { return false };
            if view.container_id != self.container_id || *self.kind.slot(view) == Some(result) {
                return false;
            }
            *self.kind.slot(view) = Some(result);
            true
        });
    }

    async fn attempt(&self) -> Outcome {
        let mut outcome = Outcome::Error(String::new());
        for _ in 0..ATTEMPTS {
            outcome = self.once().await;
            if !matches!(outcome, Outcome::Error(_)) {
                break;
            }
        }
        outcome
    }

    async fn once(&self) -> Outcome {
        let timeout = seconds(self.probe.timeout_seconds, 1);
        if let Some(action) = &self.probe.exec {
            let command = action.command.clone().unwrap_or_default();
            return exec::probe(&self.cri, &self.container_id, &command, timeout).await;
        }
        let host = |given: &Option<String>| {
            let given = given.clone().filter(|host| !host.is_empty());
            given.or_else(|| self.address.map(|ip| ip.to_string()))
        };
        if let Some(action) = &self.probe.http_get {
            return match (host(&action.host), port(&action.port, &self.container)) {
                (Some(host), Some(port)) => http::probe(action, &host, port, timeout).await,
                (None, _) => Outcome::Error("the pod has no address".to_owned()),
                (_, None) => Outcome::Error(unknown_port(&action.port)),
            };
        }
        if let Some(action) = &self.probe.tcp_socket {
            return match (host(&action.host), port(&action.port, &self.container)) {
                (Some(host), Some(port)) => tcp::probe(&host, port, timeout).await,
                (None, _) => Outcome::Error("the pod has no address".to_owned()),
                (_, None) => Outcome::Error(unknown_port(&action.port)),
            };
        }
        Outcome::Error("missing probe handler".to_owned())
    }

    fn report(&self, outcome: &Outcome) {
        let title = self.kind.title();
        let message = match outcome {
            Outcome::Success => return,
            Outcome::Failure(output) => format!("{title} probe failed: {output}"),
            Outcome::Error(output) => {
                format!("{title} probe errored and resulted in unknown state: {output}")
            }
        };
        self.teller.container(&self.container.name, EventType::Warning, "Unhealthy", message);
    }
}

fn unknown_port(port: &IntOrString) -> String {
    match port {
        IntOrString::Int(number) => format!("invalid port number: {number}"),
        IntOrString::String(name) => format!("container has no port named {name}"),
    }
}

/// A port by number, or by the name that the container gives it.
pub(crate) fn port(port: &IntOrString, container: &Container) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|p| p.name.as_ref() == Some(name));
            named.map(|p| p.container_port).or_else(|| name.parse().ok())?
        }
    };
    u16::try_from(number).ok().filter(|port| *port > 0)
}

/// An HTTP GET of a lifecycle hook: the same call as a probe's, without redirects counting.
pub(crate) async fn http_hook(
    action: &k8s_openapi::api::core::v1::HTTPGetAction,
    host: &str,
    port: u16,
    timeout: Duration,
) -> Outcome {
    http::probe(action, host, port, timeout).await
}

//! One worker per pod: it looks, decides, tells the status and acts, one step at a time.
//!
//! While an action runs (a pull, a stop with its grace period) the worker goes on telling the
//! status, and gives the action up where the pod's end was asked for; it never begins a second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use corten_client::EventType;
use corten_task::Tasks;
use futures::FutureExt as _;
use futures::future::{BoxFuture, select_all};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use tokio::sync::{Mutex, Notify, watch};

use super::actor::{Actor, Done, Volumes};
use super::core::{self, Action, Decision, Input, Memory, Waiting};
use super::model::{self, Observed, PodUid, Probes};
use super::observe::{Messages, observe};
use super::status_writer::StatusWriter;
use super::tell::Teller;
use super::{labels, status};
use crate::error::chain;
use crate::host::Host;
use crate::probes::ProbeSet;

/// A look at the runtime even if no event came: events may be lost.
const SAFETY_LOOK: Duration = Duration::from_secs(60);
/// The last status has this long to reach the API server before the pod is deleted there.
const FLUSH_MAX: Duration = Duration::from_secs(10);
/// The longest pause after steps that failed.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What is wanted of a pod.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) pod: Arc<Pod>,
    /// The object is gone from the API server.
    pub(crate) gone: bool,
    /// It was refused at admission: (reason, message).
    pub(crate) refused: Option<(String, String)>,
}

/// The way to a worker.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub(crate) wanted: Arc<watch::Sender<Wanted>>,
    /// Told when the runtime has news of the pod.
    pub(crate) runtime: Arc<Notify>,
}

/// The worker of one pod.
pub(crate) struct Worker {
    host: Arc<Host>,
    uid: PodUid,
    wanted: watch::Receiver<Wanted>,
    runtime: Arc<Notify>,
    tasks: Tasks,
    pod: Arc<Pod>,
    spec: Arc<PodSpec>,
    hashes: BTreeMap<String, String>,
    observed: Arc<Observed>,
    messages: Messages,
    memory: Memory,
    probes: ProbeSet,
    probe_news: watch::Receiver<Probes>,
    writer: StatusWriter,
    teller: Teller,
    volumes: Volumes,
    waiting: Vec<Waiting>,
    /// Steps that failed in a row.
    failures: u32,
    refresh_due: bool,
}

/// Makes a worker and the way to it.
pub(crate) fn new(host: &Arc<Host>, first: Wanted) -> (Worker, Handle) {
    let pod = Arc::clone(&first.pod);
    let uid = model::uid(&pod);
    let tasks = host.tasks.child();
    let (sender, wanted) = watch::channel(first);
    let runtime = Arc::new(Notify::new());
    let handle = Handle { wanted: Arc::new(sender), runtime: Arc::clone(&runtime) };
    let probes = ProbeSet::new(host.cri.clone(), tasks.clone());
    let memory = Memory { last_status: known_status(&pod), ..Memory::default() };
    let spec = Arc::new(pod.spec.clone().unwrap_or_default());
    let worker = Worker {
        host: Arc::clone(host),
        uid,
        wanted,
        runtime,
        hashes: hashes(&spec),
        spec,
        observed: Arc::default(),
        messages: Messages::new(),
        memory,
        probe_news: probes.subscribe(),
        probes,
        writer: StatusWriter::new(host.client.clone(), &pod, &tasks),
        teller: Teller::new(host.recorder.clone(), &pod),
        volumes: Arc::new(Mutex::new(None)),
        waiting: Vec::new(),
        failures: 0,
        refresh_due: true,
        tasks,
        pod,
    };
    (worker, handle)
}

/// The status that the API server has, if a kubelet ever wrote one.
fn known_status(pod: &Pod) -> Option<PodStatus> {
    let status = pod.status.clone()?;
    (status.start_time.is_some() || status.phase.as_deref() == Some("Failed")).then_some(status)
}

fn hashes(spec: &PodSpec) -> BTreeMap<String, String> {
    model::containers(spec).map(|(_, c)| (c.name.clone(), labels::container_hash(c))).collect()
}

impl Worker {
    /// Works until the pod is gone or the kubelet ends.
    pub(crate) async fn run(mut self) {
        let mut look_now = true;
        loop {
            self.take_wanted();
            if look_now && let Err(pause) = self.look().await {
                self.pause(pause).await;
                continue;
            }
            let decision = self.decide();
            self.sync_probes();
            self.tell_status(&decision);
            if decision.finished {
                break;
            }
            let refresh = self.refresh_wanted();
            if decision.actions.is_empty() && !refresh {
                look_now = self.wait(decision.wake_at).await;
                continue;
            }
            let failed = self.act(decision.actions, refresh).await;
            look_now = true;
            self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
            if failed {
                let pause = Duration::from_secs(1 << self.failures.min(5)).min(PAUSE_MAX);
                self.pause(pause).await;
            }
        }
        self.tasks.cancel();
    }

    fn take_wanted(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        self.memory.gone_from_api |= wanted.gone;
        if self.memory.failed.is_none() {
            self.memory.failed = wanted.refused;
        }
        if Arc::ptr_eq(&wanted.pod, &self.pod) {
            return;
        }
        let told = |pod: &Pod| (pod.metadata.labels.clone(), pod.metadata.annotations.clone());
        self.refresh_due |= told(&self.pod) != told(&wanted.pod);
        self.pod = wanted.pod;
        self.spec = Arc::new(self.pod.spec.clone().unwrap_or_default());
        self.hashes = hashes(&self.spec);
        self.teller.update(&self.pod);
        self.restore_status();
    }

    /// Somebody else changed what this kubelet said of the pod: it is said again.
    fn restore_status(&self) {
        let Some(mine) = &self.memory.last_status else { return };
        let Some(theirs) = &self.pod.status else { return };
        let is_ready = |status: &PodStatus| {
            let conditions = status.conditions.iter().flatten();
            conditions.filter(|c| c.type_ == "Ready").map(|c| c.status.clone()).next()
        };
        let differs = mine.phase != theirs.phase || is_ready(mine) != is_ready(theirs);
        if differs && self.writer.is_news(self.pod.metadata.resource_version.as_deref()) {
            self.writer.put(mine);
        }
    }

    async fn look(&mut self) -> Result<(), Duration> {
        let logs = &self.host.config.pod_logs_dir;
        match observe(&self.host.cri, &self.uid, logs, &mut self.messages).await {
            Ok(observed) => {
                self.observed = Arc::new(observed);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(pod = %self.uid, cause = chain(&error), "cannot see the pod's containers");
                Err(Duration::from_secs(1))
            }
        }
    }

    fn with_input<T>(&self, probes: &Probes, f: impl FnOnce(&Input<'_>) -> T) -> T {
        f(&Input {
            pod: &self.pod,
            spec: &self.spec,
            observed: &self.observed,
            probes,
            memory: &self.memory,
            hashes: &self.hashes,
            now: Timestamp::now(),
        })
    }

    fn decide(&mut self) -> Decision {
        let probes = self.probes.view();
        let decision = self.with_input(&probes, core::decide);
        for waiting in &decision.waiting {
            if !self.waiting.contains(waiting) {
                let message = format!(
                    "Back-off restarting failed container {} in pod {}_{}({})",
                    waiting.name,
                    self.pod.metadata.name.as_deref().unwrap_or_default(),
                    self.pod.metadata.namespace.as_deref().unwrap_or_default(),
                    self.uid,
                );
                self.teller.container(&waiting.name, EventType::Warning, "BackOff", message);
            }
        }
        self.waiting.clone_from(&decision.waiting);
        decision
    }

    fn sync_probes(&mut self) {
        let view = Probes::new();
        let ending = self
            .with_input(&view, |input| core::ending(input).is_some() || core::is_terminal(input));
        let address = if self.spec.host_network == Some(true) {
            self.host.facts.node_ip.parse().ok()
        } else {
            let sandbox = self.observed.sandbox();
            sandbox.and_then(|s| s.ips.first()).and_then(|ip| ip.parse().ok())
        };
        let last = self.memory.last_status.as_ref();
        self.probes.sync(&self.spec, &self.observed, address, ending, last, &self.teller);
    }

    fn tell_status(&mut self, decision: &Decision) {
        if self.memory.gone_from_api && decision.finished {
            return;
        }
        let probes = self.probes.view();
        let made = self.with_input(&probes, |input| {
            status::pod_status(input, &decision.waiting, &self.host.facts)
        });
        if self.memory.last_status.as_ref() == Some(&made) {
            return;
        }
        self.memory.last_status = Some(made);
        if let (Some(status), false) = (&self.memory.last_status, self.memory.gone_from_api) {
            self.writer.put(status);
        }
    }

    /// Whether volumes are to be made or brought up to date for containers that run.
    fn refresh_wanted(&self) -> bool {
        let probes = Probes::new();
        self.refresh_due
            && self.observed.sandbox().is_some_and(|s| s.ready)
            && self.spec.volumes.as_ref().is_some_and(|v| !v.is_empty())
            && self.with_input(&probes, |input| {
                core::ending(input).is_none() && !core::is_terminal(input)
            })
    }

    /// Carries out the actions in order. True if any must be tried again after a pause.
    async fn act(&mut self, actions: Vec<Action>, refresh: bool) -> bool {
        let interrupt = self.tasks.token().child_token();
        let actor = Actor {
            host: Arc::clone(&self.host),
            pod: Arc::clone(&self.pod),
            spec: Arc::clone(&self.spec),
            uid: self.uid.clone(),
            observed: Arc::clone(&self.observed),
            volumes: Arc::clone(&self.volumes),
            teller: self.teller.clone(),
            interrupt: interrupt.clone(),
        };
        let mut failed = false;
        if refresh {
            self.refresh_due = false;
            let made = self.watch_while(actor.make_volumes(true).boxed(), &interrupt).await;
            if let Err(trouble) = made {
                tracing::debug!(pod = %self.uid, message = trouble.message, "volumes not refreshed");
                self.refresh_due = true;
                failed = true;
            }
        }
        for action in actions {
            self.memory.note(&action, Timestamp::now());
            if action == Action::DeleteFromApi {
                self.writer.flush(FLUSH_MAX).await;
            }
            let done = self.watch_while(actor.perform(&action).boxed(), &interrupt).await;
            match done {
                Done::Ok => {}
                Done::Container(name, trouble) => {
                    self.memory.troubles.insert(name, trouble);
                }
                Done::Pod(trouble) => {
                    self.memory.pod_trouble = Some(trouble);
                    break;
                }
                Done::Again(cause) => {
                    tracing::warn!(pod = %self.uid, ?action, cause, "to be tried again");
                    failed = true;
                    break;
                }
                Done::Released => self.memory.released = true,
                Done::GoneFromApi => self.memory.gone_from_api = true,
                Done::Interrupted => break,
            }
        }
        failed
    }

    /// Waits for an action, and meanwhile tells what changes.
    async fn watch_while<T>(
        &mut self,
        mut action: BoxFuture<'_, T>,
        interrupt: &corten_task::CancellationToken,
    ) -> T {
        let runtime = Arc::clone(&self.runtime);
        let mut wanted = self.wanted.clone();
        let mut probe_news = self.probe_news.clone();
        let before = self.grace();
        loop {
            tokio::select! {
                done = &mut action => return done,
                changed = wanted.changed() => {
                    if changed.is_err() {
                        return action.await;
                    }
                    let now = wanted_grace(&wanted.borrow_and_update());
                    if now.is_some() && (before.is_none() || now < before) {
                        interrupt.cancel();
                    }
                }
                () = runtime.notified() => {
                    if self.look().await.is_ok() {
                        self.tell_meanwhile();
                    }
                }
                _ = probe_news.changed() => self.tell_meanwhile(),
            }
        }
    }

    fn tell_meanwhile(&mut self) {
        self.sync_probes();
        let waiting = Decision { waiting: self.waiting.clone(), ..Decision::default() };
        self.tell_status(&waiting);
    }

    /// How long the pod may take to end, if it is to end.
    fn grace(&self) -> Option<i64> {
        wanted_grace(&Wanted {
            pod: Arc::clone(&self.pod),
            gone: self.memory.gone_from_api,
            refused: None,
        })
    }

    /// Waits for news or the time to look again. True if the runtime is to be looked at.
    async fn wait(&mut self, wake_at: Option<Timestamp>) -> bool {
        let until = wake_at.map_or(SAFETY_LOOK, |at| {
            let left = at.duration_since(Timestamp::now()).max(SignedDuration::ZERO);
            // Rounded up, so that the time has come when the timer fires.
            Duration::try_from(left).unwrap_or_default() + Duration::from_millis(1)
        });
        let timer = tokio::time::sleep(until.min(SAFETY_LOOK));
        let volumes = Arc::clone(&self.volumes);
        tokio::select! {
            changed = self.wanted.changed() => {
                if changed.is_err() {
                    // Nobody can want anything any more: the kubelet ends.
                    std::future::pending::<()>().await;
                }
                false
            }
            () = self.runtime.notified() => true,
            _ = self.probe_news.changed() => false,
            () = volumes_change(volumes) => {
                self.refresh_due = true;
                false
            }
            () = timer => true,
        }
    }

    async fn pause(&mut self, pause: Duration) {
        let mut wanted = self.wanted.clone();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = wanted.changed() => {}
        }
    }
}

fn wanted_grace(wanted: &Wanted) -> Option<i64> {
    let spec_grace = wanted.pod.spec.as_ref().map_or(30, model::spec_grace_seconds);
    if wanted.pod.metadata.deletion_timestamp.is_some() {
        return Some(wanted.pod.metadata.deletion_grace_period_seconds.unwrap_or(spec_grace));
    }
    wanted.gone.then_some(spec_grace)
}

/// Ends when a volume is to be refreshed: an object behind it changed, or its time has come.
async fn volumes_change(volumes: Volumes) {
    let mut news: Vec<BoxFuture<'static, ()>> = Vec::new();
    {
        let made = volumes.lock().await;
        for ready in made.iter().flat_map(BTreeMap::values) {
            news.extend(ready.config_maps.iter().map(|since| since.clone().changed().boxed()));
            news.extend(ready.secrets.iter().map(|since| since.clone().changed().boxed()));
            if let Some(at) = ready.refresh_at {
                let left = at.duration_since(Timestamp::now()).max(SignedDuration::ZERO);
                let left = Duration::try_from(left).unwrap_or_default();
                news.push(tokio::time::sleep(left).boxed());
            }
        }
    }
    if news.is_empty() {
        std::future::pending::<()>().await;
    }
    select_all(news).await;
}

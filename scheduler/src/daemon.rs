//! The shell around the [`Engine`]: informers in, bindings, conditions and events out.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use corten_client::{Change, EventType, Informers, Recorder, Source};
use corten_task::Tasks;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::Config;
use crate::engine::{Bound, Decision, Engine};
use crate::framework::BindError;
use crate::plugins::{BIND, ignored_preferences};
use crate::pod::{PodUid, full_name, reference, uid};

/// Conditions that wait to be written; more are dropped, as the pod is tried again anyway.
const CONDITIONS_MAX: usize = 1024;
/// Decisions in a row before what was observed meanwhile is looked at.
const DECISIONS_IN_A_ROW_MAX: usize = 64;

/// The scheduler can't run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An informer ended although the scheduler was not told to.
    #[error("the watch of {kind} ended")]
    WatchEnded {
        /// The kind that was watched.
        kind: &'static str,
    },
    /// A setting that can't work.
    #[error("{field}: {problem}")]
    Config {
        /// The setting.
        field: &'static str,
        /// What is wrong, and what would be right.
        problem: &'static str,
    },
}

/// Places pods until `tasks` is cancelled.
///
/// # Errors
/// [`Error`] when a setting can't work, or when a watch ended by itself.
pub async fn run(
    config: Config,
    client: Client,
    informers: Informers,
    tasks: Tasks,
) -> Result<(), Error> {
    if config.concurrent_binds_max == 0 {
        let problem = "must be at least 1";
        return Err(Error::Config { field: "concurrentBindsMax", problem });
    }
    let token = tasks.token();
    let daemon = Daemon::new(&config, client, tasks);
    token.run_until_cancelled(daemon.follow(&informers)).await.unwrap_or(Ok(()))
}

struct Daemon {
    engine: Engine,
    client: Client,
    tasks: Tasks,
    recorder: Recorder,
    started: Instant,
    binds_max: usize,
    binds: usize,
    done: mpsc::Sender<(PodUid, Bound)>,
    results: mpsc::Receiver<(PodUid, Bound)>,
    conditions: mpsc::Sender<Unscheduled>,
}

/// A condition `PodScheduled=False` to be written.
struct Unscheduled {
    pod: Arc<Pod>,
    reason: &'static str,
    message: String,
}

impl Daemon {
    fn new(config: &Config, client: Client, tasks: Tasks) -> Self {
        let source = Source { component: config.scheduler_name.clone(), host: None };
        let recorder = Recorder::new(client.clone(), source, &tasks);
        let (done, results) = mpsc::channel(config.concurrent_binds_max);
        let (conditions, to_write) = mpsc::channel(CONDITIONS_MAX);
        tasks.spawn("scheduler conditions", write_conditions(client.clone(), to_write));
        Self {
            engine: Engine::new(config),
            client,
            tasks,
            recorder,
            started: Instant::now(),
            binds_max: config.concurrent_binds_max,
            binds: 0,
            done,
            results,
            conditions,
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    async fn follow(mut self, informers: &Informers) -> Result<(), Error> {
        let (nodes, pods) = (informers.get::<Node>(), informers.get::<Pod>());
        let mut node_changes = pin!(nodes.subscribe());
        let mut pod_changes = pin!(pods.subscribe());
        // Not before both are complete: a node without its pods looks empty.
        nodes.ready().await;
        pods.ready().await;
        tracing::info!("scheduling");
        loop {
            let more = self.decide();
            let wake = self.engine.wake_at().filter(|_| self.binds < self.binds_max);
            let until_wake = async {
                match wake {
                    _ if more => tokio::task::yield_now().await,
                    Some(at) => tokio::time::sleep_until(self.started + at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                Some((uid, outcome)) = self.results.recv() => {
                    self.binds -= 1;
                    let now = self.now();
                    self.engine.bound(&uid, outcome, now);
                }
                change = node_changes.next() => {
                    let now = self.now();
                    match change.ok_or(Error::WatchEnded { kind: "nodes" })? {
                        Change::Applied(node) => self.engine.node_applied(node, now),
                        Change::Deleted(node) => {
                            let name = node.metadata.name.as_deref().unwrap_or_default();
                            self.engine.node_deleted(name);
                        }
                        Change::Restarted => {
                            self.engine.replace(nodes.store().state(), &pods.store().state(), now);
                        }
                    }
                }
                change = pod_changes.next() => {
                    let now = self.now();
                    match change.ok_or(Error::WatchEnded { kind: "pods" })? {
                        Change::Applied(pod) => self.engine.pod_applied(&pod, now),
                        Change::Deleted(pod) => self.engine.pod_deleted(&pod, now),
                        Change::Restarted => {
                            self.engine.replace(nodes.store().state(), &pods.store().state(), now);
                        }
                    }
                }
                () = until_wake => {}
            }
        }
    }

    /// Carries out what there is to decide; says whether there may be more at once.
    fn decide(&mut self) -> bool {
        for _ in 0..DECISIONS_IN_A_ROW_MAX {
            if self.binds >= self.binds_max {
                return false;
            }
            let now = self.now();
            match self.engine.next(now) {
                Some(Decision::Bind { pod, node }) => self.bind(pod, node),
                Some(Decision::Reject { pod, reason, message }) => {
                    self.reject(pod, reason, message);
                }
                None => return false,
            }
        }
        true
    }

    fn bind(&mut self, pod: Arc<Pod>, node: String) {
        self.binds += 1;
        let (client, recorder, done) =
            (self.client.clone(), self.recorder.clone(), self.done.clone());
        self.tasks.spawn("bind", async move {
            let outcome = match BIND.bind(&client, &pod, &node).await {
                Ok(()) => {
                    tell_bound(&recorder, &pod, &node);
                    Bound::Done
                }
                Err(BindError::Overtaken { pod }) => {
                    tracing::debug!(pod, "gone or bound already");
                    Bound::Overtaken
                }
                Err(error @ (BindError::Failed { .. } | BindError::Timeout { .. })) => {
                    tell_failed(&recorder, &pod, &error);
                    Bound::Failed
                }
            };
            // Nobody listens any more when the scheduler is ending.
            done.send((uid(&pod), outcome)).await.unwrap_or_default();
        });
    }

    fn reject(&self, pod: Arc<Pod>, reason: &'static str, message: String) {
        tracing::debug!(pod = full_name(&pod), reason, message, "not scheduled");
        if reason == "Unschedulable" {
            let warning = EventType::Warning;
            self.recorder.event(&reference(&pod), warning, "FailedScheduling", message.clone());
        }
        if has_condition(&pod, reason, &message) {
            return;
        }
        if let Err(error) = self.conditions.try_send(Unscheduled { pod, reason, message }) {
            tracing::debug!(cause = %error, "condition dropped");
        }
    }
}

fn tell_bound(recorder: &Recorder, pod: &Pod, node: &str) {
    let message = format!("Successfully assigned {} to {node}", full_name(pod));
    recorder.event(&reference(pod), EventType::Normal, "Scheduled", message);
    tracing::info!(pod = full_name(pod), node, "bound");
    let ignored = pod.spec.as_ref().map(ignored_preferences).unwrap_or_default();
    if !ignored.is_empty() {
        let message =
            format!("this scheduler does not support the preference {}", ignored.join(", "));
        recorder.event(&reference(pod), EventType::Warning, "PreferenceIgnored", message);
    }
}

fn tell_failed(recorder: &Recorder, pod: &Pod, error: &BindError) {
    tracing::warn!(error = error as &dyn std::error::Error, "binding failed");
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    let message = format!("binding rejected: {error}{}", cause.unwrap_or_default());
    recorder.event(&reference(pod), EventType::Warning, "FailedScheduling", message);
}

fn has_condition(pod: &Pod, reason: &str, message: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some(reason)
            && condition.message.as_deref() == Some(message)
    })
}

async fn write_conditions(client: Client, mut to_write: mpsc::Receiver<Unscheduled>) {
    while let Some(unscheduled) = to_write.recv().await {
        let pod = &unscheduled.pod;
        if let Err(error) = write_condition(&client, &unscheduled).await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(pod = full_name(pod), error, "condition not written");
        }
    }
}

async fn write_condition(client: &Client, unscheduled: &Unscheduled) -> Result<(), kube::Error> {
    let Unscheduled { pod, reason, message } = unscheduled;
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let since = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
        .and_then(|condition| condition.last_transition_time.clone())
        .map_or_else(Timestamp::now, |time| time.0);
    let condition = serde_json::json!({
        "type": "PodScheduled",
        "status": "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(since),
    });
    let patch = serde_json::json!({
        // Not another pod of the same name.
        "metadata": { "uid": pod.metadata.uid },
        "status": { "conditions": [condition] },
    });
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let params = PatchParams::default();
    api.patch_status(name, &params, &Patch::Strategic(patch)).await.map(drop)
}

//! Pods: one worker each, and the dispatch of news to them.

mod actor;
mod admission;
pub(crate) mod backoff;
pub(crate) mod core;
mod cri_config;
mod dns;
pub(crate) mod downward;
mod env;
mod hosts;
pub(crate) mod labels;
mod logs;
pub(crate) mod model;
mod mounts;
mod observe;
mod orphans;
pub(crate) mod resources;
mod runtime_events;
mod security;
#[cfg(test)]
mod simulation;
mod start;
pub(crate) mod status;
mod status_writer;
mod stop;
pub(crate) mod tell;
mod termination_message;
mod worker;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use corten_client::{Change, EventType, Informer};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc;

use self::model::PodUid;
use self::runtime_events::News;
use self::tell::Teller;
use self::worker::{Handle, Wanted};
use crate::host::Host;

/// News that wait to be dispatched; whoever brings more waits.
const NEWS_MAX: usize = 1024;
/// How often what no pod owns is looked for.
const ORPHANS_INTERVAL: Duration = Duration::from_secs(60);

/// Runs the pods of this node until cancelled; containers go on without it.
pub(crate) async fn run(host: Arc<Host>, pods: Informer<Pod>) {
    pods.ready().await;
    let (tell_done, mut done) = mpsc::channel(NEWS_MAX);
    let (tell_news, mut news) = mpsc::channel(NEWS_MAX);
    host.tasks.spawn("container events", runtime_events::follow(host.cri.clone(), tell_news));
    let mut dispatcher = Dispatcher { host, pods, workers: HashMap::new(), tell_done };
    let mut changes = std::pin::pin!(dispatcher.pods.subscribe());
    let mut orphans = tokio::time::interval(ORPHANS_INTERVAL);
    loop {
        tokio::select! {
            change = changes.next() => match change {
                Some(Change::Applied(pod)) => dispatcher.apply(pod),
                Some(Change::Deleted(pod)) => dispatcher.gone(&model::uid(&pod)),
                Some(Change::Restarted) => dispatcher.restart(),
                None => return,
            },
            Some(news) = news.recv() => dispatcher.runtime_news(&news),
            Some(uid) = done.recv() => {
                dispatcher.workers.remove(&uid);
            }
            _ = orphans.tick() => dispatcher.clean_orphans(),
        }
    }
}

struct Dispatcher {
    host: Arc<Host>,
    pods: Informer<Pod>,
    workers: HashMap<PodUid, Handle>,
    tell_done: mpsc::Sender<PodUid>,
}

impl Dispatcher {
    fn apply(&mut self, pod: Arc<Pod>) {
        let uid = model::uid(&pod);
        if let Some(handle) = self.workers.get(&uid) {
            handle.wanted.send_modify(|wanted| wanted.pod = pod);
            return;
        }
        let refused = self.admit(&pod);
        let wanted = Wanted { pod, gone: false, refused };
        let (worker, handle) = worker::new(&self.host, wanted);
        let done = self.tell_done.clone();
        self.workers.insert(uid.clone(), handle);
        self.host.tasks.spawn("pod worker", async move {
            worker.run().await;
            if done.send(uid).await.is_err() {
                tracing::debug!("a pod worker ended after the dispatcher");
            }
        });
    }

    /// Why the pod cannot run here, if it cannot. What was admitted once stays so.
    fn admit(&self, pod: &Pod) -> Option<(String, String)> {
        if pod.status.as_ref().is_some_and(|status| status.start_time.is_some()) {
            return None;
        }
        let others: Vec<Arc<Pod>> =
            self.workers.values().map(|handle| Arc::clone(&handle.wanted.borrow().pod)).collect();
        let verdict = admission::admit(pod, &others, &self.host);
        let teller = Teller::new(self.host.recorder.clone(), pod);
        for warning in &verdict.warnings {
            teller.pod(EventType::Warning, "FieldNotHonoured", warning.clone());
        }
        if let Some((reason, message)) = &verdict.refusal {
            teller.pod(EventType::Warning, reason, message.clone());
        }
        verdict.refusal
    }

    fn gone(&mut self, uid: &PodUid) {
        if let Some(handle) = self.workers.get(uid) {
            handle.wanted.send_modify(|wanted| wanted.gone = true);
        }
    }

    /// Anything may have changed: every pod of the store is applied, every other one is gone.
    fn restart(&mut self) {
        let mut pods = self.pods.store().state();
        pods.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|t| t.0));
        let known: std::collections::HashSet<PodUid> =
            pods.iter().map(|pod| model::uid(pod)).collect();
        let gone: Vec<PodUid> =
            self.workers.keys().filter(|uid| !known.contains(uid)).cloned().collect();
        for uid in gone {
            self.gone(&uid);
        }
        for pod in pods {
            self.apply(pod);
        }
    }

    fn runtime_news(&self, news: &News) {
        match news {
            News::Of(uid) => {
                if let Some(handle) = self.workers.get(uid) {
                    handle.runtime.notify_one();
                }
            }
            News::Any => {
                for handle in self.workers.values() {
                    handle.runtime.notify_one();
                }
            }
        }
    }

    fn clean_orphans(&self) {
        let known = self.workers.keys().cloned().collect();
        let host = Arc::clone(&self.host);
        self.host.tasks.spawn("orphaned pods", orphans::clean(host, known));
    }
}

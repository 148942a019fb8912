//! Events: what `kubectl describe` shows below an object.

use std::collections::{HashMap, VecDeque};

use corten_task::Tasks;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use tokio::sync::mpsc;

/// Events that wait to be sent; more are dropped, with a count in the log.
const QUEUE_MAX: usize = 1000;
/// Events that a repetition is recognised among.
const KNOWN_MAX: usize = 4096;
/// The API server refuses a longer message.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Whether an event is expected or asks for attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    /// Information.
    Normal,
    /// Something an operator may want to act on.
    Warning,
}

impl EventType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Who tells.
#[derive(Debug, Clone)]
pub struct Source {
    /// The component, such as `kubelet`.
    pub component: String,
    /// The node that it runs on, where that matters.
    pub host: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    uid: String,
    namespace: String,
    name: String,
    field_path: String,
    kind: EventType,
    reason: String,
    message: String,
}

#[derive(Debug)]
struct Told {
    key: Key,
    regarding: ObjectReference,
}

/// Posts events in the background. A repetition raises the count of the first instead of making
/// another. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Told>,
}

impl Recorder {
    /// A recorder that posts through `client` until `tasks` ends.
    #[must_use]
    pub fn new(client: kube::Client, source: Source, tasks: &Tasks) -> Self {
        let (queue, told) = mpsc::channel(QUEUE_MAX);
        tasks.spawn("event recorder", Poster::new(client, source).run(told));
        Self { queue }
    }

    /// Queues an event about `regarding`; never waits. The message is cut at 1,024 bytes.
    pub fn event(
        &self,
        regarding: &ObjectReference,
        kind: EventType,
        reason: &str,
        message: impl Into<String>,
    ) {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let key = Key {
            uid: text(&regarding.uid),
            namespace: text(&regarding.namespace),
            name: text(&regarding.name),
            field_path: text(&regarding.field_path),
            kind,
            reason: reason.to_owned(),
            message,
        };
        if let Err(error) = self.queue.try_send(Told { key, regarding: regarding.clone() }) {
            tracing::debug!(reason, cause = %error, "event dropped");
        }
    }
}

/// Where an event went that may repeat.
#[derive(Debug)]
struct Posted {
    namespace: String,
    name: String,
    count: i32,
}

struct Poster {
    client: kube::Client,
    source: Source,
    posted: HashMap<Key, Posted>,
    order: VecDeque<Key>,
}

impl Poster {
    fn new(client: kube::Client, source: Source) -> Self {
        Self { client, source, posted: HashMap::new(), order: VecDeque::new() }
    }

    async fn run(mut self, mut told: mpsc::Receiver<Told>) {
        while let Some(Told { key, regarding }) = told.recv().await {
            let reason = key.reason.clone();
            if let Err(error) = self.post(key, regarding).await {
                tracing::debug!(reason, error = &error as &dyn std::error::Error, "event lost");
            }
        }
    }

    async fn post(&mut self, key: Key, regarding: ObjectReference) -> Result<(), kube::Error> {
        let now = Time(k8s_openapi::jiff::Timestamp::now());
        if let Some(known) = self.posted.get_mut(&key) {
            known.count += 1;
            let patch = serde_json::json!({ "count": known.count, "lastTimestamp": now });
            let api = Api::<Event>::namespaced(self.client.clone(), &known.namespace);
            match api.patch(&known.name, &PatchParams::default(), &Patch::Merge(patch)).await {
                // It has expired at the server: begin anew.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                outcome => return outcome.map(drop),
            }
        }
        let event = self.first(&key, regarding, now);
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let name = event.metadata.name.clone().unwrap_or_default();
        let api = Api::<Event>::namespaced(self.client.clone(), &namespace);
        api.create(&PostParams::default(), &event).await?;
        self.remember(key, Posted { namespace, name, count: 1 });
        Ok(())
    }

    fn first(&self, key: &Key, regarding: ObjectReference, now: Time) -> Event {
        // Events about cluster-scoped objects live in the namespace `default`.
        let namespace = if key.namespace.is_empty() { "default" } else { &key.namespace };
        let stamp = now.0.as_nanosecond();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{stamp:x}", key.name)),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            involved_object: regarding,
            reason: Some(key.reason.clone()),
            message: Some(key.message.clone()),
            type_: Some(key.kind.as_str().to_owned()),
            source: Some(EventSource {
                component: Some(self.source.component.clone()),
                host: self.source.host.clone(),
            }),
            reporting_component: Some(self.source.component.clone()),
            reporting_instance: self.source.host.clone(),
            count: Some(1),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            ..Event::default()
        }
    }

    fn remember(&mut self, key: Key, posted: Posted) {
        if self.posted.insert(key.clone(), posted).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > KNOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.posted.remove(&oldest);
        }
    }
}

//! One watch and one store per kind and process.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use corten_task::Tasks;
use futures::{Stream, StreamExt as _, stream};
use kube::runtime::reflector::store::{Store, Writer};
use kube::runtime::reflector::{Lookup, ObjectRef};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

/// How many changes a subscriber may be behind before it is told to read the store again.
const CHANGES_MAX: usize = 4096;

/// What an informer can watch.
pub trait Watched:
    kube::Resource<DynamicType = ()>
    + Lookup<DynamicType = ()>
    + Clone
    + DeserializeOwned
    + fmt::Debug
    + Send
    + Sync
    + 'static
{
}

impl<K> Watched for K where
    K: kube::Resource<DynamicType = ()>
        + Lookup<DynamicType = ()>
        + Clone
        + DeserializeOwned
        + fmt::Debug
        + Send
        + Sync
        + 'static
{
}

/// What happened to an informer's store.
#[derive(Debug)]
pub enum Change<K> {
    /// An object is new or was modified.
    Applied(Arc<K>),
    /// An object is gone; this was its last state.
    Deleted(Arc<K>),
    /// The store was filled anew, or this subscriber fell behind: any object may have changed.
    Restarted,
}

impl<K> Clone for Change<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Applied(object) => Self::Applied(Arc::clone(object)),
            Self::Deleted(object) => Self::Deleted(Arc::clone(object)),
            Self::Restarted => Self::Restarted,
        }
    }
}

/// The informers of a process, made on first use and shared from then on.
#[derive(Clone)]
pub struct Informers {
    client: kube::Client,
    tasks: Tasks,
    started: Arc<Mutex<Started>>,
}

/// An `Informer<K>` behind each key: the type `K` and the field selector.
type Started = HashMap<(TypeId, String), Box<dyn Any + Send + Sync>>;

impl fmt::Debug for Informers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Informers").finish_non_exhaustive()
    }
}

impl Informers {
    /// No informer runs yet; those that will, watch through `client` and end with `tasks`.
    #[must_use]
    pub fn new(client: kube::Client, tasks: Tasks) -> Self {
        Self { client, tasks, started: Arc::default() }
    }

    /// The informer of all objects of a kind, in all namespaces.
    #[must_use]
    pub fn get<K: Watched>(&self) -> Informer<K> {
        self.select("")
    }

    /// The informer of the objects of a kind that a field selector matches, such as
    /// `spec.nodeName=n1`.
    #[must_use]
    pub fn select<K: Watched>(&self, fields: &str) -> Informer<K> {
        let key = (TypeId::of::<K>(), fields.to_owned());
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let any = started.entry(key).or_insert_with(|| {
            let config = watcher::Config::default();
            let config = if fields.is_empty() { config } else { config.fields(fields) };
            Box::new(Informer::<K>::start(self.client.clone(), config, &self.tasks))
        });
        any.downcast_ref::<Informer<K>>()
            .expect("an entry's value has the type that its key names")
            .clone()
    }
}

/// A kind's store and its changes. Clones share both.
#[derive(Debug)]
pub struct Informer<K: Lookup<DynamicType = ()> + Clone + 'static>
where
    K::DynamicType: Hash + Eq,
{
    store: Store<K>,
    changes: broadcast::Sender<Change<K>>,
    /// Whether the store has been filled once. `Store::wait_until_ready` wakes only one of several
    /// waiting tasks (kube-runtime 5.0 polls a single oneshot receiver for all of them).
    filled: watch::Sender<bool>,
}

impl<K: Watched> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            changes: self.changes.clone(),
            filled: self.filled.clone(),
        }
    }
}

impl<K: Watched> Informer<K> {
    fn start(client: kube::Client, config: watcher::Config, tasks: &Tasks) -> Self {
        let writer = Writer::<K>::default();
        let store = writer.as_reader();
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        let informer = Self { store, changes, filled: watch::Sender::new(false) };
        let fed = informer.clone();
        tasks.spawn("informer", async move { fed.feed(client, config, writer).await });
        informer
    }

    /// Follows the watch for ever; errors are logged and retried with back-off.
    async fn feed(&self, client: kube::Client, config: watcher::Config, mut writer: Writer<K>) {
        let api = kube::Api::<K>::all(client);
        let mut events = watcher(api, config).default_backoff().boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.apply(&mut writer, &event),
                Err(error) => {
                    let kind = <K as kube::Resource>::kind(&());
                    tracing::warn!(%kind, error = &error as &dyn std::error::Error, "watch failed");
                }
            }
        }
    }

    fn apply(&self, writer: &mut Writer<K>, event: &watcher::Event<K>) {
        let last = match event {
            watcher::Event::Delete(object) => self.store.get(&ObjectRef::from_obj(object)),
            watcher::Event::Apply(_)
            | watcher::Event::Init
            | watcher::Event::InitApply(_)
            | watcher::Event::InitDone => None,
        };
        writer.apply_watcher_event(event);
        let change = match event {
            watcher::Event::Apply(object) => {
                self.store.get(&ObjectRef::from_obj(object)).map(Change::Applied)
            }
            watcher::Event::Delete(object) => {
                Some(Change::Deleted(last.unwrap_or_else(|| Arc::new(object.clone()))))
            }
            watcher::Event::InitDone => {
                self.filled.send_replace(true);
                Some(Change::Restarted)
            }
            watcher::Event::Init | watcher::Event::InitApply(_) => None,
        };
        if let Some(change) = change {
            // An error only says that nobody is subscribed.
            self.changes.send(change).unwrap_or_default();
        }
    }

    /// What is known now. Empty until [`Informer::ready`].
    #[must_use]
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// One object, by name and, for a namespaced kind, namespace.
    #[must_use]
    pub fn object(&self, namespace: Option<&str>, name: &str) -> Option<Arc<K>> {
        let mut key = ObjectRef::<K>::new(name);
        if let Some(namespace) = namespace {
            key = key.within(namespace);
        }
        self.store.get(&key)
    }

    /// Waits until the store has been filled once; for ever if the server can't be reached.
    pub async fn ready(&self) {
        if self.filled.subscribe().wait_for(|filled| *filled).await.is_err() {
            // Can't be, as the sender is held here; whoever waits would be cancelled anyway.
            std::future::pending::<()>().await;
        }
    }

    /// The changes from now on, beginning with [`Change::Restarted`]: read the store then.
    pub fn subscribe(&self) -> impl Stream<Item = Change<K>> + Send + use<K> {
        let receiver = self.changes.subscribe();
        let later = stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(change) => Some((change, receiver)),
                Err(RecvError::Lagged(missed)) => {
                    tracing::debug!(kind = %<K as kube::Resource>::kind(&()), missed, "subscriber fell behind");
                    Some((Change::Restarted, receiver))
                }
                Err(RecvError::Closed) => None,
            }
        });
        stream::once(async { Change::Restarted }).chain(later)
    }
}

#[cfg(test)]
mod tests;

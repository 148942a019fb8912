//! What all controllers share: watches that name keys, a queue of them, workers.

mod queue;
mod writes;

use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use corten_client::{Change, Informer, Watched};
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _, join_all};

use crate::context::Context;
use crate::error::SyncError;
use queue::Queue;
pub(crate) use writes::Writes;

/// When a key is looked at again while the cache does not show the controller's own writes. Their
/// arrival wakes the key too; this is for writes that never show.
const STALE_RETRY: Duration = Duration::from_millis(500);

/// What a key names.
pub(crate) trait QueueKey:
    Clone + Eq + Hash + Ord + Debug + Display + Send + Sync + 'static
{
}
impl<K: Clone + Eq + Hash + Ord + Debug + Display + Send + Sync + 'static> QueueKey for K {}

/// What to do with a key after it was reconciled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing until something changes.
    Done,
    /// Look again after this time.
    After(Duration),
}

/// A controller.
pub(crate) trait Controller: Send + Sync + 'static {
    /// What it reconciles.
    type Key: QueueKey;

    /// Its name in the log.
    fn name(&self) -> &'static str;

    /// The keys of everything there is; they are queued at the start and after a watch restarted.
    fn all(&self) -> Vec<Self::Key>;

    /// Its record of its own writes.
    fn writes(&self) -> &Writes<Self::Key>;

    /// Brings what the key names one step towards what is wanted.
    fn reconcile(&self, key: &Self::Key) -> impl Future<Output = Result<Next, SyncError>> + Send;
}

/// Starts the parts of a controller.
pub(crate) struct Runner<C: Controller> {
    context: Context,
    controller: Arc<C>,
    queue: Arc<Queue<C::Key>>,
    ready: Vec<BoxFuture<'static, ()>>,
}

/// Queues keys from outside of the runner. Clones share the queue.
pub(crate) struct Feed<K: QueueKey> {
    queue: Arc<Queue<K>>,
}

impl<K: QueueKey> Clone for Feed<K> {
    fn clone(&self) -> Self {
        Self { queue: Arc::clone(&self.queue) }
    }
}

impl<K: QueueKey> Feed<K> {
    pub(crate) fn add_all(&self, keys: impl IntoIterator<Item = K>) {
        self.queue.add_all(keys);
    }
}

impl<C: Controller> Runner<C> {
    pub(crate) fn new(context: &Context, controller: C) -> Self {
        let (controller, queue) = (Arc::new(controller), Arc::new(Queue::default()));
        Self { context: context.clone(), controller, queue, ready: Vec::new() }
    }

    /// The controller, for watches of its own.
    pub(crate) fn controller(&self) -> Arc<C> {
        Arc::clone(&self.controller)
    }

    /// A way to queue keys.
    pub(crate) fn feed(&self) -> Feed<C::Key> {
        Feed { queue: Arc::clone(&self.queue) }
    }

    /// Does not begin before `complete` is.
    pub(crate) fn after(mut self, complete: impl Future<Output = ()> + Send + 'static) -> Self {
        self.ready.push(complete.boxed());
        self
    }

    /// Queues, for every change of a kind, the keys that `keys` names.
    pub(crate) fn watch<K: Watched>(
        mut self,
        informer: Informer<K>,
        keys: fn(&C, &K) -> Vec<C::Key>,
    ) -> Self {
        let subscribed = informer.subscribe();
        let waited_for = informer.clone();
        self.ready.push(async move { waited_for.ready().await }.boxed());
        let (controller, queue) = (Arc::clone(&self.controller), Arc::clone(&self.queue));
        self.context.tasks.spawn("controller watch", async move {
            let mut changes = pin!(subscribed);
            while let Some(change) = changes.next().await {
                match change {
                    Change::Applied(object) => {
                        controller.writes().seen(&*object);
                        queue.add_all(keys(&controller, &object));
                    }
                    Change::Deleted(object) => {
                        controller.writes().seen_gone(&*object);
                        queue.add_all(keys(&controller, &object));
                    }
                    Change::Restarted => {
                        controller.writes().seen_all(&informer.store().state());
                        queue.add_all(controller.all());
                    }
                }
            }
        });
        self
    }

    /// Begins to reconcile once all watches are complete.
    pub(crate) fn start(self, workers: usize) {
        let Self { context, controller, queue, ready } = self;
        let tasks = context.tasks.clone();
        context.tasks.spawn("controller start", async move {
            join_all(ready).await;
            queue.add_all(controller.all());
            for _ in 0..workers {
                let worker = work(Arc::clone(&controller), Arc::clone(&queue));
                tasks.spawn(controller.name(), worker);
            }
        });
    }
}

async fn work<C: Controller>(controller: Arc<C>, queue: Arc<Queue<C::Key>>) {
    loop {
        let key = queue.next().await;
        if controller.writes().is_pending(&key) {
            queue.done(&key, Some(STALE_RETRY));
            continue;
        }
        match controller.reconcile(&key).await {
            Ok(Next::Done) => {
                queue.forget_failures(&key);
                queue.done(&key, None);
            }
            Ok(Next::After(wait)) => {
                queue.forget_failures(&key);
                queue.done(&key, Some(wait));
            }
            Err(error) => {
                let wait = queue.failed(&key);
                let controller = controller.name();
                if error.is_conflict() || error.is_not_found() {
                    tracing::debug!(controller, %key, cause = error.message(), "overtaken");
                } else {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(controller, %key, error, "not reconciled");
                }
                queue.done(&key, Some(wait));
            }
        }
    }
}

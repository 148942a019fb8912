//! The store in this process.

use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::disk::Disk;
use crate::state::Retention;
use crate::watch::Shared;
use crate::writer::{Order, Writer, closed};
use crate::{
    Compacted, Entry, Op, OpenError, Pending, Range, RangeResult, Revision, Store, TxnError, Watch,
};

/// How much an [`Embedded`] store keeps and queues.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Events older than this are forgotten.
    pub history_age_max: Duration,
    /// More events than this are not kept.
    pub history_events_max: usize,
    /// More bytes of superseded values than this are not kept.
    pub history_bytes_max: usize,
    /// A watcher that so many events wait for is cut off.
    pub watch_queue_max: usize,
    /// More waiting transactions than this are refused.
    pub txn_queue_max: usize,
}

impl Default for Options {
    /// Five minutes, 100,000 events, 64 MiB; 4,096 events a watcher; 4,096 transactions.
    fn default() -> Self {
        Self {
            history_age_max: Duration::from_secs(300),
            history_events_max: 100_000,
            history_bytes_max: 64 << 20,
            watch_queue_max: 4_096,
            txn_queue_max: 4_096,
        }
    }
}

/// A store in one redb file, for one process. Dropping it writes what waits and closes the file.
#[derive(Debug)]
pub struct Embedded {
    orders: Option<SyncSender<Order>>,
    shared: Arc<RwLock<Shared>>,
    revision: watch::Receiver<Revision>,
    failure: Arc<Mutex<Option<String>>>,
    watch_queue_max: usize,
    writer: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Opens the file, or makes it with mode 0600. Blocks while it is read.
    ///
    /// # Errors
    /// When the file is damaged, in use or unreadable; the error says what to do.
    pub fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let (disk, state) = Disk::open(path)?;
        let (current, revision) = watch::channel(state.revision());
        let (orders, queue) = sync_channel(options.txn_queue_max);
        let shared = Arc::new(RwLock::new(Shared { state, watchers: Vec::new() }));
        let failure = Arc::new(Mutex::new(None));
        let writer = Writer {
            disk,
            orders: queue,
            shared: Arc::clone(&shared),
            revision: current,
            failure: Arc::clone(&failure),
            retention: Retention {
                age_max: options.history_age_max,
                events_max: options.history_events_max,
                bytes_max: options.history_bytes_max,
            },
        };
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io {
                action: "start the writer of",
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            orders: Some(orders),
            shared,
            revision,
            failure,
            watch_queue_max: options.watch_queue_max,
            writer: Some(writer),
        })
    }

    fn send(&self, order: Order) -> Result<(), TxnError> {
        let Some(orders) = &self.orders else { return Err(closed()) };
        match orders.try_send(order) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(TxnError::Overloaded),
            Err(TrySendError::Disconnected(_)) => Err(closed()),
        }
    }
}

impl Store for Embedded {
    fn revision(&self) -> Revision {
        self.shared.read().unwrap_or_else(PoisonError::into_inner).state.revision()
    }

    fn revisions(&self) -> watch::Receiver<Revision> {
        self.revision.clone()
    }

    fn get(&self, key: &str) -> Option<Arc<Entry>> {
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        shared.state.get(key).map(Arc::clone)
    }

    fn range(&self, range: &Range<'_>) -> Result<RangeResult, Compacted> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner).state.range(range)
    }

    fn txn(&self, ops: Vec<Op>) -> Pending {
        let (pending, reply) = Pending::new();
        match self.send(Order::Txn { ops, reply }) {
            Ok(()) => pending,
            Err(error) => Pending::refused(error),
        }
    }

    fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, Compacted> {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        let backlog = shared.state.since(prefix, after)?;
        let (watch, watcher) =
            Watch::new(prefix, backlog, self.watch_queue_max, Arc::clone(&self.shared));
        shared.watchers.retain(|watcher| !watcher.is_gone());
        shared.watchers.push(watcher);
        Ok(watch)
    }

    fn compact(&self, revision: Revision) {
        if let Err(error) = self.send(Order::Compact { revision }) {
            tracing::debug!(cause = %error, "compaction was not taken up");
        }
    }

    fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
        // Those who still watch learn that nothing more comes.
        self.shared.write().unwrap_or_else(PoisonError::into_inner).watchers.clear();
    }
}

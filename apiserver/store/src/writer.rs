//! The one thread that writes: gathers waiting transactions, decides them in order, commits them
//! together, publishes, acknowledges.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::disk::{Disk, Trim};
use crate::state::Retention;
use crate::watch::Shared;
use crate::{Entry, Event, Expect, Key, Op, Revision, TxnError};

/// Transactions in one commit, at most.
const BATCH_TXNS_MAX: usize = 1024;
/// Bytes of values in one commit, about at most.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Events one commit takes away, about at most, so that compaction never delays a write much.
const TRIM_EVENTS_MAX: usize = 2_000;
/// How often an idle writer looks whether there is something to compact.
const IDLE: Duration = Duration::from_secs(30);

/// An applied transaction.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its revision; that of the newest write before it if it changed nothing.
    pub revision: Revision,
    /// What each of its steps left of its key, in order.
    pub entries: Vec<Option<Arc<Entry>>>,
}

type Outcome = Result<Committed, TxnError>;

/// The outcome of a transaction, once it is durable.
#[derive(Debug)]
#[must_use = "a transaction that is not waited for may not have been applied"]
pub struct Pending {
    outcome: Result<oneshot::Receiver<Outcome>, TxnError>,
}

impl Pending {
    pub(crate) fn refused(error: TxnError) -> Self {
        Self { outcome: Err(error) }
    }

    pub(crate) fn new() -> (Self, oneshot::Sender<Outcome>) {
        let (sender, receiver) = oneshot::channel();
        (Self { outcome: Ok(receiver) }, sender)
    }

    /// Waits on a thread that runs no asynchronous tasks.
    ///
    /// # Errors
    /// As the transaction.
    pub fn wait(self) -> Result<Committed, TxnError> {
        self.outcome?.blocking_recv().unwrap_or_else(|_closed| Err(closed()))
    }
}

impl Future for Pending {
    type Output = Result<Committed, TxnError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.outcome {
            Err(error) => Poll::Ready(Err(error.clone())),
            Ok(receiver) => Pin::new(receiver)
                .poll(cx)
                .map(|outcome| outcome.unwrap_or_else(|_closed| Err(closed()))),
        }
    }
}

pub(crate) fn closed() -> TxnError {
    TxnError::Failed { reason: "the store was closed".to_owned() }
}

/// What the writer is sent.
#[derive(Debug)]
pub(crate) enum Order {
    Txn { ops: Vec<Op>, reply: oneshot::Sender<Outcome> },
    Compact { revision: Revision },
}

pub(crate) struct Writer {
    pub(crate) disk: Disk,
    pub(crate) orders: Receiver<Order>,
    pub(crate) shared: Arc<RwLock<Shared>>,
    pub(crate) revision: watch::Sender<Revision>,
    pub(crate) failure: Arc<Mutex<Option<String>>>,
    pub(crate) retention: Retention,
}

/// The decided transactions of one commit.
#[derive(Default)]
struct Batch {
    /// What keys will be once this is committed, where that differs from the state.
    overlay: HashMap<Key, Option<Arc<Entry>>>,
    events: Vec<Arc<Event>>,
    replies: Vec<(oneshot::Sender<Outcome>, Outcome)>,
    revision: Revision,
    bytes: usize,
}

impl Writer {
    /// Runs until every sender of orders is gone.
    pub(crate) fn run(mut self) {
        let mut wanted: Revision = 0;
        loop {
            let first = match self.orders.recv_timeout(IDLE) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let batch = self.gather(first, &mut wanted);
            let trim = self.trim(wanted);
            if batch.events.is_empty() && trim.is_none() {
                batch.answer();
                continue;
            }
            self.commit(batch, trim);
        }
    }

    fn gather(&self, first: Option<Order>, wanted: &mut Revision) -> Batch {
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        let mut batch = Batch { revision: shared.state.revision(), ..Batch::default() };
        let mut next = first;
        while let Some(order) = next {
            match order {
                Order::Txn { ops, reply } => {
                    let outcome = batch.decide(&shared, ops);
                    batch.replies.push((reply, outcome));
                }
                Order::Compact { revision } => *wanted = revision.max(*wanted),
            }
            if batch.replies.len() >= BATCH_TXNS_MAX || batch.bytes >= BATCH_BYTES_MAX {
                break;
            }
            next = self.orders.try_recv().ok();
        }
        batch
    }

    fn trim(&self, wanted: Revision) -> Option<Trim> {
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        let due = shared.state.compaction_target(&self.retention, Instant::now()).unwrap_or(0);
        let target = due.max(wanted.min(shared.state.revision()));
        if target <= shared.state.compacted() {
            return None;
        }
        let (compacted, events) = shared.state.compaction_step(target, TRIM_EVENTS_MAX);
        Some(Trim { compacted, events })
    }

    fn commit(&mut self, batch: Batch, trim: Option<Trim>) {
        if let Some(reason) = self.failed() {
            return batch.refuse(&reason);
        }
        if let Err(error) = self.disk.commit(&batch.events, trim.as_ref()) {
            // Whether the commit reached the disk is unknown: writing on from what is in memory
            // could give one revision two meanings. Reads go on; a restart reads what is there.
            let reason = error.to_string();
            tracing::error!(cause = %reason, "the datastore cannot write any more");
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.clone());
            return batch.refuse(&reason);
        }
        {
            let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
            for event in &batch.events {
                shared.state.apply(Arc::clone(event));
            }
            shared.state.mark(Instant::now());
            shared.publish(&batch.events);
            if let Some(trim) = &trim {
                shared.state.compact(trim.compacted);
            }
        }
        self.revision.send_replace(batch.revision);
        batch.answer();
        if trim.is_some_and(|trim| trim.events.len() < TRIM_EVENTS_MAX)
            && let Err(error) = self.disk.shrink()
        {
            tracing::warn!(cause = %error, "the datastore could not give space back");
        }
    }

    fn failed(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Batch {
    fn decide(&mut self, shared: &Shared, ops: Vec<Op>) -> Result<Committed, TxnError> {
        for (index, op) in ops.iter().enumerate() {
            if ops.iter().take(index).any(|earlier| earlier.key() == op.key()) {
                return Err(TxnError::DuplicateKey { key: Arc::clone(op.key()) });
            }
            let current = self.current(shared, op.key());
            let holds = match op.expect() {
                Expect::Any => true,
                Expect::Absent => current.is_none(),
                Expect::Revision(revision) => {
                    current.as_ref().is_some_and(|entry| entry.modified() == revision)
                }
            };
            if !holds {
                return Err(TxnError::Conflict { key: Arc::clone(op.key()), current });
            }
        }
        let revision = self.revision + 1;
        let mut entries = Vec::with_capacity(ops.len());
        let written = self.events.len();
        for (step, op) in (0_u32..).zip(ops) {
            let previous = self.current(shared, op.key());
            let (key, entry) = match op {
                Op::Check { .. } => {
                    entries.push(previous);
                    continue;
                }
                Op::Delete { .. } if previous.is_none() => {
                    entries.push(None);
                    continue;
                }
                Op::Delete { key, .. } => (key, None),
                Op::Put { key, value, .. } => {
                    self.bytes += value.len();
                    let created = previous.as_ref().map_or(revision, |entry| entry.created());
                    let entry = Entry::new(Arc::clone(&key), created, revision, value);
                    (key, Some(Arc::new(entry)))
                }
            };
            entries.push(entry.clone());
            self.overlay.insert(key, entry.clone());
            self.events.push(Arc::new(Event { revision, entry, previous, step }));
        }
        if self.events.len() > written {
            self.revision = revision;
        }
        Ok(Committed { revision: self.revision, entries })
    }

    fn current(&self, shared: &Shared, key: &str) -> Option<Arc<Entry>> {
        match self.overlay.get(key) {
            Some(pending) => pending.clone(),
            None => shared.state.get(key).map(Arc::clone),
        }
    }

    fn answer(self) {
        for (reply, outcome) in self.replies {
            // Whoever asked may have gone; the write stands all the same.
            drop(reply.send(outcome));
        }
    }

    fn refuse(self, reason: &str) {
        for (reply, _) in self.replies {
            drop(reply.send(Err(TxnError::Failed { reason: reason.to_owned() })));
        }
    }
}

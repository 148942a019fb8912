//! Watchers and how events reach them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::state::State;
use crate::{Event, Key, Revision, WatchError};

/// The state in memory together with who watches it: under one lock, so that a watch starts
/// exactly where the read that preceded it ended.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: State,
    pub(crate) watchers: Vec<Watcher>,
}

/// The sending half of a watch.
#[derive(Debug)]
pub(crate) struct Watcher {
    prefix: Key,
    lagged: Arc<AtomicBool>,
    events: mpsc::Sender<Arc<Event>>,
}

/// The events of keys with one prefix, in order, without gaps.
#[derive(Debug)]
pub struct Watch {
    backlog: VecDeque<Arc<Event>>,
    live: mpsc::Receiver<Arc<Event>>,
    lagged: Arc<AtomicBool>,
    shared: Arc<RwLock<Shared>>,
}

impl Shared {
    /// Hands events to everyone who watches for them. A watcher whose queue is full is cut off.
    pub(crate) fn publish(&mut self, events: &[Arc<Event>]) {
        self.watchers.retain(|watcher| {
            events
                .iter()
                .filter(|event| event.key().starts_with(&*watcher.prefix))
                .all(|event| watcher.send(event))
        });
    }
}

impl Watcher {
    /// Whether the watcher is still there.
    fn send(&self, event: &Arc<Event>) -> bool {
        match self.events.try_send(Arc::clone(event)) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.lagged.store(true, Ordering::Release);
                false
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.events.is_closed()
    }
}

impl Watch {
    pub(crate) fn new(
        prefix: &str,
        backlog: VecDeque<Arc<Event>>,
        queue_max: usize,
        shared: Arc<RwLock<Shared>>,
    ) -> (Self, Watcher) {
        let (events, live) = mpsc::channel(queue_max);
        let lagged = Arc::new(AtomicBool::new(false));
        let watcher = Watcher { prefix: prefix.into(), lagged: Arc::clone(&lagged), events };
        (Self { backlog, live, lagged, shared }, watcher)
    }

    /// The next event, waiting for it. Cancelling the wait loses nothing.
    ///
    /// # Errors
    /// When the watch has ended; every event before the end has been returned by then.
    pub async fn next(&mut self) -> Result<Arc<Event>, WatchError> {
        if let Some(event) = self.backlog.pop_front() {
            return Ok(event);
        }
        match self.live.recv().await {
            Some(event) => Ok(event),
            None => Err(self.end()),
        }
    }

    /// The next event if there is one already.
    ///
    /// # Errors
    /// As [`Watch::next`].
    pub fn try_next(&mut self) -> Result<Option<Arc<Event>>, WatchError> {
        if let Some(event) = self.backlog.pop_front() {
            return Ok(Some(event));
        }
        match self.live.try_recv() {
            Ok(event) => Ok(Some(event)),
            Err(mpsc::error::TryRecvError::Empty) => Ok(None),
            Err(mpsc::error::TryRecvError::Disconnected) => Err(self.end()),
        }
    }

    /// A revision up to which every event has been returned already; none while some wait.
    #[must_use]
    pub fn progress(&self) -> Option<Revision> {
        if !self.backlog.is_empty() {
            return None;
        }
        // Publishing happens under the write lock: with the read lock held, an empty queue means
        // that nothing up to the state's revision is still to come.
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        self.live.is_empty().then(|| shared.state.revision())
    }

    fn end(&self) -> WatchError {
        if self.lagged.load(Ordering::Acquire) { WatchError::Lagged } else { WatchError::Closed }
    }
}

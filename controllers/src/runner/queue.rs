//! A queue of keys. Each key waits at most once and is worked on by one worker at a time, so the
//! queue is never longer than there are objects.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::QueueKey;

const BACKOFF_INITIAL: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct State<K> {
    ready: VecDeque<K>,
    /// What is in `ready`, and what changed while it was worked on.
    queued: HashSet<K>,
    working: HashSet<K>,
    later: BinaryHeap<Reverse<(Instant, K)>>,
    /// The earliest time of a key in `later`; other entries of the key are outdated.
    due: HashMap<K, Instant>,
    failures: HashMap<K, u32>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queue<K> {
    state: Mutex<State<K>>,
    /// Told once for each key that becomes ready, and when an earlier time is to be waited for.
    changed: Notify,
}

impl<K: QueueKey> Default for Queue<K> {
    fn default() -> Self {
        let state = State {
            ready: VecDeque::new(),
            queued: HashSet::new(),
            working: HashSet::new(),
            later: BinaryHeap::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
        };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }
}

impl<K: QueueKey> Queue<K> {
    /// Queues keys.
    pub(super) fn add_all(&self, keys: impl IntoIterator<Item = K>) {
        let mut state = self.lock();
        let mut woken = 0;
        for key in keys {
            woken += usize::from(state.add(key));
        }
        drop(state);
        for _ in 0..woken {
            self.changed.notify_one();
        }
    }

    /// Waits for a key. [`Queue::done`] must be called with it.
    pub(super) async fn next(&self) -> K {
        loop {
            let changed = self.changed.notified();
            let due = {
                let mut state = self.lock();
                state.pass_time(Instant::now());
                if let Some(key) = state.take() {
                    if !state.ready.is_empty() {
                        self.changed.notify_one();
                    }
                    return key;
                }
                state.next_due()
            };
            match due {
                None => changed.await,
                Some(at) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(at) => {}
                },
            }
        }
    }

    /// The key was worked on; look at it again after `wait`, if anything.
    pub(super) fn done(&self, key: &K, wait: Option<Duration>) {
        let mut state = self.lock();
        state.working.remove(key);
        if state.queued.contains(key) {
            state.ready.push_back(key.clone());
        }
        if let Some(wait) = wait {
            state.add_later(key, Instant::now() + wait);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Counts a failure; says how long to wait.
    pub(super) fn failed(&self, key: &K) -> Duration {
        let mut state = self.lock();
        let failures = state.failures.entry(key.clone()).or_default();
        let wait = BACKOFF_INITIAL.saturating_mul(2_u32.saturating_pow(*failures));
        *failures += 1;
        wait.min(BACKOFF_MAX)
    }

    /// The key works again.
    pub(super) fn forget_failures(&self, key: &K) {
        self.lock().failures.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: QueueKey> State<K> {
    /// Says whether a worker is needed for it now.
    fn add(&mut self, key: K) -> bool {
        if !self.queued.insert(key.clone()) || self.working.contains(&key) {
            return false;
        }
        self.ready.push_back(key);
        true
    }

    fn take(&mut self) -> Option<K> {
        let key = self.ready.pop_front()?;
        self.queued.remove(&key);
        self.working.insert(key.clone());
        Some(key)
    }

    fn add_later(&mut self, key: &K, at: Instant) {
        if self.due.get(key).is_some_and(|due| *due <= at) {
            return;
        }
        self.due.insert(key.clone(), at);
        self.later.push(Reverse((at, key.clone())));
    }

    fn next_due(&mut self) -> Option<Instant> {
        while let Some(Reverse((at, key))) = self.later.peek() {
            if self.due.get(key) == Some(at) {
                return Some(*at);
            }
            self.later.pop();
        }
        None
    }

    fn pass_time(&mut self, now: Instant) {
        while self.next_due().is_some_and(|at| at <= now) {
            if let Some(Reverse((_, key))) = self.later.pop() {
                self.due.remove(&key);
                self.add(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_worked_on_once_at_a_time_and_again_if_it_changed() {
        let queue = Queue::<String>::default();
        queue.add_all(["a".to_owned(), "a".to_owned()]);
        let key = queue.next().await;
        queue.add_all(["a".to_owned()]);
        let wait = tokio::time::timeout(Duration::from_secs(9), queue.next()).await;
        assert!(wait.is_err(), "worked on twice at a time");
        queue.done(&key, None);
        assert_eq!(queue.next().await, "a");
        queue.done(&key, None);
        let wait = tokio::time::timeout(Duration::from_secs(9), queue.next()).await;
        assert!(wait.is_err(), "queued more often than it changed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_delayed_key_comes_when_it_is_due_and_the_earlier_time_wins() {
        let queue = Queue::<String>::default();
        let key = "a".to_owned();
        let start = Instant::now();
        queue.done(&key, Some(Duration::from_secs(60)));
        queue.done(&key, Some(Duration::from_secs(5)));
        queue.done(&key, Some(Duration::from_secs(30)));
        assert_eq!(queue.next().await, "a");
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_wait_longer_until_one_succeeds() {
        let queue = Queue::<String>::default();
        let key = "a".to_owned();
        let waits: Vec<u128> = (0..4).map(|_| queue.failed(&key).as_millis()).collect();
        assert_eq!(waits, [10, 20, 40, 80]);
        for _ in 0..40 {
            assert!(queue.failed(&key) <= BACKOFF_MAX);
        }
        queue.forget_failures(&key);
        assert_eq!(queue.failed(&key), BACKOFF_INITIAL);
    }

    #[tokio::test(start_paused = true)]
    async fn every_waiting_worker_gets_a_key() {
        let queue = Queue::<String>::default();
        let workers = [queue.next(), queue.next(), queue.next()];
        let keys = ["a", "b", "c"].map(str::to_owned);
        let (got, ()) =
            futures::join!(futures::future::join_all(workers), async { queue.add_all(keys) });
        let mut got = got;
        got.sort();
        assert_eq!(got, ["a", "b", "c"]);
    }
}

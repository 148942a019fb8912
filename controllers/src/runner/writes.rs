//! A controller's record of its own writes. A cache is a little behind the API server; a
//! controller that decided on a cache without its own last write would do the same again, and
//! make a pod twice. So a key whose writes the watch has not shown yet is not reconciled.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Resource;
use tokio::time::Instant;

use super::QueueKey;
use crate::objects::{is_deleted, uid, version};

/// After this long a write that never showed is given up on: the object may have come and gone
/// while the watch was away.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Written {
    kind: String,
    version: u64,
    since: Instant,
}

#[derive(Debug)]
struct State<K> {
    /// The newest version of each kind that the watch has shown.
    newest: HashMap<String, u64>,
    written: HashMap<K, Vec<Written>>,
    deleting: HashMap<K, HashMap<String, Instant>>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Writes<K> {
    state: Mutex<State<K>>,
}

impl<K: QueueKey> Default for Writes<K> {
    fn default() -> Self {
        let state =
            State { newest: HashMap::new(), written: HashMap::new(), deleting: HashMap::new() };
        Self { state: Mutex::new(state) }
    }
}

impl<K: QueueKey> Writes<K> {
    /// The API server answered a create, patch or update for `key` with this.
    pub(crate) fn wrote<O: Resource<DynamicType = ()>>(&self, key: &K, answer: &O) {
        let kind = O::kind(&()).into_owned();
        let written = Written { kind, version: version(answer), since: Instant::now() };
        self.lock().written.entry(key.clone()).or_default().push(written);
    }

    /// A delete is about to be sent for `key`.
    pub(crate) fn deleting(&self, key: &K, uid: &str) {
        let mut state = self.lock();
        let of_key = state.deleting.entry(key.clone()).or_default();
        of_key.insert(uid.to_owned(), Instant::now());
    }

    /// The delete failed.
    pub(crate) fn not_deleted(&self, key: &K, uid: &str) {
        if let Some(of_key) = self.lock().deleting.get_mut(key) {
            of_key.remove(uid);
        }
    }

    /// The watch showed an object.
    pub(crate) fn seen<O: Resource<DynamicType = ()>>(&self, object: &O) {
        let mut state = self.lock();
        state.raise(&O::kind(&()), version(object));
        if is_deleted(object) {
            state.gone(uid(object));
        }
    }

    /// The watch showed that an object is gone.
    pub(crate) fn seen_gone<O: Resource<DynamicType = ()>>(&self, object: &O) {
        let mut state = self.lock();
        state.raise(&O::kind(&()), version(object));
        state.gone(uid(object));
    }

    /// The watch was restarted and shows these, and no others.
    pub(crate) fn seen_all<O: Resource<DynamicType = ()>>(&self, objects: &[Arc<O>]) {
        let newest = objects.iter().map(|object| version(&**object)).max().unwrap_or_default();
        let there: HashSet<&str> = objects
            .iter()
            .filter(|object| !is_deleted(&***object))
            .map(|object| uid(&**object))
            .collect();
        let mut state = self.lock();
        state.raise(&O::kind(&()), newest);
        for of_key in state.deleting.values_mut() {
            of_key.retain(|uid, _| there.contains(uid.as_str()));
        }
    }

    /// Whether the watch has not shown all writes for `key` yet.
    pub(crate) fn is_pending(&self, key: &K) -> bool {
        let mut state = self.lock();
        let State { newest, written, deleting } = &mut *state;
        let is_fresh = |since: &Instant| since.elapsed() < PATIENCE;
        if let Some(of_key) = written.get_mut(key) {
            of_key.retain(|write| {
                let seen = newest.get(&write.kind).copied().unwrap_or_default();
                write.version > seen && is_fresh(&write.since)
            });
            if of_key.is_empty() {
                written.remove(key);
            }
        }
        if let Some(of_key) = deleting.get_mut(key) {
            of_key.retain(|_, since| is_fresh(since));
            if of_key.is_empty() {
                deleting.remove(key);
            }
        }
        written.contains_key(key) || deleting.contains_key(key)
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> State<K> {
    fn raise(&mut self, kind: &str, version: u64) {
        match self.newest.get_mut(kind) {
            Some(newest) => *newest = version.max(*newest),
            None => {
                self.newest.insert(kind.to_owned(), version);
            }
        }
    }

    fn gone(&mut self, uid: &str) {
        for of_key in self.deleting.values_mut() {
            of_key.remove(uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    fn pod(uid: &str, version: u64, deleted: bool) -> Pod {
        let deleted = deleted.then_some("2026-01-01T00:00:00Z");
        serde_json::from_value(json!({ "metadata": {
            "name": uid, "uid": uid, "resourceVersion": version.to_string(),
            "deletionTimestamp": deleted,
        } }))
        .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_until_the_watch_shows_its_writes() {
        let (writes, key) = (Writes::<String>::default(), "a".to_owned());
        writes.seen(&pod("old", 5, false));
        writes.wrote(&key, &pod("new", 7, false));
        assert!(writes.is_pending(&key));
        assert!(!writes.is_pending(&"b".to_owned()));
        writes.seen(&pod("other", 6, false));
        assert!(writes.is_pending(&key));
        writes.seen(&pod("new", 7, false));
        assert!(!writes.is_pending(&key));
        // The watch may be faster than the answer.
        writes.wrote(&key, &pod("new", 7, false));
        assert!(!writes.is_pending(&key));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_until_the_watch_shows_its_deletions() {
        let (writes, key) = (Writes::<String>::default(), "a".to_owned());
        writes.deleting(&key, "p");
        writes.deleting(&key, "q");
        writes.deleting(&key, "r");
        writes.seen(&pod("p", 9, true));
        writes.seen_gone(&pod("q", 3, false));
        assert!(writes.is_pending(&key));
        writes.not_deleted(&key, "r");
        assert!(!writes.is_pending(&key));
    }

    #[tokio::test(start_paused = true)]
    async fn a_restarted_watch_shows_what_is_gone() {
        let (writes, key) = (Writes::<String>::default(), "a".to_owned());
        writes.deleting(&key, "p");
        writes.wrote(&key, &pod("new", 7, false));
        writes.seen_all(&[Arc::new(pod("new", 7, false))]);
        assert!(!writes.is_pending(&key));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_never_shows_is_given_up_on() {
        let (writes, key) = (Writes::<String>::default(), "a".to_owned());
        writes.wrote(&key, &pod("new", 7, false));
        tokio::time::advance(PATIENCE).await;
        assert!(!writes.is_pending(&key));
    }
}

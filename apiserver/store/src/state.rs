//! The state in memory: current entries, and the events of the retention window. Pure.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{Compacted, Entry, Event, Key, Range, RangeResult, Revision};

/// How much history is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    pub(crate) age_max: Duration,
    pub(crate) events_max: usize,
    pub(crate) bytes_max: usize,
}

/// How far apart the marks are by which events are aged.
const MARK_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct State {
    revision: Revision,
    compacted: Revision,
    current: BTreeMap<Key, Arc<Entry>>,
    /// Every event after `compacted`, in order.
    ring: VecDeque<Arc<Event>>,
    ring_bytes: usize,
    /// Up to which revision things had happened when, oldest first.
    marks: VecDeque<(Instant, Revision)>,
}

impl State {
    pub(crate) fn new(compacted: Revision) -> Self {
        Self { compacted, ..Self::default() }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) fn compacted(&self) -> Revision {
        self.compacted
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        self.current.get(key)
    }

    /// The revision may be ahead of the newest event: writes may have been removed again.
    pub(crate) fn set_revision(&mut self, revision: Revision) {
        self.revision = self.revision.max(revision);
    }

    /// Takes an event as the newest.
    pub(crate) fn apply(&mut self, event: Arc<Event>) {
        match (&event.entry, &event.previous) {
            (Some(entry), _) => {
                self.current.insert(Arc::clone(entry.key()), Arc::clone(entry));
            }
            (None, Some(previous)) => {
                self.current.remove(previous.key());
            }
            (None, None) => {}
        }
        self.set_revision(event.revision);
        if event.revision > self.compacted {
            self.ring_bytes += event.retained_bytes();
            self.ring.push_back(event);
        }
    }

    /// Notes that everything so far had happened at `now`.
    pub(crate) fn mark(&mut self, now: Instant) {
        let due = self.marks.back().is_none_or(|(at, revision)| {
            now.saturating_duration_since(*at) >= MARK_INTERVAL && *revision != self.revision
        });
        if due {
            self.marks.push_back((now, self.revision));
        }
    }

    /// Up to where history may be forgotten, if there is anything to forget.
    pub(crate) fn compaction_target(&self, keep: &Retention, now: Instant) -> Option<Revision> {
        let by_age = self
            .marks
            .iter()
            .rev()
            .find(|(at, _)| now.saturating_duration_since(*at) >= keep.age_max)
            .map_or(0, |(_, revision)| *revision);
        let by_count = match self.ring.len().checked_sub(keep.events_max) {
            Some(over @ 1..) => self.ring.get(over - 1).map_or(0, |e| e.revision),
            Some(0) | None => 0,
        };
        let by_bytes = if self.ring_bytes > keep.bytes_max { self.oldest_half() } else { 0 };
        let target = by_age.max(by_count).max(by_bytes);
        (target > self.compacted).then_some(target)
    }

    fn oldest_half(&self) -> Revision {
        self.ring.get(self.ring.len() / 2).map_or(0, |e| e.revision)
    }

    /// The events that forgetting up to `target` takes away, at most about `limit` of them, and
    /// the revision that reaches: never within a transaction.
    pub(crate) fn compaction_step(
        &self,
        target: Revision,
        limit: usize,
    ) -> (Revision, Vec<Arc<Event>>) {
        let mut taken: Vec<Arc<Event>> = Vec::new();
        let target = target.min(self.revision);
        for event in &self.ring {
            let new_revision = taken.last().is_none_or(|last| last.revision != event.revision);
            if event.revision > target || (new_revision && taken.len() >= limit) {
                break;
            }
            taken.push(Arc::clone(event));
        }
        let complete = self.ring.get(taken.len()).is_none_or(|next| next.revision > target);
        let reached = if complete { target } else { taken.last().map_or(0, |e| e.revision) };
        (reached, taken)
    }

    /// Forgets the events up to and at `revision`.
    pub(crate) fn compact(&mut self, revision: Revision) {
        while self.ring.front().is_some_and(|event| event.revision <= revision) {
            if let Some(event) = self.ring.pop_front() {
                self.ring_bytes = self.ring_bytes.saturating_sub(event.retained_bytes());
            }
        }
        self.compacted = self.compacted.max(revision);
        while self.marks.front().is_some_and(|(_, marked)| *marked <= revision) {
            self.marks.pop_front();
        }
    }

    /// The events after `after` that `prefix` selects.
    pub(crate) fn since(
        &self,
        prefix: &str,
        after: Revision,
    ) -> Result<VecDeque<Arc<Event>>, Compacted> {
        self.known(after)?;
        let start = self.ring.partition_point(|event| event.revision <= after);
        Ok(self
            .ring
            .range(start..)
            .filter(|event| event.key().starts_with(prefix))
            .map(Arc::clone)
            .collect())
    }

    fn known(&self, revision: Revision) -> Result<(), Compacted> {
        if revision < self.compacted {
            return Err(Compacted { requested: revision, oldest: self.compacted });
        }
        Ok(())
    }

    pub(crate) fn range(&self, range: &Range<'_>) -> Result<RangeResult, Compacted> {
        let Some(at) = range.at.filter(|at| *at < self.revision) else {
            return Ok(self.range_now(range));
        };
        self.known(at)?;
        // What was at that revision is what is now with the later events undone, newest first.
        let mut then: HashMap<&str, Option<&Arc<Entry>>> = HashMap::new();
        let start = self.ring.partition_point(|event| event.revision <= at);
        for event in self.ring.range(start..).rev() {
            if selected(range, event.key()) {
                then.insert(event.key(), event.previous.as_ref());
            }
        }
        let untouched = self.select(range).filter(|e| !then.contains_key(&**e.key()));
        let mut all: Vec<Arc<Entry>> = untouched.map(Arc::clone).collect();
        all.extend(then.values().filter_map(|entry| entry.map(Arc::clone)));
        all.sort_by(|a, b| a.key().cmp(b.key()));
        let total = all.len();
        if range.limit > 0 {
            all.truncate(range.limit);
        }
        Ok(RangeResult { remaining: total - all.len(), items: all, revision: at })
    }

    fn range_now(&self, range: &Range<'_>) -> RangeResult {
        let limit = if range.limit == 0 { usize::MAX } else { range.limit };
        let mut selected = self.select(range);
        let items: Vec<_> = selected.by_ref().take(limit).map(Arc::clone).collect();
        RangeResult { items, revision: self.revision, remaining: selected.count() }
    }

    fn select<'a>(&'a self, range: &Range<'a>) -> impl Iterator<Item = &'a Arc<Entry>> {
        let prefix = range.prefix;
        let start = match range.after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        self.current
            .range::<str, _>((start, Bound::Unbounded))
            .map(|(_, entry)| entry)
            .take_while(move |entry| entry.key().starts_with(prefix))
    }
}

fn selected(range: &Range<'_>, key: &str) -> bool {
    key.starts_with(range.prefix) && range.after.is_none_or(|after| key > after)
}

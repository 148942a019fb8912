//! The pods that wait for a node, in three parts: *active* pods are tried next, pods in *back-off*
//! once their time has come, and *unschedulable* pods when something happened that may let them
//! fit. Time is a [`Duration`] since an arbitrary start.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::framework::ClusterEvent;
use crate::plugins;
use crate::pod::{PodInfo, PodUid};

/// The first wait after a failure; it doubles with each.
const BACKOFF_INITIAL: Duration = Duration::from_secs(1);
/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// An unschedulable pod is tried again after this long even if nothing happened.
const UNSCHEDULABLE_MAX: Duration = Duration::from_secs(300);

/// A pod that was taken out to be tried.
#[derive(Debug)]
pub struct Attempt {
    /// The pod.
    pub pod: Arc<PodInfo>,
    /// How often it was tried, this time included.
    pub attempts: u32,
}

#[derive(Debug)]
struct Waiting {
    pod: Arc<PodInfo>,
    attempts: u32,
    /// When it came or was last put back, for the order among equal priorities: whoever was tried
    /// and did not fit lets the others go first.
    queued_at: Duration,
    part: Part,
}

#[derive(Debug, PartialEq)]
enum Part {
    Active,
    Backoff { until: Duration },
    Unschedulable { plugins: BTreeSet<&'static str>, backoff_until: Duration, until: Duration },
}

/// Higher priority first, then who came first.
type Order = (i32, Reverse<Duration>, Reverse<u64>, PodUid);

/// The queue. Heaps may hold outdated entries: what a pod's own entry says counts.
#[derive(Debug, Default)]
pub struct Queue {
    pods: HashMap<PodUid, Waiting>,
    active: BinaryHeap<Order>,
    timers: BinaryHeap<Reverse<(Duration, PodUid)>>,
    sequence: u64,
}

impl Queue {
    /// How many pods wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// The pods that wait.
    pub fn uids(&self) -> impl Iterator<Item = &PodUid> {
        self.pods.keys()
    }

    /// The pod as it waits.
    #[must_use]
    pub fn pod(&self, uid: &PodUid) -> Option<&Arc<PodInfo>> {
        self.pods.get(uid).map(|waiting| &waiting.pod)
    }

    /// Adds a new pod. One that waits already is replaced; `specification_changed` tells that it
    /// may fit now.
    pub fn add(&mut self, pod: Arc<PodInfo>, specification_changed: bool, now: Duration) {
        let uid = pod.uid.clone();
        match self.pods.get_mut(&uid) {
            None => {
                let waiting = Waiting { pod, attempts: 0, queued_at: now, part: Part::Active };
                self.pods.insert(uid.clone(), waiting);
                self.activate(&uid);
            }
            Some(waiting) => {
                waiting.pod = pod;
                if specification_changed && matches!(waiting.part, Part::Unschedulable { .. }) {
                    self.wake(&uid, now);
                }
            }
        }
    }

    /// Forgets a pod.
    pub fn remove(&mut self, uid: &PodUid) {
        self.pods.remove(uid);
    }

    /// Takes out the pod to try next.
    pub fn pop(&mut self, now: Duration) -> Option<Attempt> {
        self.pass_time(now);
        while let Some((_, _, _, uid)) = self.active.pop() {
            let is_active = |waiting: &Waiting| waiting.part == Part::Active;
            if !self.pods.get(&uid).is_some_and(is_active) {
                continue;
            }
            if let Some(waiting) = self.pods.remove(&uid) {
                let Waiting { pod, attempts, .. } = waiting;
                return Some(Attempt { pod, attempts: attempts + 1 });
            }
        }
        None
    }

    /// Puts back a pod that fits nowhere; `plugins` said so.
    pub fn reject(&mut self, attempt: Attempt, plugins: BTreeSet<&'static str>, now: Duration) {
        let backoff_until = now + backoff(attempt.attempts);
        let until = now + UNSCHEDULABLE_MAX;
        self.put_back(attempt, Part::Unschedulable { plugins, backoff_until, until }, until, now);
    }

    /// Puts back a pod whose binding failed.
    pub fn retry(&mut self, attempt: Attempt, now: Duration) {
        let until = now + backoff(attempt.attempts);
        self.put_back(attempt, Part::Backoff { until }, until, now);
    }

    /// Wakes the unschedulable pods that `event` may help.
    pub fn happened(&mut self, event: ClusterEvent, now: Duration) {
        let helps = |plugin: &&'static str| {
            // With no plugin of that name there is nobody who could say that it doesn't help.
            plugins::by_name(plugin).is_none_or(|plugin| plugin.wakers().contains(&event))
        };
        let woken: Vec<PodUid> = self
            .pods
            .iter()
            .filter(|(_, waiting)| match &waiting.part {
                Part::Unschedulable { plugins, .. } => {
                    plugins.is_empty() || plugins.iter().any(helps)
                }
                Part::Active | Part::Backoff { .. } => false,
            })
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in woken {
            self.wake(&uid, now);
        }
    }

    /// When time alone will make a pod active.
    pub fn wake_at(&mut self) -> Option<Duration> {
        while let Some(Reverse((at, uid))) = self.timers.peek() {
            if self.pods.get(uid).is_some_and(|waiting| due(waiting) == Some(*at)) {
                return Some(*at);
            }
            self.timers.pop();
        }
        None
    }

    fn pass_time(&mut self, now: Duration) {
        while let Some(at) = self.wake_at().filter(|at| *at <= now) {
            if let Some(Reverse((_, uid))) = self.timers.pop() {
                tracing::trace!(pod = %uid, ?at, "waited long enough");
                self.activate(&uid);
            }
        }
    }

    fn put_back(&mut self, attempt: Attempt, part: Part, until: Duration, now: Duration) {
        let Attempt { pod, attempts } = attempt;
        let uid = pod.uid.clone();
        self.pods.insert(uid.clone(), Waiting { pod, attempts, queued_at: now, part });
        self.timers.push(Reverse((until, uid)));
    }

    fn wake(&mut self, uid: &PodUid, now: Duration) {
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        let Part::Unschedulable { backoff_until, .. } = waiting.part else { return };
        if backoff_until <= now {
            self.activate(uid);
        } else {
            waiting.part = Part::Backoff { until: backoff_until };
            self.timers.push(Reverse((backoff_until, uid.clone())));
        }
    }

    fn activate(&mut self, uid: &PodUid) {
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        waiting.part = Part::Active;
        self.sequence += 1;
        self.active.push((
            waiting.pod.priority,
            Reverse(waiting.queued_at),
            Reverse(self.sequence),
            uid.clone(),
        ));
    }
}

fn due(waiting: &Waiting) -> Option<Duration> {
    match &waiting.part {
        Part::Active => None,
        Part::Backoff { until } | Part::Unschedulable { until, .. } => Some(*until),
    }
}

fn backoff(attempts: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1).min(16));
    BACKOFF_INITIAL.saturating_mul(doubled).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests;

//! What was observed goes in, decisions come out. No IO, no clock of its own: time is a
//! [`Duration`] since an arbitrary start.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::Config;
use crate::cluster::Cluster;
use crate::cycle::{Chance, Outcome, schedule};
use crate::framework::ClusterEvent;
use crate::plugins::PRE_ENQUEUE;
use crate::pod::{PodInfo, PodUid, is_finished, node_name, uid};
use crate::queue::{Attempt, Queue};

/// What is to be done for a pod.
#[derive(Debug)]
pub enum Decision {
    /// Bind it to the node; [`Engine::bound`] is told the outcome.
    Bind {
        /// The pod.
        pod: Arc<Pod>,
        /// The chosen node.
        node: String,
    },
    /// It stays Pending.
    Reject {
        /// The pod.
        pod: Arc<Pod>,
        /// The reason of the condition `PodScheduled`.
        reason: &'static str,
        /// Why, for users.
        message: String,
    },
}

/// How a binding went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// It is written.
    Done,
    /// The pod is gone or bound by somebody else.
    Overtaken,
    /// It failed; the pod is to be tried again.
    Failed,
}

/// The state of the scheduler.
#[derive(Debug)]
pub struct Engine {
    scheduler_name: String,
    cluster: Cluster,
    queue: Queue,
    chance: Chance,
    /// Decided, not yet told how the binding went.
    binding: HashMap<PodUid, Attempt>,
    /// Rejections to be told: pods that never enter the queue.
    refused: Vec<Decision>,
}

impl Engine {
    /// Knows no node and no pod yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let rng = match config.seed {
            Some(seed) => StdRng::seed_from_u64(seed),
            None => StdRng::from_rng(&mut rand::rng()),
        };
        Self {
            scheduler_name: config.scheduler_name.clone(),
            cluster: Cluster::default(),
            queue: Queue::default(),
            chance: Chance { start: 0, rng, percentage: config.percentage_of_nodes_to_score },
            binding: HashMap::new(),
            refused: Vec::new(),
        }
    }

    /// The nodes and what is placed on them.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// How many pods wait for a node.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// A node is new or changed.
    pub fn node_applied(&mut self, node: Arc<Node>, now: Duration) {
        let name = node.metadata.name.clone().unwrap_or_default();
        let changed =
            self.cluster.node(&name).is_none_or(|known| matters_to_pods(&known.node, &node));
        if let Err(error) = self.cluster.apply_node(node) {
            tracing::warn!(node = name, cause = %error, "the node can't take pods");
        } else if changed {
            self.queue.happened(ClusterEvent::Node, now);
        }
    }

    /// A node is gone.
    pub fn node_deleted(&mut self, name: &str) {
        self.cluster.remove_node(name);
    }

    /// A pod is new or changed.
    pub fn pod_applied(&mut self, pod: &Arc<Pod>, now: Duration) {
        let uid = uid(pod);
        if is_finished(pod) {
            return self.pod_gone(&uid, now);
        }
        match node_name(pod) {
            Some(node) => {
                self.queue.remove(&uid);
                self.place(pod, node, now);
            }
            None if self.is_mine(pod) => self.wait(pod, now),
            None => {}
        }
    }

    /// A pod is gone.
    pub fn pod_deleted(&mut self, pod: &Pod, now: Duration) {
        self.pod_gone(&uid(pod), now);
    }

    /// Everything there is: what is known but not listed is gone.
    pub fn replace(&mut self, nodes: Vec<Arc<Node>>, pods: &[Arc<Pod>], now: Duration) {
        let names: HashSet<&str> =
            nodes.iter().filter_map(|node| node.metadata.name.as_deref()).collect();
        let known = self.cluster.nodes().iter().map(|node| node.name.clone());
        let gone: Vec<String> = known.filter(|name| !names.contains(name.as_str())).collect();
        for name in gone {
            self.node_deleted(&name);
        }
        for node in nodes {
            self.node_applied(node, now);
        }
        let uids: HashSet<PodUid> = pods.iter().map(|pod| uid(pod)).collect();
        let known = self.cluster.placed().chain(self.queue.uids()).cloned();
        let gone: Vec<PodUid> = known.filter(|uid| !uids.contains(uid)).collect();
        for uid in gone {
            self.pod_gone(&uid, now);
        }
        for pod in pods {
            self.pod_applied(pod, now);
        }
    }

    /// Makes the next decision, if there is one to make now.
    pub fn next(&mut self, now: Duration) -> Option<Decision> {
        if let Some(refused) = self.refused.pop() {
            return Some(refused);
        }
        let attempt = self.queue.pop(now)?;
        let pod = Arc::clone(&attempt.pod.pod);
        match schedule(&self.cluster, &attempt.pod, &mut self.chance) {
            Outcome::Node(node) => {
                self.cluster.assume(Arc::clone(&attempt.pod), &node);
                self.binding.insert(attempt.pod.uid.clone(), attempt);
                Some(Decision::Bind { pod, node })
            }
            Outcome::Unschedulable(diagnosis) => {
                let message = diagnosis.to_string();
                self.queue.reject(attempt, diagnosis.plugins, now);
                Some(Decision::Reject { pod, reason: "Unschedulable", message })
            }
        }
    }

    /// How a binding that [`Engine::next`] asked for went.
    pub fn bound(&mut self, uid: &PodUid, outcome: Bound, now: Duration) {
        let attempt = self.binding.remove(uid);
        match outcome {
            // The place is kept until the watch has told.
            Bound::Done => {}
            Bound::Overtaken | Bound::Failed => {
                if !self.cluster.is_assumed(uid) {
                    // Gone, or seen bound, in the meantime.
                    return;
                }
                self.cluster.forget(uid);
                self.queue.happened(ClusterEvent::PlacedPodRemoved, now);
                if let Some(attempt) = attempt.filter(|_| outcome == Bound::Failed) {
                    self.queue.retry(attempt, now);
                }
            }
        }
    }

    /// When [`Engine::next`] may have a decision although nothing happened.
    pub fn wake_at(&mut self) -> Option<Duration> {
        self.queue.wake_at()
    }

    fn is_mine(&self, pod: &Pod) -> bool {
        let wanted = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref());
        // A pod that is going away needs no place.
        wanted.unwrap_or("default-scheduler") == self.scheduler_name
            && pod.metadata.deletion_timestamp.is_none()
    }

    fn place(&mut self, pod: &Arc<Pod>, node: &str, now: Duration) {
        let pod = match PodInfo::new(Arc::clone(pod)) {
            Ok(pod) => Arc::new(pod),
            Err(error) => {
                tracing::warn!(pod = %uid(pod), cause = %error, "a placed pod is not counted");
                return;
            }
        };
        let same_place = self.cluster.node_of(&pod.uid) == Some(node);
        let taken_before = same_place
            .then(|| self.cluster.node(node)?.pods.get(&pod.uid).map(|old| old.requests.clone()))
            .flatten();
        let takes_less = taken_before.is_some_and(|before| before != pod.requests);
        let moved = !same_place && self.cluster.node_of(&pod.uid).is_some();
        self.cluster.apply_pod(pod, node);
        if takes_less || moved {
            self.queue.happened(ClusterEvent::PlacedPodRemoved, now);
        }
    }

    fn wait(&mut self, pod: &Arc<Pod>, now: Duration) {
        let uid = uid(pod);
        if self.cluster.node_of(&uid).is_some() {
            // Decided already; the watch is behind.
            return;
        }
        if let Some(held) = PRE_ENQUEUE.iter().find_map(|plugin| plugin.pre_enqueue(pod)) {
            self.queue.remove(&uid);
            self.refused.push(Decision::Reject {
                pod: Arc::clone(pod),
                reason: held.reason,
                message: held.message,
            });
            return;
        }
        match PodInfo::new(Arc::clone(pod)) {
            Ok(pod) => {
                let changed = self.queue.pod(&uid).is_none_or(|known| {
                    known.pod.spec != pod.pod.spec
                        || known.pod.metadata.labels != pod.pod.metadata.labels
                });
                self.queue.add(Arc::new(pod), changed, now);
            }
            Err(error) => self.refused.push(Decision::Reject {
                pod: Arc::clone(pod),
                reason: "Unschedulable",
                message: error.to_string(),
            }),
        }
    }

    fn pod_gone(&mut self, uid: &PodUid, now: Duration) {
        self.queue.remove(uid);
        self.binding.remove(uid);
        if self.cluster.remove_pod(uid) {
            self.queue.happened(ClusterEvent::PlacedPodRemoved, now);
        }
    }
}

/// Whether anything changed that a plugin looks at; a heartbeat does not.
fn matters_to_pods(old: &Node, new: &Node) -> bool {
    let offered = |node: &Node| node.status.as_ref().and_then(|s| s.allocatable.clone());
    let specification = |node: &Node| node.spec.clone();
    old.metadata.labels != new.metadata.labels
        || specification(old) != specification(new)
        || offered(old) != offered(new)
}

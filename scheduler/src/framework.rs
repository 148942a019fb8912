//! The extension points. A plugin is a unit struct that implements [`Plugin`] and the points it
//! takes part in; [`crate::plugins`] lists which plugins run, and in what order.
//!
//! The order of a cycle: `PreEnqueue` (may the pod be queued at all), `PreFilter` (what can be
//! said without looking at each node), `Filter` (each node), `Score` (each node that passed), and
//! outside of the pure core `Bind`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;

use crate::cluster::{Cluster, NodeInfo};
use crate::pod::PodInfo;

/// The best score a plugin can give, after normalisation. The worst is 0.
pub const SCORE_MAX: i64 = 100;

/// A reason that is shown to the user with the number of nodes it holds for.
pub type Reason = Cow<'static, str>;

/// What may let a rejected pod fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterEvent {
    /// A node came, or changed in what it offers or demands.
    Node,
    /// A pod that was placed is gone, has ended, or takes less.
    PlacedPodRemoved,
    /// The rejected pod itself was changed.
    PodItself,
}

/// What all plugins have.
pub trait Plugin: Sync {
    /// Its name, as upstream's configuration writes it.
    fn name(&self) -> &'static str;
    /// What can make it accept a pod that it rejected. A change of the pod itself always does.
    fn wakers(&self) -> &'static [ClusterEvent];
}

/// Runs before a pod enters the queue.
pub trait PreEnqueue: Plugin {
    /// `Some` holds the pod back and says why, until the pod itself changes.
    fn pre_enqueue(&self, pod: &Pod) -> Option<Held>;
}

/// Why a pod is not queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The reason of the condition `PodScheduled`.
    pub reason: &'static str,
    /// Its message.
    pub message: String,
}

/// What [`PreFilter`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// Nothing about which nodes may fit.
    All,
    /// Only nodes of these names can fit.
    Only(BTreeSet<String>),
    /// No node can fit; says why.
    None(String),
}

/// Runs once for a pod.
pub trait PreFilter: Plugin {
    /// Narrows down the nodes to look at.
    fn pre_filter(&self, pod: &PodInfo, cluster: &Cluster) -> Candidates;
}

/// What [`Filter`] says of a node. A node that doesn't fit is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The pod can run there.
    Fits,
    /// It can't now, but could if other pods left.
    Unschedulable(Vec<Reason>),
    /// It can't, whatever pods left.
    Unresolvable(Vec<Reason>),
}

/// Runs for a pod and a node.
pub trait Filter: Plugin {
    /// Whether the pod can run on the node.
    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Verdict;
}

/// Runs for a pod and each node that passed the filters.
pub trait Score: Plugin {
    /// How well the node suits, on any scale if [`Score::normalize`] is implemented.
    fn score(&self, pod: &PodInfo, node: &NodeInfo) -> i64;

    /// Brings the scores of all nodes to 0..=[`SCORE_MAX`].
    fn normalize(&self, scores: &mut [i64]) {
        debug_assert!(scores.iter().all(|score| (0..=SCORE_MAX).contains(score)));
    }
}

/// Why a binding was not made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The pod is gone, or was bound already: the watch tells, or has told.
    #[error("the pod {pod} is gone or bound already")]
    Overtaken {
        /// Namespace and name.
        pod: String,
    },
    /// Anything else; it is tried again.
    #[error("could not bind {pod} to {node}")]
    Failed {
        /// Namespace and name.
        pod: String,
        /// The chosen node.
        node: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server did not answer in time.
    #[error("no answer to the binding of {pod} to {node}")]
    Timeout {
        /// Namespace and name.
        pod: String,
        /// The chosen node.
        node: String,
    },
}

/// Tells the API server the decision.
pub trait Bind: Plugin {
    /// Binds the pod to the node.
    fn bind<'a>(
        &'a self,
        client: &'a kube::Client,
        pod: &'a Pod,
        node: &'a str,
    ) -> BoxFuture<'a, Result<(), BindError>>;
}

/// Scales scores so that the largest becomes [`SCORE_MAX`]; `reverse` makes the largest the worst.
pub fn scale_to_largest(scores: &mut [i64], reverse: bool) {
    let largest = scores.iter().copied().max().unwrap_or_default();
    for score in scores {
        let scaled = if largest == 0 { 0 } else { *score * SCORE_MAX / largest };
        *score = if reverse { SCORE_MAX - scaled } else { scaled };
    }
}

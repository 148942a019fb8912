//! The scheduler: chooses a node for every pod that has none and binds the pod to it.
//!
//! The core is synchronous and pure: a [`Cluster`] of nodes and the pods placed on them, a
//! [`framework`] of extension points with a module per plugin, a queue of the pods that wait, and
//! an [`Engine`] that turns what was observed into decisions. [`run`] is the thin asynchronous
//! shell that feeds it from the informers and writes its decisions to the API server.
//!
//! A pod that fits nowhere is an outcome, not an error: it stays Pending with the condition
//! `PodScheduled=False` and an event that says why. A constraint in a pod's specification that no
//! plugin honours is never dropped: if the pod requires it, the pod stays Pending and the event
//! names the field; if it only prefers it, the pod is placed and a warning names the field.
//!
//! Non-goals: preemption, several profiles, extenders.
//! Entry types: [`Config`], [`run`]. Privileges: none of the host; of the API server, those of
//! `system:kube-scheduler`.

pub mod cluster;
pub mod cycle;
mod daemon;
pub mod engine;
pub mod framework;
pub mod plugins;
pub mod pod;
pub mod queue;
pub mod resources;
#[cfg(test)]
mod simulation;

pub use cluster::Cluster;
pub use daemon::{Error, run};
pub use engine::Engine;

use serde::{Deserialize, Serialize};

/// What can be set about the scheduler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Pods that name this scheduler are placed by it. Default: `default-scheduler`.
    pub scheduler_name: String,
    /// How many bindings are written at the same time, at most. Default: 32.
    pub concurrent_binds_max: usize,
    /// The share of the nodes in percent that is scored once enough nodes fit; 0 chooses a share
    /// that shrinks as the cluster grows. Default: 0.
    pub percentage_of_nodes_to_score: u8,
    /// Seed for the choice among nodes that score the same. Default: none, taken from the system.
    pub seed: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            scheduler_name: "default-scheduler".to_owned(),
            concurrent_binds_max: 32,
            percentage_of_nodes_to_score: 0,
            seed: None,
        }
    }
}

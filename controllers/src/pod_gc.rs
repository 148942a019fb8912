//! Pods that nobody else will ever remove: those of nodes that are gone, those that were deleted
//! before they had a node, and the oldest of too many that have ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use corten_client::Informer;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;
use tokio::time::Instant;

use crate::context::Context;
use crate::error::{SyncError, on};
use crate::objects::{Key, is_deleted, name, uid};
use crate::pods;
use crate::runner::{Controller, Next, Runner, Writes};

/// A node may come back, or its watch be behind that of pods.
const NODE_GONE_FOR: Duration = Duration::from_secs(40);

struct PodGcController {
    context: Context,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    missing_since: Mutex<HashMap<String, Instant>>,
    writes: Writes<Key>,
}

pub(crate) fn start(context: &Context) {
    let controller = PodGcController {
        context: context.clone(),
        nodes: context.informers.get(),
        pods: context.informers.get(),
        missing_since: Mutex::default(),
        writes: Writes::default(),
    };
    let (nodes, pods) = (controller.nodes.clone(), controller.pods.clone());
    Runner::new(context, controller)
        .watch(nodes, PodGcController::keys_of_node)
        .watch(pods, |this, pod| this.concerns(pod).then(|| Key::of(pod)).into_iter().collect())
        .start(1);
}

/// Why a pod is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    NodeGone,
    NeverPlaced,
    TooMany,
}

impl PodGcController {
    fn keys_of_node(&self, node: &Node) -> Vec<Key> {
        if self.nodes.object(None, name(node)).is_some() {
            self.missing().remove(name(node));
            return Vec::new();
        }
        let pods = self.pods.store().state();
        let on_node = pods.iter().filter(|pod| pods::node_name(pod) == Some(name(node)));
        on_node.map(|pod| Key::of(&**pod)).collect()
    }

    fn missing(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.missing_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the pod may have to be removed.
    fn concerns(&self, pod: &Pod) -> bool {
        match pods::node_name(pod) {
            Some(node) => pods::is_terminal(pod) || self.nodes.object(None, node).is_none(),
            None => is_deleted(pod) || pods::is_terminal(pod),
        }
    }

    fn reason(&self, pod: &Pod) -> Result<Option<Reason>, Duration> {
        match pods::node_name(pod) {
            None if is_deleted(pod) => return Ok(Some(Reason::NeverPlaced)),
            Some(node) if self.nodes.object(None, node).is_none() => {
                let since = *self.missing().entry(node.to_owned()).or_insert_with(Instant::now);
                let left = NODE_GONE_FOR.saturating_sub(since.elapsed());
                return if left.is_zero() { Ok(Some(Reason::NodeGone)) } else { Err(left) };
            }
            None | Some(_) => {}
        }
        let is_excess = pods::is_terminal(pod) && !is_deleted(pod) && self.is_among_oldest(pod);
        Ok(is_excess.then_some(Reason::TooMany))
    }

    fn is_among_oldest(&self, pod: &Pod) -> bool {
        let pods = self.pods.store().state().into_iter();
        let mut ended: Vec<Arc<Pod>> =
            pods.filter(|pod| pods::is_terminal(pod) && !is_deleted(&**pod)).collect();
        let excess = ended.len().saturating_sub(self.context.config.terminated_pod_gc_threshold);
        if excess == 0 {
            return false;
        }
        ended.sort_by(|a, b| {
            let age = |pod: &Pod| pod.metadata.creation_timestamp.clone();
            age(a).cmp(&age(b)).then_with(|| uid(&**a).cmp(uid(&**b)))
        });
        ended.iter().take(excess).any(|other| uid(&**other) == uid(pod))
    }

    async fn remove(&self, key: &Key, pod: &Pod, reason: Reason) -> Result<(), SyncError> {
        let api = Api::<Pod>::namespaced(self.context.client(), &key.namespace);
        if reason == Reason::NodeGone && !pods::is_terminal(pod) {
            let disrupted = json!({
                "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
                "message": "PodGC: node no longer exists",
                "lastTransitionTime": self.context.clock.time(),
            });
            let patch = json!({
                "metadata": { "uid": uid(pod) },
                "status": { "phase": "Failed", "conditions": [disrupted] },
            });
            let params = PatchParams::default();
            api.patch_status(&key.name, &params, &Patch::Strategic(patch)).await.map_err(on::<
                Pod,
            >(
                "fail",
                Some(&key.namespace),
                &key.name,
            ))?;
        }
        tracing::info!(pod = %key, ?reason, "removing the pod");
        let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        // No kubelet would confirm its end.
        let params = DeleteParams::default().grace_period(0).preconditions(preconditions);
        let deleted = api.delete(&key.name, &params).await;
        match deleted.map_err(on::<Pod>("remove", Some(&key.namespace), &key.name)) {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Controller for PodGcController {
    type Key = Key;

    fn name(&self) -> &'static str {
        "pod-garbage-collector-controller"
    }

    fn all(&self) -> Vec<Key> {
        let pods = self.pods.store().state();
        pods.iter().filter(|pod| self.concerns(pod)).map(|pod| Key::of(&**pod)).collect()
    }

    fn writes(&self) -> &Writes<Key> {
        &self.writes
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, SyncError> {
        let Some(pod) = self.pods.object(Some(&key.namespace), &key.name) else {
            return Ok(Next::Done);
        };
        let reason = match self.reason(&pod) {
            Ok(Some(reason)) => reason,
            Ok(None) => return Ok(Next::Done),
            Err(wait) => return Ok(Next::After(wait)),
        };
        if reason == Reason::NodeGone
            && let Some(node) = pods::node_name(&pod)
        {
            let there = Api::<Node>::all(self.context.client())
                .get_metadata_opt(node)
                .await
                .map_err(on::<Node>("get", None, node))?;
            if there.is_some() {
                return Ok(Next::After(NODE_GONE_FOR));
            }
        }
        self.remove(key, &pod, reason).await?;
        Ok(Next::Done)
    }
}

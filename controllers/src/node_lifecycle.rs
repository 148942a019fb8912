//! Whether nodes are alive: a node that is silent for too long is told to be Unknown, and taints
//! say to the scheduler and to pods what state a node is in.

mod taints;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use corten_client::{EventType, Informer};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource as _};
use serde_json::json;
use tokio::time::Instant;

use crate::context::Context;
use crate::error::{SyncError, on};
use crate::objects::{Key, name, namespace, uid};
use crate::pods;
use crate::runner::{Controller, Next, Runner, Writes};

const LEASE_NAMESPACE: &str = "kube-node-lease";
/// What the kubelet tells; unknown when it is silent.
const TOLD_BY_KUBELET: &[&str] = &["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

struct NodeLifecycleController {
    context: Context,
    nodes: Informer<Node>,
    leases: Informer<Lease>,
    pods: Informer<Pod>,
    heard: Mutex<HashMap<String, Heard>>,
    any_ready: AtomicBool,
    writes: Writes<Key>,
}

/// The last sign of life, and when it was seen here: clocks of machines differ.
#[derive(Debug, PartialEq)]
struct Heard {
    renewed: Option<MicroTime>,
    heartbeat: Option<Time>,
    at: Instant,
}

pub(crate) fn start(context: &Context) {
    let controller = NodeLifecycleController {
        context: context.clone(),
        nodes: context.informers.get(),
        leases: context.informers.get(),
        pods: context.informers.get(),
        heard: Mutex::default(),
        any_ready: AtomicBool::new(false),
        writes: Writes::default(),
    };
    let (nodes, leases) = (controller.nodes.clone(), controller.leases.clone());
    let pods = controller.pods.clone();
    Runner::new(context, controller)
        .watch(nodes, NodeLifecycleController::keys_of_node)
        .watch(leases, |_, lease| {
            let is_node = namespace(lease) == LEASE_NAMESPACE;
            is_node.then(|| Key::new("", name(lease))).into_iter().collect()
        })
        // Read when a node is lost.
        .watch(pods, |_, _| Vec::new())
        .start(1);
}

/// The status of a condition; `None` if the node has none of that type.
fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

fn is_ready(node: &Node) -> bool {
    condition(node, "Ready").is_some_and(|condition| condition.status == "True")
}

impl NodeLifecycleController {
    /// Whether any node is left changes what is right for all.
    fn keys_of_node(&self, node: &Node) -> Vec<Key> {
        let any = self.nodes.store().state().iter().any(|node| is_ready(node));
        if self.any_ready.swap(any, Ordering::Relaxed) == any {
            return vec![Key::of(node)];
        }
        self.all()
    }

    /// How long the node has been silent.
    fn silence(&self, node: &Node) -> Duration {
        let lease = self.leases.object(Some(LEASE_NAMESPACE), name(node));
        let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.clone());
        let heartbeat =
            condition(node, "Ready").and_then(|ready| ready.last_heartbeat_time.clone());
        let sign = Heard { renewed, heartbeat, at: Instant::now() };
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match heard.get(name(node)) {
            Some(last) if last.renewed == sign.renewed && last.heartbeat == sign.heartbeat => {
                last.at.elapsed()
            }
            Some(_) | None => {
                heard.insert(name(node).to_owned(), sign);
                Duration::ZERO
            }
        }
    }

    async fn tell_unknown(&self, key: &Key, node: &Node) -> Result<Node, SyncError> {
        let now = self.context.clock.time();
        let conditions: Vec<NodeCondition> = TOLD_BY_KUBELET
            .iter()
            .map(|kind| {
                let before = condition(node, kind);
                let (reason, message) = match before {
                    Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
                    None => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
                };
                NodeCondition {
                    type_: (*kind).to_owned(),
                    status: "Unknown".to_owned(),
                    reason: Some(reason.to_owned()),
                    message: Some(message.to_owned()),
                    last_heartbeat_time: before.and_then(|one| one.last_heartbeat_time.clone()),
                    last_transition_time: Some(now.clone()),
                }
            })
            .collect();
        let patch =
            json!({ "metadata": { "uid": uid(node) }, "status": { "conditions": conditions } });
        let patched = Api::<Node>::all(self.context.client())
            .patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(patch))
            .await
            .map_err(on::<Node>("update the status of", None, &key.name))?;
        tracing::warn!(node = key.name, "the node is silent");
        let message = format!("Node {} status is now: NodeNotReady", key.name);
        let reference = node.object_ref(&());
        self.context.recorder.event(&reference, EventType::Normal, "NodeNotReady", message);
        self.writes.wrote(key, &patched);
        Ok(patched)
    }

    /// Nobody would tell otherwise that the pods of a lost node don't serve.
    async fn tell_pods_not_ready(&self, node: &str) -> Result<(), SyncError> {
        let pods = self.pods.store().state().into_iter();
        for pod in pods.filter(|pod| pods::node_name(pod) == Some(node) && pods::is_ready(pod)) {
            let ready = json!({
                "type": "Ready", "status": "False", "reason": "NodeNotReady",
                "message": "the node is silent", "lastTransitionTime": self.context.clock.time(),
            });
            let patch =
                json!({ "metadata": { "uid": uid(&*pod) }, "status": { "conditions": [ready] } });
            let patched = Api::<Pod>::namespaced(self.context.client(), namespace(&*pod))
                .patch_status(name(&*pod), &PatchParams::default(), &Patch::Strategic(patch))
                .await
                .map_err(on::<Pod>("update the status of", Some(namespace(&*pod)), name(&*pod)));
            match patched {
                Ok(_) => {
                    let (kind, message) = (EventType::Warning, "Node is not ready");
                    let reference = pod.object_ref(&());
                    self.context.recorder.event(&reference, kind, "NodeNotReady", message);
                }
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn taint(&self, key: &Key, node: &Node) -> Result<(), SyncError> {
        let nodes = self.nodes.store().state();
        // With no node left there is nowhere to go, and more likely it is us who are cut off.
        let evict = nodes.iter().any(|node| is_ready(node));
        let Some(taints) = taints::wanted(node, evict, &self.context.clock.time()) else {
            return Ok(());
        };
        let patch = json!({
            "metadata": { "resourceVersion": node.metadata.resource_version },
            "spec": { "taints": taints },
        });
        let patched = Api::<Node>::all(self.context.client())
            .patch(&key.name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(on::<Node>("taint", None, &key.name))?;
        self.writes.wrote(key, &patched);
        Ok(())
    }
}

impl Controller for NodeLifecycleController {
    type Key = Key;

    fn name(&self) -> &'static str {
        "node-lifecycle-controller"
    }

    fn all(&self) -> Vec<Key> {
        self.nodes.store().state().iter().map(|node| Key::of(&**node)).collect()
    }

    fn writes(&self) -> &Writes<Key> {
        &self.writes
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, SyncError> {
        let Some(node) = self.nodes.object(None, &key.name) else {
            self.heard.lock().unwrap_or_else(PoisonError::into_inner).remove(&key.name);
            return Ok(Next::Done);
        };
        let grace =
            Duration::from_secs(u64::from(self.context.config.node_monitor_grace_period_seconds));
        let silence = self.silence(&node);
        let is_unknown =
            condition(&node, "Ready").is_some_and(|condition| condition.status == "Unknown");
        let told;
        let mut node = &*node;
        if silence >= grace && !is_unknown {
            told = self.tell_unknown(key, node).await?;
            node = &told;
        }
        self.taint(key, node).await?;
        if silence >= grace {
            self.tell_pods_not_ready(&key.name).await?;
            return Ok(Next::Done);
        }
        Ok(Next::After(grace - silence))
    }
}

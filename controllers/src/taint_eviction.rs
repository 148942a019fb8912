//! Pods leave nodes whose `NoExecute` taints they do not tolerate, or not for any longer.

use std::time::Duration;

use corten_client::{EventType, Informer};
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Resource as _};
use serde_json::json;

use crate::context::Context;
use crate::error::{SyncError, on};
use crate::objects::{Key, is_deleted, name, uid};
use crate::pods;
use crate::runner::{Controller, Next, Runner, Writes};

/// How long pods stay on a node that is not ready or can't be reached if they don't say. The
/// same that upstream's admission writes into every pod that doesn't.
const UNSAID_SECONDS: i64 = 300;

struct TaintEvictionController {
    context: Context,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    writes: Writes<Key>,
}

pub(crate) fn start(context: &Context) {
    let controller = TaintEvictionController {
        context: context.clone(),
        nodes: context.informers.get(),
        pods: context.informers.get(),
        writes: Writes::default(),
    };
    let (nodes, pods) = (controller.nodes.clone(), controller.pods.clone());
    Runner::new(context, controller)
        .watch(nodes, TaintEvictionController::keys_of_node)
        .watch(pods, TaintEvictionController::keys_of_pod)
        .start(context.config.concurrent_syncs);
}

fn evicting(node: &Node) -> Vec<&Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    taints.into_iter().flatten().filter(|taint| taint.effect == "NoExecute").collect()
}

/// When a pod has to leave; `None` if it may stay for ever.
fn leaves_at(tolerations: &[Toleration], taints: &[&Taint], now: Timestamp) -> Option<Timestamp> {
    let deadline = |taint: &Taint| {
        let since = taint.time_added.as_ref().map_or(now, |time| time.0);
        let after = |seconds: i64| {
            let stay = SignedDuration::from_secs(seconds.max(0));
            since.checked_add(stay).unwrap_or(Timestamp::MAX)
        };
        let matching: Vec<_> = tolerations.iter().filter(|one| tolerates(one, taint)).collect();
        if matching.is_empty() {
            let is_lost = matches!(
                taint.key.as_str(),
                "node.kubernetes.io/not-ready" | "node.kubernetes.io/unreachable"
            );
            return Some(if is_lost { after(UNSAID_SECONDS) } else { now });
        }
        matching.iter().filter_map(|one| one.toleration_seconds).min().map(after)
    };
    taints.iter().filter_map(|taint| deadline(taint)).min()
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    if !effect.is_empty() && effect != taint.effect || !key.is_empty() && key != taint.key {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or_default() {
        "Exists" => true,
        "" | "Equal" => !key.is_empty() && text(&toleration.value) == text(&taint.value),
        _ => false,
    }
}

impl TaintEvictionController {
    fn keys_of_node(&self, node: &Node) -> Vec<Key> {
        if evicting(node).is_empty() {
            return Vec::new();
        }
        let pods = self.pods.store().state();
        let on_node = pods.iter().filter(|pod| pods::node_name(pod) == Some(name(node)));
        on_node.map(|pod| Key::of(&**pod)).collect()
    }

    fn keys_of_pod(&self, pod: &Pod) -> Vec<Key> {
        let node = pods::node_name(pod).and_then(|node| self.nodes.object(None, node));
        let is_tainted = node.is_some_and(|node| !evicting(&node).is_empty());
        is_tainted.then(|| Key::of(pod)).into_iter().collect()
    }

    async fn evict(&self, key: &Key, pod: &Pod) -> Result<(), SyncError> {
        let api = Api::<Pod>::namespaced(self.context.client(), &key.namespace);
        let message = format!("Marking for deletion Pod {key}");
        let reference = pod.object_ref(&());
        self.context.recorder.event(&reference, EventType::Normal, "TaintManagerEviction", message);
        let disrupted = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": self.context.clock.time(),
        });
        let patch =
            json!({ "metadata": { "uid": uid(pod) }, "status": { "conditions": [disrupted] } });
        let patched =
            api.patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(patch)).await;
        match patched.map_err(on::<Pod>("mark", Some(&key.namespace), &key.name)) {
            Ok(_) => {}
            Err(error) if error.is_not_found() || error.is_conflict() => return Ok(()),
            Err(error) => return Err(error),
        }
        let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams::default().preconditions(preconditions);
        match api.delete(&key.name, &params).await.map_err(on::<Pod>(
            "evict",
            Some(&key.namespace),
            &key.name,
        )) {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Controller for TaintEvictionController {
    type Key = Key;

    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn all(&self) -> Vec<Key> {
        let nodes = self.nodes.store().state();
        nodes.iter().flat_map(|node| self.keys_of_node(node)).collect()
    }

    fn writes(&self) -> &Writes<Key> {
        &self.writes
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, SyncError> {
        let Some(pod) = self.pods.object(Some(&key.namespace), &key.name) else {
            return Ok(Next::Done);
        };
        let node = pods::node_name(&pod).and_then(|node| self.nodes.object(None, node));
        let Some(node) = node.filter(|_| pods::is_active(&pod) && !is_deleted(&*pod)) else {
            return Ok(Next::Done);
        };
        let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref());
        let now = self.context.clock.now();
        let at = leaves_at(tolerations.unwrap_or_default(), &evicting(&node), now);
        match at {
            None => Ok(Next::Done),
            Some(at) if at > now => {
                let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
                Ok(Next::After(wait))
            }
            Some(_) => {
                self.evict(key, &pod).await?;
                Ok(Next::Done)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(tolerations: serde_json::Value, taints: serde_json::Value) -> Option<i64> {
        let tolerations: Vec<Toleration> = serde_json::from_value(tolerations).unwrap();
        let taints: Vec<Taint> = serde_json::from_value(taints).unwrap();
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let taints: Vec<&Taint> = taints.iter().collect();
        leaves_at(&tolerations, &taints, now).map(|at| at.duration_since(now).as_secs())
    }

    fn lost() -> serde_json::Value {
        json!({ "key": "node.kubernetes.io/unreachable", "effect": "NoExecute",
            "timeAdded": "2026-01-01T00:00:00Z" })
    }

    #[test]
    fn the_shortest_stay_counts() {
        let other = json!({ "key": "k", "effect": "NoExecute" });
        let tolerated = json!({ "key": "k", "operator": "Exists" });
        let briefly = json!({ "key": "node.kubernetes.io/unreachable", "operator": "Exists",
            "tolerationSeconds": 90 });
        // No time was named: five minutes, of which one is over.
        assert_eq!(leaves(json!([]), json!([lost()])), Some(240));
        assert_eq!(leaves(json!([briefly]), json!([lost()])), Some(30));
        assert_eq!(leaves(json!([{ "operator": "Exists" }]), json!([lost()])), None);
        assert_eq!(leaves(json!([]), json!([other])), Some(0));
        assert_eq!(leaves(json!([tolerated]), json!([other])), None);
        assert_eq!(leaves(json!([tolerated, briefly]), json!([other, lost()])), Some(30));
        assert_eq!(leaves(json!([]), json!([])), None);
    }
}

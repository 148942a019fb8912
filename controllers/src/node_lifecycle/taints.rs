//! The taints that say what state a node is in. Pure.

use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::condition;

pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Conditions that, when `True`, keep new pods away.
const BY_CONDITION: &[(&str, &str)] = &[
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];

/// All taints that the node should have, or `None` if it has them. Taints of others stay. Pods
/// are only driven away if `evict`.
pub(super) fn wanted(node: &Node, evict: bool, now: &Time) -> Option<Vec<Taint>> {
    let before = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let ours = ours(node, evict);
    let is_managed = |taint: &Taint| {
        let by_condition = BY_CONDITION.iter().map(|(_, key)| *key);
        let mut keys = by_condition.chain([NOT_READY, UNREACHABLE, UNSCHEDULABLE]);
        let is_ours = keys.any(|key| key == taint.key);
        is_ours && matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
    };
    let is =
        |taint: &Taint, (key, effect): (&str, &str)| taint.key == key && taint.effect == effect;
    let mut after: Vec<Taint> = before
        .iter()
        .filter(|taint| !is_managed(taint) || ours.iter().any(|one| is(taint, *one)))
        .cloned()
        .collect();
    for one in ours {
        if !after.iter().any(|taint| is(taint, one)) {
            after.push(Taint {
                key: one.0.to_owned(),
                effect: one.1.to_owned(),
                // When pods have to leave counts from here.
                time_added: Some(now.clone()),
                value: None,
            });
        }
    }
    (after != before).then_some(after)
}

fn ours(node: &Node, evict: bool) -> Vec<(&'static str, &'static str)> {
    let mut ours = Vec::new();
    let ready = condition(node, "Ready").map(|condition| condition.status.as_str());
    let state = match ready {
        Some("True") => None,
        Some("Unknown") => Some(UNREACHABLE),
        Some(_) | None => Some(NOT_READY),
    };
    if let Some(state) = state {
        ours.push((state, "NoSchedule"));
        // A node that has never told anything is about to start, not lost.
        if evict && ready.is_some() {
            ours.push((state, "NoExecute"));
        }
    }
    for (kind, key) in BY_CONDITION {
        if condition(node, kind).is_some_and(|condition| condition.status == "True") {
            ours.push((key, "NoSchedule"));
        }
    }
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        ours.push((UNSCHEDULABLE, "NoSchedule"));
    }
    ours
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(spec: Value, conditions: Value, evict: bool, expected: &str) {
        let node: Node = serde_json::from_value(json!({
            "metadata": { "name": "n" }, "spec": spec, "status": { "conditions": conditions },
        }))
        .unwrap();
        let now = Time("2026-01-01T00:00:00Z".parse().unwrap());
        let text = match wanted(&node, evict, &now) {
            None => "as it is".to_owned(),
            Some(taints) => taints
                .iter()
                .map(|taint| format!("{}:{}", taint.key, taint.effect))
                .collect::<Vec<_>>()
                .join(" "),
        };
        assert_eq!(text, expected);
    }

    fn ready(status: &str) -> Value {
        json!([{ "type": "Ready", "status": status }])
    }

    #[test]
    fn a_healthy_node_keeps_only_taints_of_others() {
        check(json!({}), ready("True"), true, "as it is");
        let spec = json!({ "taints": [
            { "key": "example.com/gpu", "effect": "NoSchedule" },
            { "key": NOT_READY, "effect": "NoSchedule" },
            { "key": UNREACHABLE, "effect": "NoExecute" },
        ] });
        check(spec, ready("True"), true, "example.com/gpu:NoSchedule");
    }

    #[test]
    fn a_lost_node_repels_and_evicts_unless_all_are_lost() {
        let both =
            "node.kubernetes.io/unreachable:NoSchedule node.kubernetes.io/unreachable:NoExecute";
        check(json!({}), ready("Unknown"), true, both);
        let soft = "node.kubernetes.io/unreachable:NoSchedule";
        check(json!({}), ready("Unknown"), false, soft);
        let tainted = json!({ "taints": [
            { "key": UNREACHABLE, "effect": "NoSchedule" },
            { "key": UNREACHABLE, "effect": "NoExecute" },
        ] });
        check(tainted, ready("Unknown"), false, soft);
    }

    #[test]
    fn a_new_node_takes_no_pods_yet() {
        check(json!({}), json!([]), true, "node.kubernetes.io/not-ready:NoSchedule");
    }

    #[test]
    fn pressure_and_cordons_repel() {
        let conditions = json!([
            { "type": "Ready", "status": "True" },
            { "type": "DiskPressure", "status": "True" },
            { "type": "MemoryPressure", "status": "False" },
        ]);
        let expected = "node.kubernetes.io/disk-pressure:NoSchedule node.kubernetes.io/unschedulable:NoSchedule";
        check(json!({ "unschedulable": true }), conditions, true, expected);
    }
}

//! Which pods go first when there are too many: those that are missed the least.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;

use crate::objects::annotation;
use crate::pods;

/// Set by users on pods that should go first, or last.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The `count` pods that should go. `siblings` are all active pods of the same owner: a node with
/// several of them loses one before others do.
pub(super) fn first_to_go(
    active: &[Arc<Pod>],
    siblings: &[Arc<Pod>],
    count: usize,
    now: Timestamp,
) -> Vec<Arc<Pod>> {
    let mut on_node: HashMap<&str, usize> = HashMap::new();
    for node in siblings.iter().filter_map(|pod| pods::node_name(pod)) {
        *on_node.entry(node).or_default() += 1;
    }
    let crowd = |pod: &Pod| {
        pods::node_name(pod).and_then(|node| on_node.get(node)).copied().unwrap_or_default()
    };
    let mut ranked = active.to_vec();
    ranked.sort_by(|a, b| {
        standing(a)
            .cmp(&standing(b))
            .then_with(|| cost(a).cmp(&cost(b)))
            .then_with(|| crowd(b).cmp(&crowd(a)))
            .then_with(|| by_ready_time(a, b, now))
            .then_with(|| Reverse(restarts(a)).cmp(&Reverse(restarts(b))))
            .then_with(|| by_age(a, b, now))
            .then_with(|| a.metadata.uid.cmp(&b.metadata.uid))
    });
    ranked.truncate(count);
    ranked
}

/// Lower goes first: unassigned, then pending, unknown, running, ready.
fn standing(pod: &Pod) -> (bool, u8, bool) {
    let phase = match pods::phase(pod) {
        "Running" => 2,
        "Unknown" => 1,
        _ => 0,
    };
    (pods::node_name(pod).is_some(), phase, pods::is_ready(pod))
}

fn cost(pod: &Pod) -> i32 {
    annotation(pod, DELETION_COST).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Whoever has been ready for a shorter time goes first; times of the same magnitude are equal,
/// so that not always the newest pods are hit.
fn by_ready_time(a: &Pod, b: &Pod, now: Timestamp) -> Ordering {
    let times = (pods::ready_since(a), pods::ready_since(b));
    let (Some(a), Some(b)) = times else { return Ordering::Equal };
    magnitude(a, now).cmp(&magnitude(b, now))
}

fn by_age(a: &Pod, b: &Pod, now: Timestamp) -> Ordering {
    let created = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let (Some(a), Some(b)) = (created(a), created(b)) else { return Ordering::Equal };
    magnitude(a, now).cmp(&magnitude(b, now))
}

fn magnitude(since: Timestamp, now: Timestamp) -> u32 {
    let seconds = now.duration_since(since).as_secs().max(0);
    seconds.unsigned_abs().checked_ilog2().map_or(0, |log| log + 1)
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten().map(|status| status.restart_count).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::name;
    use serde_json::json;

    const NOW: &str = "2026-01-01T12:00:00Z";

    fn pod(name: &str, node: Option<&str>, phase: &str, ready: Option<&str>) -> Pod {
        let conditions: Vec<_> = ready
            .iter()
            .map(|since| json!({ "type": "Ready", "status": "True", "lastTransitionTime": since }))
            .collect();
        serde_json::from_value(json!({
            "metadata": { "name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z" },
            "spec": { "containers": [], "nodeName": node },
            "status": { "phase": phase, "conditions": conditions },
        }))
        .unwrap()
    }

    fn order(pods: Vec<Pod>) -> Vec<String> {
        let pods: Vec<Arc<Pod>> = pods.into_iter().map(Arc::new).collect();
        let ranked = first_to_go(&pods, &pods, pods.len(), NOW.parse().unwrap());
        ranked.iter().map(|pod| name(&**pod).to_owned()).collect()
    }

    #[test]
    fn pods_that_serve_least_go_first() {
        let since = Some("2026-01-01T01:00:00Z");
        let pods = vec![
            pod("ready", Some("a"), "Running", since),
            pod("running", Some("b"), "Running", None),
            pod("pending", Some("c"), "Pending", None),
            pod("unassigned", None, "Pending", None),
        ];
        assert_eq!(order(pods), ["unassigned", "pending", "running", "ready"]);
    }

    #[test]
    fn cheap_pods_go_before_crowded_before_fresh_ones() {
        let since = Some("2026-01-01T01:00:00Z");
        let mut cheap = pod("cheap", Some("a"), "Running", since);
        cheap.metadata.annotations =
            Some([(DELETION_COST.to_owned(), "-5".to_owned())].into_iter().collect());
        let pods = vec![
            pod("alone", Some("b"), "Running", since),
            pod("fresh", Some("c"), "Running", Some("2026-01-01T11:59:00Z")),
            pod("crowded1", Some("d"), "Running", since),
            pod("crowded2", Some("d"), "Running", since),
            cheap,
        ];
        assert_eq!(order(pods), ["cheap", "crowded1", "crowded2", "fresh", "alone"]);
    }

    #[test]
    fn restarted_pods_go_before_steady_ones() {
        let since = Some("2026-01-01T01:00:00Z");
        let mut restarted = pod("z", Some("a"), "Running", since);
        let status =
            json!({ "name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 3 });
        restarted.status.as_mut().unwrap().container_statuses =
            Some(vec![serde_json::from_value(status).unwrap()]);
        assert_eq!(order(vec![pod("a", Some("b"), "Running", since), restarted]), ["z", "a"]);
    }
}

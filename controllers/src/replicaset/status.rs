//! The status of a ReplicaSet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::error::SyncError;
use crate::pods;

const REPLICA_FAILURE: &str = "ReplicaFailure";

/// How many pods there should be.
pub(super) fn wanted(set: &ReplicaSet) -> usize {
    let replicas = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    usize::try_from(replicas).unwrap_or_default()
}

fn min_ready_seconds(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default()
}

/// What the status should be, given the active pods, the number of those that are ending, and
/// why pods could not be made or deleted, if they couldn't.
pub(super) fn compute(
    set: &ReplicaSet,
    active: &[Arc<Pod>],
    terminating: usize,
    failure: Option<&SyncError>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let labels = set
        .spec
        .as_ref()
        .and_then(|spec| spec.template.as_ref()?.metadata.as_ref()?.labels.clone())
        .unwrap_or_default();
    let none = BTreeMap::new();
    let fully_labelled = |pod: &Pod| {
        let have = pod.metadata.labels.as_ref().unwrap_or(&none);
        labels.iter().all(|(key, value)| have.get(key) == Some(value))
    };
    let available = |pod: &Pod| {
        pods::available_in(pod, min_ready_seconds(set), now).is_some_and(|wait| wait.is_zero())
    };
    let count = |holds: &dyn Fn(&Pod) -> bool| number(active.iter().filter(|p| holds(p)).count());
    let some = |count: i32| (count != 0).then_some(count);
    let before = set.status.clone().unwrap_or_default();
    let mut conditions = before.conditions.unwrap_or_default();
    match failure {
        None => conditions.retain(|condition| condition.type_ != REPLICA_FAILURE),
        Some(failure) if conditions.iter().all(|one| one.type_ != REPLICA_FAILURE) => {
            let is_missing = active.len() < wanted(set);
            conditions.push(ReplicaSetCondition {
                type_: REPLICA_FAILURE.to_owned(),
                status: "True".to_owned(),
                reason: Some(if is_missing { "FailedCreate" } else { "FailedDelete" }.to_owned()),
                message: Some(failure.message()),
                last_transition_time: Some(Time(now)),
            });
        }
        // Told already.
        Some(_) => {}
    }
    ReplicaSetStatus {
        replicas: number(active.len()),
        fully_labeled_replicas: some(count(&fully_labelled)),
        ready_replicas: some(count(&pods::is_ready)),
        available_replicas: some(count(&available)),
        terminating_replicas: Some(number(terminating)),
        observed_generation: set.metadata.generation,
        conditions: (!conditions.is_empty()).then_some(conditions),
    }
}

/// When the next ready pod becomes available.
pub(super) fn next_available(
    set: &ReplicaSet,
    active: &[Arc<Pod>],
    now: Timestamp,
) -> Option<Duration> {
    let waits =
        active.iter().filter_map(|pod| pods::available_in(pod, min_ready_seconds(set), now));
    waits.filter(|wait| !wait.is_zero()).min()
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: &str = "2026-01-01T12:00:00Z";

    fn set(replicas: i32, min_ready_seconds: i32) -> ReplicaSet {
        serde_json::from_value(json!({
            "metadata": { "name": "r", "generation": 4 },
            "spec": {
                "replicas": replicas, "minReadySeconds": min_ready_seconds,
                "selector": { "matchLabels": { "app": "web" } },
                "template": { "metadata": { "labels": { "app": "web", "tier": "front" } } },
            },
        }))
        .unwrap()
    }

    fn pod(labels: serde_json::Value, ready_since: Option<&str>) -> Arc<Pod> {
        let conditions: Vec<_> = ready_since
            .iter()
            .map(|since| json!({ "type": "Ready", "status": "True", "lastTransitionTime": since }))
            .collect();
        Arc::new(
            serde_json::from_value(json!({
                "metadata": { "name": "p", "labels": labels },
                "status": { "conditions": conditions },
            }))
            .unwrap(),
        )
    }

    #[test]
    fn pods_are_counted_by_how_far_they_are() {
        let full = json!({ "app": "web", "tier": "front" });
        let pods = [
            pod(full.clone(), Some("2026-01-01T11:59:00Z")),
            pod(full, Some("2026-01-01T11:59:55Z")),
            pod(json!({ "app": "web" }), None),
        ];
        let now = NOW.parse().unwrap();
        let status = compute(&set(3, 10), &pods, 2, None, now);
        expect_test::expect![[r#"
            {"availableReplicas":1,"fullyLabeledReplicas":2,"observedGeneration":4,"readyReplicas":2,"replicas":3,"terminatingReplicas":2}"#]]
        .assert_eq(&serde_json::to_string(&status).unwrap());
        assert_eq!(next_available(&set(3, 10), &pods, now), Some(Duration::from_secs(5)));
        assert_eq!(next_available(&set(3, 0), &pods, now), None);
    }
}

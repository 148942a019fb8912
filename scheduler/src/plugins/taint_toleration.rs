//! Taints repel the pods that do not tolerate them.

use k8s_openapi::api::core::v1::{Taint, Toleration};

use crate::cluster::NodeInfo;
use crate::framework::{ClusterEvent, Filter, Plugin, Score, Verdict, scale_to_largest};
use crate::pod::PodInfo;

/// Rejects nodes with a `NoSchedule` or `NoExecute` taint that the pod does not tolerate, and
/// prefers nodes with fewer such `PreferNoSchedule` taints.
#[derive(Clone, Copy, Debug)]
pub(super) struct TaintToleration;

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn wakers(&self) -> &'static [ClusterEvent] {
        &[ClusterEvent::Node]
    }
}

impl Filter for TaintToleration {
    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let repelled = taints(node)
            .filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
            .any(|taint| !tolerates(pod, taint));
        if repelled {
            return Verdict::Unresolvable(vec!["node(s) had untolerated taint(s)".into()]);
        }
        Verdict::Fits
    }
}

impl Score for TaintToleration {
    fn score(&self, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let disliked = taints(node)
            .filter(|taint| taint.effect == "PreferNoSchedule")
            .filter(|taint| !tolerates(pod, taint))
            .count();
        i64::try_from(disliked).unwrap_or(i64::MAX)
    }

    fn normalize(&self, scores: &mut [i64]) {
        scale_to_largest(scores, true);
    }
}

fn taints(node: &NodeInfo) -> impl Iterator<Item = &Taint> {
    node.node.spec.iter().flat_map(|spec| spec.taints.iter().flatten())
}

/// Whether one of the pod's tolerations matches the taint.
pub(super) fn tolerates(pod: &PodInfo, taint: &Taint) -> bool {
    let tolerations = pod.spec().and_then(|spec| spec.tolerations.as_ref());
    tolerations.into_iter().flatten().any(|toleration| matches(toleration, taint))
}

fn matches(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let effect = text(&toleration.effect);
    let key = text(&toleration.key);
    if !effect.is_empty() && effect != taint.effect || !key.is_empty() && key != taint.key {
        return false;
    }
    let (wanted, value) = (text(&toleration.value), text(&taint.value));
    match toleration.operator.as_deref().unwrap_or_default() {
        "Exists" => true,
        "" | "Equal" => !key.is_empty() && wanted == value,
        // Numeric comparison (KEP-5471) only holds between integers.
        "Lt" => integers(&value, &wanted).is_some_and(|(have, than)| have < than),
        "Gt" => integers(&value, &wanted).is_some_and(|(have, than)| have > than),
        _ => false,
    }
}

fn integers(a: &str, b: &str) -> Option<(i64, i64)> {
    Some((a.parse().ok()?, b.parse().ok()?))
}

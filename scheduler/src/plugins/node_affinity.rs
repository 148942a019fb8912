//! Pods choose nodes by their labels.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    NodeAffinity as Rules, NodeSelectorRequirement, NodeSelectorTerm,
};

use crate::cluster::{Cluster, NodeInfo};
use crate::framework::{
    Candidates, ClusterEvent, Filter, Plugin, PreFilter, Score, Verdict, scale_to_largest,
};
use crate::pod::PodInfo;

/// Honours `spec.nodeSelector` and `spec.affinity.nodeAffinity`, required and preferred.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeAffinity;

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn wakers(&self) -> &'static [ClusterEvent] {
        &[ClusterEvent::Node]
    }
}

impl PreFilter for NodeAffinity {
    /// A pod of a DaemonSet names its node in a field term: no need to look at the others.
    fn pre_filter(&self, pod: &PodInfo, _: &Cluster) -> Candidates {
        let Some(terms) = required(pod) else { return Candidates::All };
        let mut all = BTreeSet::new();
        for term in terms {
            let Some(names) = named_nodes(term) else { return Candidates::All };
            all.extend(names);
        }
        if all.is_empty() { Candidates::All } else { Candidates::Only(all) }
    }
}

impl Filter for NodeAffinity {
    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let selector = pod.spec().and_then(|spec| spec.node_selector.as_ref());
        let has = |(key, value): (&String, &String)| {
            node.labels().and_then(|labels| labels.get(key)) == Some(value)
        };
        let selected = selector.into_iter().flatten().all(has);
        // No term at all matches nothing; no affinity matches everything.
        let wanted = required(pod).is_none_or(|terms| terms.iter().any(|t| term_matches(t, node)));
        if selected && wanted {
            return Verdict::Fits;
        }
        Verdict::Unresolvable(vec!["node(s) didn't match Pod's node affinity/selector".into()])
    }
}

impl Score for NodeAffinity {
    fn score(&self, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let preferred = rules(pod)
            .and_then(|rules| rules.preferred_during_scheduling_ignored_during_execution.as_ref());
        preferred
            .into_iter()
            .flatten()
            .filter(|term| term_matches(&term.preference, node))
            .map(|term| i64::from(term.weight))
            .sum()
    }

    fn normalize(&self, scores: &mut [i64]) {
        scale_to_largest(scores, false);
    }
}

fn rules(pod: &PodInfo) -> Option<&Rules> {
    pod.spec()?.affinity.as_ref()?.node_affinity.as_ref()
}

fn required(pod: &PodInfo) -> Option<&[NodeSelectorTerm]> {
    let required = &rules(pod)?.required_during_scheduling_ignored_during_execution;
    required.as_ref().map(|selector| selector.node_selector_terms.as_slice())
}

/// The names a term demands, if it demands any.
fn named_nodes(term: &NodeSelectorTerm) -> Option<BTreeSet<String>> {
    let mut names: Option<BTreeSet<String>> = None;
    for field in term.match_fields.iter().flatten() {
        if field.key == "metadata.name" && field.operator == "In" {
            let these = field.values.iter().flatten().cloned().collect();
            names = Some(match names {
                None => these,
                Some(before) => before.intersection(&these).cloned().collect(),
            });
        }
    }
    names
}

fn term_matches(term: &NodeSelectorTerm, node: &NodeInfo) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    // An empty term matches no node.
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let empty = BTreeMap::new();
    let labels = node.labels().unwrap_or(&empty);
    let name = Some(node.name.as_str());
    expressions.iter().all(|one| holds(one, labels.get(&one.key).map(String::as_str)))
        && fields.iter().all(|one| one.key == "metadata.name" && holds(one, name))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = || value.is_some_and(|value| values.iter().any(|one| one == value));
    let compared = || {
        let have: i64 = value?.parse().ok()?;
        let [than] = values else { return None };
        Some(have.cmp(&than.parse::<i64>().ok()?))
    };
    match requirement.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared().is_some_and(std::cmp::Ordering::is_gt),
        "Lt" => compared().is_some_and(std::cmp::Ordering::is_lt),
        _ => false,
    }
}

//! One decision: which node a pod goes to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::cluster::{Cluster, NodeInfo};
use crate::framework::{Candidates, Reason, Verdict};
use crate::plugins::{FILTER, PRE_FILTER, SCORE};
use crate::pod::PodInfo;

/// Below this many nodes all are scored.
const SAMPLE_NODES_MIN: usize = 100;

/// The outcome of a cycle.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// The pod goes to this node.
    Node(String),
    /// It fits nowhere now.
    Unschedulable(Diagnosis),
}

/// Why a pod fits nowhere. Its `Display` is what users read, worded as upstream does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diagnosis {
    /// How many nodes there are.
    pub nodes: usize,
    /// What was said without looking at each node.
    pub pre_filter: Option<String>,
    /// Each reason and the number of nodes that it holds for.
    pub reasons: BTreeMap<Reason, usize>,
    /// How many nodes would not fit even if other pods left.
    pub unresolvable: usize,
    /// How many nodes hold pods of a lower priority, which upstream would consider to evict.
    pub with_lower_priority: usize,
    /// `preemptionPolicy: Never`.
    pub never_preempts: bool,
    /// The plugins that said no.
    pub plugins: BTreeSet<&'static str>,
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes == 0 {
            return f.write_str("no nodes available to schedule pods");
        }
        let count = self.nodes;
        write!(f, "0/{count} nodes are available: ")?;
        if let Some(message) = &self.pre_filter {
            write!(f, "{message}. ")?;
        }
        write_reasons(f, self.reasons.iter().map(|(reason, count)| (reason.as_ref(), *count)))?;
        if self.never_preempts {
            return f.write_str("preemption: not eligible due to preemptionPolicy=Never.");
        }
        let resolvable = count.saturating_sub(self.unresolvable);
        let refused = self.with_lower_priority.min(resolvable);
        write!(f, "preemption: 0/{count} nodes are available: ")?;
        let outcomes = [
            ("Preemption is not helpful for scheduling", self.unresolvable),
            ("No preemption victims found for incoming pod", resolvable - refused),
            ("Preemption of pods with a lower priority is not supported", refused),
        ];
        let mut text = String::new();
        write_reasons(&mut text, outcomes.into_iter().filter(|(_, count)| *count > 0))?;
        f.write_str(text.trim_end())
    }
}

fn write_reasons<'a>(
    to: &mut dyn fmt::Write,
    reasons: impl Iterator<Item = (&'a str, usize)>,
) -> fmt::Result {
    let mut lines: Vec<String> =
        reasons.map(|(reason, count)| format!("{count} {reason}")).collect();
    lines.sort();
    if lines.is_empty() { Ok(()) } else { write!(to, "{}. ", lines.join(", ")) }
}

/// What makes cycles differ from each other: where to begin looking, and how ties are broken.
#[derive(Debug)]
pub struct Chance {
    /// The node to begin with, so that all nodes get their turn when not all are looked at.
    pub start: usize,
    /// Breaks ties.
    pub rng: StdRng,
    /// The share of nodes to score, in percent; 0 for one that shrinks with the cluster.
    pub percentage: u8,
}

/// Chooses a node for a pod. Nothing is changed but `chance`.
#[must_use]
pub fn schedule(cluster: &Cluster, pod: &PodInfo, chance: &mut Chance) -> Outcome {
    let mut diagnosis = Diagnosis {
        nodes: cluster.nodes().len(),
        never_preempts: pod.spec().and_then(|s| s.preemption_policy.as_deref()) == Some("Never"),
        ..Diagnosis::default()
    };
    let Some(only) = pre_filter(cluster, pod, &mut diagnosis) else {
        return Outcome::Unschedulable(diagnosis);
    };
    let fitting = filter(cluster, pod, only.as_ref(), chance, &mut diagnosis);
    match fitting.as_slice() {
        [] => Outcome::Unschedulable(diagnosis),
        [node] => Outcome::Node(node.name.clone()),
        _ => Outcome::Node(best(pod, &fitting, &mut chance.rng).name.clone()),
    }
}

/// The names of the nodes to look at, `Some(None)` for all, or `None` if none can fit.
#[expect(clippy::option_option, reason = "all, some or none; only used by the caller below")]
fn pre_filter(
    cluster: &Cluster,
    pod: &PodInfo,
    diagnosis: &mut Diagnosis,
) -> Option<Option<BTreeSet<String>>> {
    let mut only: Option<BTreeSet<String>> = None;
    for plugin in PRE_FILTER {
        match plugin.pre_filter(pod, cluster) {
            Candidates::All => {}
            Candidates::Only(names) => {
                only = Some(match only {
                    None => names,
                    Some(before) => before.intersection(&names).cloned().collect(),
                });
                diagnosis.plugins.insert(plugin.name());
            }
            Candidates::None(message) => {
                diagnosis.pre_filter = Some(message);
                diagnosis.unresolvable = diagnosis.nodes;
                diagnosis.plugins = BTreeSet::from([plugin.name()]);
                return None;
            }
        }
    }
    Some(only)
}

fn filter<'a>(
    cluster: &'a Cluster,
    pod: &PodInfo,
    only: Option<&BTreeSet<String>>,
    chance: &mut Chance,
    diagnosis: &mut Diagnosis,
) -> Vec<&'a NodeInfo> {
    let nodes = cluster.nodes();
    let enough = sample_size(nodes.len(), chance.percentage);
    let start = if nodes.is_empty() { 0 } else { chance.start % nodes.len() };
    let (before, after) = nodes.split_at(start);
    let mut fitting = Vec::new();
    let mut looked_at = 0;
    for node in after.iter().chain(before) {
        looked_at += 1;
        if only.is_some_and(|names| !names.contains(&node.name)) {
            let reason = "node(s) didn't match Pod's node affinity/selector";
            *diagnosis.reasons.entry(reason.into()).or_default() += 1;
            diagnosis.unresolvable += 1;
            continue;
        }
        if fits(pod, node, diagnosis) {
            fitting.push(node);
            if fitting.len() >= enough {
                break;
            }
        }
    }
    chance.start = start + looked_at;
    fitting
}

fn fits(pod: &PodInfo, node: &NodeInfo, diagnosis: &mut Diagnosis) -> bool {
    for plugin in FILTER {
        let (reasons, resolvable) = match plugin.filter(pod, node) {
            Verdict::Fits => continue,
            Verdict::Unschedulable(reasons) => (reasons, true),
            Verdict::Unresolvable(reasons) => (reasons, false),
        };
        diagnosis.plugins.insert(plugin.name());
        for reason in reasons {
            *diagnosis.reasons.entry(reason).or_default() += 1;
        }
        if !resolvable {
            diagnosis.unresolvable += 1;
        } else if node.pods.values().any(|other| other.priority < pod.priority) {
            diagnosis.with_lower_priority += 1;
        }
        return false;
    }
    true
}

/// The node with the highest weighted score; among equals, one by chance.
fn best<'a>(pod: &PodInfo, nodes: &[&'a NodeInfo], rng: &mut StdRng) -> &'a NodeInfo {
    let mut totals = vec![0_i64; nodes.len()];
    for (plugin, weight) in SCORE {
        let mut scores: Vec<i64> = nodes.iter().map(|node| plugin.score(pod, node)).collect();
        plugin.normalize(&mut scores);
        for (total, score) in totals.iter_mut().zip(scores) {
            *total += score * weight;
        }
    }
    let highest = totals.iter().copied().max().unwrap_or_default();
    let equals: Vec<usize> = (0..nodes.len()).filter(|at| totals[*at] == highest).collect();
    nodes[equals[rng.random_range(0..equals.len())]]
}

/// How many fitting nodes are enough. As upstream: a share that shrinks from 50 % by one percent
/// every 125 nodes down to 5 %, and never fewer than 100 nodes.
fn sample_size(nodes: usize, percentage: u8) -> usize {
    if nodes < SAMPLE_NODES_MIN || percentage >= 100 {
        return nodes.max(1);
    }
    let share = match percentage {
        0 => 50_usize.saturating_sub(nodes / 125).max(5),
        set => usize::from(set),
    };
    (nodes * share / 100).max(SAMPLE_NODES_MIN)
}

#[cfg(test)]
mod tests;

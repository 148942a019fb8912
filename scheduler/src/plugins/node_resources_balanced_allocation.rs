//! Cpu and memory of a node should fill up evenly, so that neither is stranded.

use crate::cluster::NodeInfo;
use crate::framework::{ClusterEvent, Plugin, SCORE_MAX, Score};
use crate::pod::PodInfo;

/// Prefers nodes whose used shares of cpu and memory come closer to each other with the pod.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeResourcesBalancedAllocation;

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn wakers(&self) -> &'static [ClusterEvent] {
        &[]
    }
}

impl Score for NodeResourcesBalancedAllocation {
    fn score(&self, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let (wanted, used, offered) = (&pod.requests.fit, &node.requested, &node.allocatable);
        let before = imbalance(
            share(used.milli_cpu, offered.milli_cpu),
            share(used.memory_bytes, offered.memory_bytes),
        );
        let after = imbalance(
            share(used.milli_cpu.saturating_add(wanted.milli_cpu), offered.milli_cpu),
            share(used.memory_bytes.saturating_add(wanted.memory_bytes), offered.memory_bytes),
        );
        // Both lie between 0 and half of the scale; no change gives three quarters of it.
        let score = SCORE_MAX / 2 + (SCORE_MAX / 2 + before - after) / 2;
        score.clamp(0, SCORE_MAX)
    }
}

/// The used part of a resource in hundredths, or nothing if the node does not have it.
fn share(used: i64, offered: i64) -> Option<i64> {
    if offered <= 0 {
        return None;
    }
    let share = i128::from(used) * i128::from(SCORE_MAX) / i128::from(offered);
    i64::try_from(share.clamp(0, i128::from(SCORE_MAX))).ok()
}

/// The standard deviation of two shares is half of their distance.
fn imbalance(cpu: Option<i64>, memory: Option<i64>) -> i64 {
    match (cpu, memory) {
        (Some(cpu), Some(memory)) => (cpu - memory).abs() / 2,
        (None, _) | (_, None) => 0,
    }
}

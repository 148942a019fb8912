//! A node must have what the pod requests.

use crate::cluster::NodeInfo;
use crate::framework::{ClusterEvent, Filter, Plugin, Reason, SCORE_MAX, Score, Verdict};
use crate::pod::PodInfo;

/// Rejects nodes with too little cpu, memory, ephemeral storage, extended resources or room for
/// pods, and prefers those where the most stays free (`LeastAllocated`).
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeResourcesFit;

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn wakers(&self) -> &'static [ClusterEvent] {
        &[ClusterEvent::Node, ClusterEvent::PlacedPodRemoved]
    }
}

impl Filter for NodeResourcesFit {
    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let mut reasons: Vec<Reason> = Vec::new();
        let mut hopeless = false;
        let pods = i64::try_from(node.pods.len()).unwrap_or(i64::MAX);
        if pods >= node.allowed_pods {
            reasons.push("Too many pods".into());
            hopeless |= node.allowed_pods == 0;
        }
        let (wanted, used, offered) = (&pod.requests.fit, &node.requested, &node.allocatable);
        let mut check = |wanted: i64, used: i64, offered: i64, reason: &dyn Fn() -> Reason| {
            if wanted > 0 && wanted > offered.saturating_sub(used) {
                reasons.push(reason());
                hopeless |= wanted > offered;
            }
        };
        let cpu: &dyn Fn() -> Reason = &|| "Insufficient cpu".into();
        check(wanted.milli_cpu, used.milli_cpu, offered.milli_cpu, cpu);
        let memory: &dyn Fn() -> Reason = &|| "Insufficient memory".into();
        check(wanted.memory_bytes, used.memory_bytes, offered.memory_bytes, memory);
        check(
            wanted.ephemeral_storage_bytes,
            used.ephemeral_storage_bytes,
            offered.ephemeral_storage_bytes,
            &|| "Insufficient ephemeral-storage".into(),
        );
        for (name, amount) in &wanted.extended {
            let of = |list: &crate::resources::Resources| {
                list.extended.get(name).copied().unwrap_or_default()
            };
            check(*amount, of(used), of(offered), &|| format!("Insufficient {name}").into());
        }
        if reasons.is_empty() {
            Verdict::Fits
        } else if hopeless {
            Verdict::Unresolvable(reasons)
        } else {
            Verdict::Unschedulable(reasons)
        }
    }
}

impl Score for NodeResourcesFit {
    fn score(&self, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let (wanted, used, offered) = (&pod.requests.score, &node.scored, &node.allocatable);
        let cpu = free_share(wanted.milli_cpu, used.milli_cpu, offered.milli_cpu);
        let memory = free_share(wanted.memory_bytes, used.memory_bytes, offered.memory_bytes);
        let shares: Vec<i64> = [cpu, memory].into_iter().flatten().collect();
        let count = i64::try_from(shares.len()).unwrap_or(1).max(1);
        shares.iter().sum::<i64>() / count
    }
}

/// What stays free of a resource, in hundredths; nothing if the node does not have it.
fn free_share(wanted: i64, used: i64, offered: i64) -> Option<i64> {
    if offered <= 0 {
        return None;
    }
    let free = i128::from(offered) - i128::from(used) - i128::from(wanted);
    let share = free.max(0) * i128::from(SCORE_MAX) / i128::from(offered);
    i64::try_from(share).ok()
}

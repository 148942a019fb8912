//! Two pods of a node can't take the same port of the host.

use crate::cluster::NodeInfo;
use crate::framework::{ClusterEvent, Filter, Plugin, Verdict};
use crate::pod::PodInfo;

/// Rejects nodes where a `hostPort` of the pod is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodePorts;

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn wakers(&self) -> &'static [ClusterEvent] {
        &[ClusterEvent::Node, ClusterEvent::PlacedPodRemoved]
    }
}

impl Filter for NodePorts {
    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        if pod.host_ports.is_empty() {
            return Verdict::Fits;
        }
        let taken = |wanted: &crate::pod::HostPort| {
            node.used_ports().any(|used| used.conflicts_with(wanted))
        };
        if pod.host_ports.iter().any(taken) {
            let reason = "node(s) didn't have free ports for the requested pod ports";
            return Verdict::Unschedulable(vec![reason.into()]);
        }
        Verdict::Fits
    }
}

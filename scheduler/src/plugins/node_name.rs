//! A pod that names its node goes nowhere else.

use crate::cluster::NodeInfo;
use crate::framework::{ClusterEvent, Filter, Plugin, Verdict};
use crate::pod::{PodInfo, node_name};

/// Rejects all nodes but the one in `spec.nodeName`.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn wakers(&self) -> &'static [ClusterEvent] {
        &[ClusterEvent::Node]
    }
}

impl Filter for NodeName {
    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        match node_name(&pod.pod) {
            Some(name) if name != node.name => {
                Verdict::Unresolvable(vec!["node(s) didn't match the requested node name".into()])
            }
            Some(_) | None => Verdict::Fits,
        }
    }
}

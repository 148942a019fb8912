//! Cordoned nodes take no new pods.

use k8s_openapi::api::core::v1::Taint;

use super::taint_toleration::tolerates;
use crate::cluster::NodeInfo;
use crate::framework::{ClusterEvent, Filter, Plugin, Verdict};
use crate::pod::PodInfo;

/// Rejects nodes with `spec.unschedulable`, unless the pod tolerates the taint that stands for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeUnschedulable;

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn wakers(&self) -> &'static [ClusterEvent] {
        &[ClusterEvent::Node]
    }
}

impl Filter for NodeUnschedulable {
    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let cordoned = node.node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true);
        if !cordoned {
            return Verdict::Fits;
        }
        let taint = Taint {
            key: "node.kubernetes.io/unschedulable".to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        };
        if tolerates(pod, &taint) {
            return Verdict::Fits;
        }
        Verdict::Unresolvable(vec!["node(s) were unschedulable".into()])
    }
}

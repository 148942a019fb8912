//! A pod with scheduling gates waits until they are removed (KEP-3521).

use k8s_openapi::api::core::v1::Pod;

use crate::framework::{ClusterEvent, Held, Plugin, PreEnqueue};

/// Holds back pods with `spec.schedulingGates`.
#[derive(Clone, Copy, Debug)]
pub(super) struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }

    fn wakers(&self) -> &'static [ClusterEvent] {
        &[]
    }
}

impl PreEnqueue for SchedulingGates {
    fn pre_enqueue(&self, pod: &Pod) -> Option<Held> {
        let gates = pod.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_deref());
        if gates.unwrap_or_default().is_empty() {
            return None;
        }
        let message = "Scheduling is blocked due to non-empty scheduling gates".to_owned();
        Some(Held { reason: "SchedulingGated", message })
    }
}

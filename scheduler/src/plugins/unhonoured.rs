//! Constraints that no plugin honours yet. A pod that demands one is not placed as if it did not.

use k8s_openapi::api::core::v1::PodSpec;

use crate::cluster::Cluster;
use crate::framework::{Candidates, ClusterEvent, Plugin, PreFilter};
use crate::pod::PodInfo;

/// Rejects pods that demand what the scheduler can't give, and names the field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unhonoured;

impl Plugin for Unhonoured {
    fn name(&self) -> &'static str {
        "Unhonoured"
    }

    fn wakers(&self) -> &'static [ClusterEvent] {
        &[]
    }
}

impl PreFilter for Unhonoured {
    fn pre_filter(&self, pod: &PodInfo, _: &Cluster) -> Candidates {
        let demands = pod.spec().map(demands).unwrap_or_default();
        if demands.is_empty() {
            return Candidates::All;
        }
        let fields = demands.join(", ");
        Candidates::None(format!("the pod demands what this scheduler does not support: {fields}"))
    }
}

/// The fields of demands that are not honoured.
fn demands(spec: &PodSpec) -> Vec<String> {
    let mut fields = Vec::new();
    let affinity = spec.affinity.as_ref();
    let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    if near
        .is_some_and(|rules| !is_empty(&rules.required_during_scheduling_ignored_during_execution))
    {
        fields.push(format!("spec.affinity.podAffinity.{required}"));
    }
    let apart = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    if apart
        .is_some_and(|rules| !is_empty(&rules.required_during_scheduling_ignored_during_execution))
    {
        fields.push(format!("spec.affinity.podAntiAffinity.{required}"));
    }
    for (index, constraint) in spec.topology_spread_constraints.iter().flatten().enumerate() {
        if constraint.when_unsatisfiable != "ScheduleAnyway" {
            fields.push(format!(
                "spec.topologySpreadConstraints[{index}].whenUnsatisfiable={}",
                constraint.when_unsatisfiable
            ));
        }
    }
    if !is_empty(&spec.resource_claims) {
        fields.push("spec.resourceClaims".to_owned());
    }
    if spec.scheduling_group.is_some() {
        fields.push("spec.schedulingGroup".to_owned());
    }
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        if volume.persistent_volume_claim.is_some() {
            fields.push(format!("spec.volumes[{index}].persistentVolumeClaim"));
        }
        if volume.ephemeral.is_some() {
            fields.push(format!("spec.volumes[{index}].ephemeral"));
        }
    }
    fields
}

/// The fields of mere preferences that are not honoured; the pod is placed, with a warning.
#[must_use]
pub fn ignored_preferences(spec: &PodSpec) -> Vec<String> {
    let mut fields = Vec::new();
    let affinity = spec.affinity.as_ref();
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
    let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
    if near
        .is_some_and(|rules| !is_empty(&rules.preferred_during_scheduling_ignored_during_execution))
    {
        fields.push(format!("spec.affinity.podAffinity.{preferred}"));
    }
    let apart = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    if apart
        .is_some_and(|rules| !is_empty(&rules.preferred_during_scheduling_ignored_during_execution))
    {
        fields.push(format!("spec.affinity.podAntiAffinity.{preferred}"));
    }
    for (index, constraint) in spec.topology_spread_constraints.iter().flatten().enumerate() {
        if constraint.when_unsatisfiable == "ScheduleAnyway" {
            fields.push(format!("spec.topologySpreadConstraints[{index}]"));
        }
    }
    fields
}

fn is_empty<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_none_or(Vec::is_empty)
}

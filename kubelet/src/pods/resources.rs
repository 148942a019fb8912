//! Requests and limits: the QoS class, and what they become in cgroups (KEP: pod-level QoS).

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::model::{self, Role};

/// The kernel's least cpu.shares.
const SHARES_MIN: i64 = 2;
const SHARES_MAX: i64 = 262_144;
/// cpu.shares of one cpu.
const SHARES_PER_CPU: i64 = 1024;
/// The CFS period, in microseconds.
pub(crate) const PERIOD_US: i64 = 100_000;
/// The kernel refuses a quota below a millisecond.
const QUOTA_MIN_US: i64 = 1_000;

/// The class that decides the parent cgroup and who is killed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QosClass {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl fmt::Display for QosClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        })
    }
}

fn parse(quantity: &Quantity) -> Option<corten_api_k8s::quantity::Quantity> {
    quantity.0.parse().ok()
}

/// Cpu in thousandths, rounded up. `None` if the text is no quantity, which the API server refuses.
pub(crate) fn milli(quantity: &Quantity) -> Option<i64> {
    parse(quantity).map(|q| q.milli_value())
}

/// Bytes or pieces, rounded up.
pub(crate) fn whole(quantity: &Quantity) -> Option<i64> {
    parse(quantity).map(|q| q.value())
}

/// One resource of a container, from its limits or requests.
fn amount(
    list: Option<&BTreeMap<String, Quantity>>,
    resource: &str,
    convert: fn(&Quantity) -> Option<i64>,
) -> Option<i64> {
    list?.get(resource).and_then(convert)
}

/// Cpu and memory of one container: thousandths of a cpu, and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub(crate) cpu_request_milli: Option<i64>,
    pub(crate) cpu_limit_milli: Option<i64>,
    pub(crate) memory_request_bytes: Option<i64>,
    pub(crate) memory_limit_bytes: Option<i64>,
}

/// What a container asks for; a limit without a request is the request too.
pub(crate) fn amounts(container: &Container) -> Amounts {
    let empty = ResourceRequirements::default();
    let given = container.resources.as_ref().unwrap_or(&empty);
    let limits = given.limits.as_ref();
    let requests = given.requests.as_ref();
    let cpu_limit_milli = amount(limits, "cpu", milli);
    let memory_limit_bytes = amount(limits, "memory", whole);
    Amounts {
        cpu_request_milli: amount(requests, "cpu", milli).or(cpu_limit_milli),
        cpu_limit_milli,
        memory_request_bytes: amount(requests, "memory", whole).or(memory_limit_bytes),
        memory_limit_bytes,
    }
}

/// Guaranteed if every container has cpu and memory limits that equal its requests, BestEffort if
/// none asks for anything, else Burstable.
pub(crate) fn qos_class(spec: &PodSpec) -> QosClass {
    let mut best_effort = true;
    let mut guaranteed = true;
    for (_, container) in model::containers(spec) {
        let a = amounts(container);
        let positive = |v: Option<i64>| v.is_some_and(|v| v > 0);
        best_effort &= !positive(a.cpu_request_milli) && !positive(a.memory_request_bytes);
        guaranteed &= positive(a.cpu_limit_milli)
            && positive(a.memory_limit_bytes)
            && a.cpu_limit_milli == a.cpu_request_milli
            && a.memory_limit_bytes == a.memory_request_bytes;
    }
    match (best_effort, guaranteed) {
        (true, _) => QosClass::BestEffort,
        (false, true) => QosClass::Guaranteed,
        (false, false) => QosClass::Burstable,
    }
}

/// cpu.shares of a request.
pub(crate) fn shares(milli: i64) -> i64 {
    (milli * SHARES_PER_CPU / 1000).clamp(SHARES_MIN, SHARES_MAX)
}

/// The CFS quota per [`PERIOD_US`] of a limit.
pub(crate) fn quota_us(milli: i64) -> i64 {
    (milli * PERIOD_US / 1000).max(QUOTA_MIN_US)
}

/// What a pod may use as a whole: containers run together, init containers one by one beside the
/// sidecars that were started before them (KEP-753).
pub(crate) fn pod_total(spec: &PodSpec, of: impl Fn(&Amounts) -> Option<i64>) -> Option<i64> {
    let mut sidecars = 0;
    let mut init_peak = 0;
    let mut complete = true;
    for container in spec.init_containers.iter().flatten() {
        let value = of(&amounts(container));
        complete &= value.is_some();
        let value = value.unwrap_or(0);
        if model::init_role(container) == Role::Sidecar {
            sidecars += value;
            init_peak = init_peak.max(sidecars);
        } else {
            init_peak = init_peak.max(sidecars + value);
        }
    }
    let mut main = sidecars;
    for container in &spec.containers {
        let value = of(&amounts(container));
        complete &= value.is_some();
        main += value.unwrap_or(0);
    }
    complete.then(|| main.max(init_peak))
}

/// The same, with nothing for containers that name no amount.
pub(crate) fn pod_sum(spec: &PodSpec, of: impl Fn(&Amounts) -> Option<i64>) -> i64 {
    pod_total(spec, |amounts| Some(of(amounts).unwrap_or(0))).unwrap_or(0)
}

/// `oom_score_adj` of a container: the less of the machine's memory it asked for beyond its means,
/// the later it dies. (Upstream's formula, `qos/policy.go`.)
pub(crate) fn oom_score_adj(spec: &PodSpec, container: &Container, memory_capacity: i64) -> i64 {
    const GUARANTEED: i64 = -997;
    const BEST_EFFORT: i64 = 1000;
    // system-node-critical
    if spec.priority.is_some_and(|p| p >= 2_000_001_000) {
        return GUARANTEED;
    }
    match qos_class(spec) {
        QosClass::Guaranteed => GUARANTEED,
        QosClass::BestEffort => BEST_EFFORT,
        QosClass::Burstable => {
            let request = amounts(container).memory_request_bytes.unwrap_or(0);
            let adjust = 1000 - (1000 * request) / memory_capacity.max(1);
            adjust.clamp(1000 + GUARANTEED, BEST_EFFORT - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(yaml: serde_json::Value) -> PodSpec {
        serde_json::from_value(yaml).unwrap()
    }

    #[test]
    fn classes() {
        let class = |resources: serde_json::Value| {
            qos_class(&spec(serde_json::json!({
                "containers": [{"name": "a", "image": "i", "resources": resources}]
            })))
        };
        assert_eq!(class(serde_json::json!({})), QosClass::BestEffort);
        let both = serde_json::json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        assert_eq!(class(both), QosClass::Guaranteed);
        let one = serde_json::json!({"limits": {"memory": "1Gi"}});
        assert_eq!(class(one), QosClass::Burstable);
        let less = serde_json::json!({"limits": {"cpu": "1", "memory": "1Gi"},
            "requests": {"cpu": "500m", "memory": "1Gi"}});
        assert_eq!(class(less), QosClass::Burstable);
    }

    #[test]
    fn cpu_becomes_shares_and_quota() {
        assert_eq!(shares(0), 2);
        assert_eq!(shares(100), 102);
        assert_eq!(shares(1000), 1024);
        assert_eq!(quota_us(250), 25_000);
        assert_eq!(quota_us(1), 1_000);
    }

    #[test]
    fn init_containers_need_room_one_at_a_time() {
        let spec = spec(serde_json::json!({
            "initContainers": [
                {"name": "i", "image": "i", "resources": {"requests": {"cpu": "3"}}},
                {"name": "s", "image": "i", "restartPolicy": "Always",
                 "resources": {"requests": {"cpu": "1"}}},
                {"name": "j", "image": "i", "resources": {"requests": {"cpu": "100m"}}}],
            "containers": [{"name": "a", "image": "i", "resources": {"requests": {"cpu": "500m"}}}],
        }));
        assert_eq!(pod_sum(&spec, |a| a.cpu_request_milli), 3000);
        assert_eq!(pod_total(&spec, |a| a.memory_request_bytes), None);
    }
}

//! The quality-of-service class.

use std::collections::BTreeMap;

use corten_api_k8s::quantity::Quantity;
use serde_json::Value;

use crate::read::Read;

const COMPUTE: [&str; 2] = ["cpu", "memory"];

/// `Guaranteed` if every container has requests equal to limits for cpu and memory, `BestEffort`
/// if none has any, else `Burstable`.
pub(super) fn class(pod: &Value) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    let mut sums: BTreeMap<(&str, &str), Quantity> = BTreeMap::new();
    let containers = pod.items("/spec/containers").iter().chain(pod.items("/spec/initContainers"));
    for container in containers {
        for kind in ["requests", "limits"] {
            for resource in COMPUTE {
                let amount = container.text(&format!("/resources/{kind}/{resource}"));
                match amount.parse::<Quantity>().ok().filter(|q| !q.is_zero()) {
                    Some(quantity) => {
                        any = true;
                        let sum = sums.entry((kind, resource)).or_insert_with(Quantity::zero);
                        *sum = *sum + quantity;
                    }
                    None if kind == "limits" => guaranteed = false,
                    None => {}
                }
            }
        }
    }
    if !any {
        return "BestEffort";
    }
    let equal = |r: &str| sums.get(&("requests", r)) == sums.get(&("limits", r));
    if guaranteed && COMPUTE.iter().all(|r| equal(r)) { "Guaranteed" } else { "Burstable" }
}

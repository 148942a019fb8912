//! Pods that name a priority class: there are only the two that every cluster has.

use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use serde_json::{Value, json};

use super::{Plugin, Request};

/// Classes that exist without an object.
const SYSTEM: &[(&str, i64)] =
    &[("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

pub(super) const PLUGIN: Plugin = Plugin { name: "Priority", admit };

fn admit(request: &Request<'_>, pod: &mut Value, _: Option<&Value>) -> Result<(), Status> {
    if !request.creates_pod() {
        return Ok(());
    }
    let class = pod.pointer("/spec/priorityClassName").and_then(Value::as_str).unwrap_or_default();
    let priority = match SYSTEM.iter().find(|(name, _)| *name == class) {
        Some((_, priority)) => *priority,
        None if class.is_empty() => 0,
        None => {
            let why = format!("no PriorityClass with name {class} was found");
            return Err(status::forbidden(request.kind, meta::name(pod), &why));
        }
    };
    if let Some(given) = pod.pointer("/spec/priority").and_then(Value::as_i64)
        && given != priority
    {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority \
             admission controller computed {priority} from the given PriorityClass name"
        );
        return Err(status::forbidden(request.kind, meta::name(pod), &why));
    }
    pod["spec"]["priority"] = json!(priority);
    if pod.pointer("/spec/preemptionPolicy").is_none() {
        pod["spec"]["preemptionPolicy"] = json!("PreemptLowerPriority");
    }
    Ok(())
}

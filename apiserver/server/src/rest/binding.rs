//! `pods/binding`: what a scheduler decides.

use std::sync::Arc;

use corten_api_k8s::field::{FieldError, FieldPath, go_quote};
use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use corten_api_k8s::time;
use http::StatusCode;
use serde_json::{Value, json};

use super::update::{Part, Wanted, change};
use super::{Context, Reply, show};

/// Puts a pod on a node.
pub(crate) async fn bind(ctx: &Context<'_>) -> Result<Reply, Status> {
    let kind = ctx.subresource_kind()?;
    let binding = ctx.decode_as(kind)?;
    let target = &binding.object["target"];
    let text = |field: &str| target.get(field).and_then(Value::as_str).unwrap_or_default();
    let mut errors = Vec::new();
    let path = FieldPath::new("target");
    if !matches!(text("kind"), "" | "Node") {
        errors.push(FieldError::not_supported(&path.child("kind"), text("kind"), &["Node", ""]));
    }
    if text("name").is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    if !errors.is_empty() {
        return Err(status::invalid(kind, &ctx.resource.name, &errors));
    }
    let node = text("name");
    change(ctx, Part::Given, |pod| bound(ctx, pod, &binding.object, node)).await?;
    let mut reply = show::success(StatusCode::CREATED);
    reply.warnings = binding.warnings;
    Ok(reply)
}

fn bound(
    ctx: &Context<'_>,
    pod: &Arc<Value>,
    binding: &Value,
    node: &str,
) -> Result<Wanted, Status> {
    let name = meta::name(pod);
    let refuse = |why: &str| status::conflict(ctx.kind, name, why);
    if meta::deletion_timestamp(pod).is_some() {
        return Err(refuse(&format!("pod {name} is being deleted, cannot be assigned to a host")));
    }
    let assigned = pod.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
    if !assigned.is_empty() {
        let node = go_quote(assigned);
        return Err(refuse(&format!("pod {name} is already assigned to node {node}")));
    }
    let gates = pod.pointer("/spec/schedulingGates").and_then(Value::as_array);
    if gates.is_some_and(|gates| !gates.is_empty()) {
        return Err(refuse(&format!("pod {name} has non-empty .spec.schedulingGates")));
    }
    let wanted_uid = meta::uid(binding);
    if !wanted_uid.is_empty() && wanted_uid != meta::uid(pod) {
        return Err(crate::error::precondition(ctx.kind, name, "UID", wanted_uid, meta::uid(pod)));
    }
    let mut object = pod.as_ref().clone();
    object["spec"]["nodeName"] = json!(node);
    if let Some(annotations) = meta::annotations(binding) {
        for (key, value) in annotations {
            meta::set_annotation(&mut object, key, value.as_str().unwrap_or_default());
        }
    }
    let condition = json!({
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": null,
        "lastTransitionTime": time::format(ctx.api.now()),
    });
    let status = &mut object["status"];
    if !status.is_object() {
        *status = json!({});
    }
    let conditions = &mut status["conditions"];
    match conditions.as_array_mut() {
        Some(list) => {
            list.retain(|c| c.get("type").and_then(Value::as_str) != Some("PodScheduled"));
            list.push(condition);
        }
        None => *conditions = json!([condition]),
    }
    // Losing to another change is no conflict: the pod is looked at again.
    meta::clear_resource_version(&mut object);
    Ok(Wanted { object, warnings: Vec::new() })
}

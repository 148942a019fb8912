//! Pods stay five minutes on a node that is not ready or not reachable, unless they say otherwise.

use corten_api_k8s::status::Status;
use serde_json::{Value, json};

use super::{Plugin, Request};

const SECONDS: i64 = 300;
const TAINTS: &[&str] = &["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub(super) const PLUGIN: Plugin = Plugin { name: "DefaultTolerationSeconds", admit };

fn admit(request: &Request<'_>, pod: &mut Value, _: Option<&Value>) -> Result<(), Status> {
    if !request.creates_pod() {
        return Ok(());
    }
    let existing = pod.pointer("/spec/tolerations").and_then(Value::as_array);
    let mut tolerations = existing.cloned().unwrap_or_default();
    for taint in TAINTS {
        if !tolerations.iter().any(|toleration| covers(toleration, taint)) {
            tolerations.push(json!({
                "key": taint,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": SECONDS,
            }));
        }
    }
    pod["spec"]["tolerations"] = Value::Array(tolerations);
    Ok(())
}

fn covers(toleration: &Value, taint: &str) -> bool {
    let text = |field: &str| toleration.get(field).and_then(Value::as_str).unwrap_or_default();
    (text("key").is_empty() || text("key") == taint) && matches!(text("effect"), "" | "NoExecute")
}

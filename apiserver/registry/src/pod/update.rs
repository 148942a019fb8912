//! What may change in a pod's spec.

use corten_api_k8s::field::{FieldError, FieldPath};
use serde_json::Value;

use crate::read::{Read, remove, take_over};

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) fn validate(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = FieldPath::new("spec");
    let mut errors = Vec::new();
    for list in ["containers", "initContainers"] {
        let pointer = format!("/spec/{list}");
        if new.items(&pointer).len() != old.items(&pointer).len() {
            let why = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(&path.child(list), why));
            return errors;
        }
    }
    deadline(new, old, &path, &mut errors);
    tolerations(new, old, &path, &mut errors);
    gates(new, old, &path, &mut errors);
    let mut munged = new.at("/spec").clone();
    let before = old.at("/spec");
    for list in ["containers", "initContainers"] {
        let images = before.items(&format!("/{list}"));
        let containers = munged.get_mut(list).and_then(Value::as_array_mut);
        for (container, old) in containers.into_iter().flatten().zip(images) {
            take_over(container, old, "image");
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        take_over(&mut munged, before, field);
    }
    let grace = "terminationGracePeriodSeconds";
    let was_negative = before.int(&format!("/{grace}")).is_some_and(|s| s < 0);
    if was_negative && munged.int(&format!("/{grace}")) == Some(1) {
        take_over(&mut munged, before, grace);
    }
    if !before.items("/schedulingGates").is_empty() {
        // Before it is scheduled, where a pod may go can be narrowed down.
        node_selector(&mut munged, before, &path, &mut errors);
        if let (Some(affinity), Some(_)) = (munged.get_mut("affinity"), before.get("affinity")) {
            take_over(affinity, before.at("/affinity"), "nodeAffinity");
        } else if before.get("affinity").is_none() {
            remove(&mut munged, "affinity");
        }
    }
    if munged != *before {
        let changed = differences(before, &munged).join(", ");
        let why =
            format!("pod updates may not change fields other than {UPDATABLE}\nchanged: {changed}");
        errors.push(FieldError::forbidden(&path, why));
    }
    errors
}

fn deadline(new: &Value, old: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let pointer = "/spec/activeDeadlineSeconds";
    let path = path.child("activeDeadlineSeconds");
    match (old.int(pointer), new.int(pointer)) {
        (Some(was), Some(is)) if was < is => {
            let why = "must be less than or equal to previous value";
            errors.push(FieldError::invalid(&path, is, why));
        }
        (Some(_), None) => {
            let why = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(&path, Value::Null, why));
        }
        _ => {}
    }
}

/// Tolerations may be added; of those there are, only the seconds may change.
fn tolerations(new: &Value, old: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let strip = |t: &Value| {
        let mut t = t.clone();
        remove(&mut t, "tolerationSeconds");
        t
    };
    let now: Vec<Value> = new.items("/spec/tolerations").iter().map(strip).collect();
    if old.items("/spec/tolerations").iter().any(|t| !now.contains(&strip(t))) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(&path.child("tolerations"), why));
    }
}

fn gates(new: &Value, old: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let before = old.items("/spec/schedulingGates");
    let gates = new.items("/spec/schedulingGates").iter().enumerate();
    for (i, gate) in gates.filter(|(_, g)| !before.contains(g)) {
        let why = format!(
            "only deletion is allowed, but found new scheduling gate '{}'",
            gate.text("/name")
        );
        errors.push(FieldError::forbidden(&path.child("schedulingGates").index(i), why));
    }
}

fn node_selector(
    munged: &mut Value,
    before: &Value,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let kept = before
        .entries("/nodeSelector")
        .into_iter()
        .all(|(key, value)| munged.at("/nodeSelector").get(key) == Some(value));
    if !kept {
        let given = munged.at("/nodeSelector").clone();
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(FieldError::invalid(&path.child("nodeSelector"), given, why));
    }
    take_over(munged, before, "nodeSelector");
}

/// The paths at which two values differ.
fn differences(old: &Value, new: &Value) -> Vec<String> {
    let mut out = Vec::new();
    differ(old, new, "spec", &mut out);
    out
}

fn differ(old: &Value, new: &Value, path: &str, out: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
                let (a, b) = (a.get(key), b.get(key));
                differ(
                    a.unwrap_or(&Value::Null),
                    b.unwrap_or(&Value::Null),
                    &format!("{path}.{key}"),
                    out,
                );
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differ(a, b, &format!("{path}[{i}]"), out);
            }
        }
        (a, b) if a == b => {}
        _ => out.push(path.to_owned()),
    }
}

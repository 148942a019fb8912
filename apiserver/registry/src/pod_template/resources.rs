//! Validation of requests and limits.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::names;
use corten_api_k8s::quantity::Quantity;
use serde_json::Value;

use super::one_of;
use crate::read::Read;

pub(super) fn validate(resources: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    for kind in ["limits", "requests"] {
        let path = path.child(kind);
        for (name, amount) in resources.entries(&format!("/{kind}")) {
            let path = path.key(name);
            resource_name(name, &path, errors);
            amount_of(name, amount, &path, errors);
        }
    }
    let limits = resources.at("/limits");
    for (name, request) in resources.entries("/requests") {
        let path = path.child("requests");
        let Some(wanted) = quantity(request) else { continue };
        match limits.get(name).and_then(quantity) {
            Some(limit) if !overcommits(name) && wanted != limit => {
                let why = format!("must be equal to {name} limit of {limit}");
                errors.push(FieldError::invalid(&path, request.clone(), why));
            }
            Some(limit) if wanted > limit => {
                let why = format!("must be less than or equal to {name} limit of {limit}");
                errors.push(FieldError::invalid(&path, request.clone(), why));
            }
            None if !overcommits(name) => {
                let why = "Limit must be set for non overcommitable resources";
                errors.push(FieldError::required(&path.key(name), why));
            }
            Some(_) | None => {}
        }
    }
    for (i, policy) in resources.items("/resizePolicy").iter().enumerate() {
        let path = path.child("resizePolicy").index(i).child("restartPolicy");
        let allowed = &["NotRequired", "RestartContainer"];
        errors.extend(one_of(policy.text("/restartPolicy"), &path, allowed));
    }
}

fn quantity(value: &Value) -> Option<Quantity> {
    value.as_str()?.parse().ok()
}

fn is_standard(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
}

/// Whether more may be promised than there is; not so for huge pages and devices.
fn overcommits(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage")
}

fn resource_name(name: &str, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let wrong = names::qualified_name(name);
    if !wrong.is_empty() {
        for why in wrong {
            errors.push(FieldError::invalid(path, name, why));
        }
    } else if !name.contains('/') {
        if !is_standard(name) {
            let why = "must be a standard resource type or fully qualified";
            errors.push(FieldError::invalid(path, name, why));
            let why = "must be a standard resource for containers";
            errors.push(FieldError::invalid(path, name, why));
        }
    } else if name.starts_with("kubernetes.io/") || name.contains(".kubernetes.io/") {
        let why = "doesn't follow extended resource name standard";
        errors.push(FieldError::invalid(path, name, why));
    }
}

fn amount_of(name: &str, amount: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let Some(value) = quantity(amount) else { return };
    if value.is_negative() {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(path, amount.clone(), why));
    }
    let whole = name.contains('/') || name.starts_with("hugepages-");
    if whole && !value.is_integer() {
        errors.push(FieldError::invalid(path, amount.clone(), "must be an integer"));
    }
}

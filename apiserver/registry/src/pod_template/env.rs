//! Validation of environment variables.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::names;
use serde_json::Value;

use crate::read::Read;

/// Fields of the pod that a variable may show.
const FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Resources of a container that a variable or file may show.
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const SOURCES: &[&str] =
    &["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];

pub(super) fn validate(container: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    for (i, variable) in container.items("/env").iter().enumerate() {
        let path = path.child("env").index(i);
        let name = variable.text("/name");
        if name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        } else {
            for why in names::env_var_name(name) {
                errors.push(FieldError::invalid(&path.child("name"), name, why));
            }
        }
        if variable.has("/valueFrom") {
            let filled = !variable.text("/value").is_empty();
            value_from(variable.at("/valueFrom"), filled, &path.child("valueFrom"), errors);
        }
    }
    for (i, source) in container.items("/envFrom").iter().enumerate() {
        let path = path.child("envFrom").index(i);
        let prefix = source.text("/prefix");
        if !prefix.is_empty() {
            for why in names::env_var_name(prefix) {
                errors.push(FieldError::invalid(&path.child("prefix"), prefix, why));
            }
        }
        let given: Vec<&str> = ["configMapRef", "secretRef"]
            .into_iter()
            .filter(|r| source.has(&format!("/{r}")))
            .collect();
        for reference in &given {
            if source.text(&format!("/{reference}/name")).is_empty() {
                errors.push(FieldError::required(&path.child(reference).child("name"), ""));
            }
        }
        match given.len() {
            0 => {
                let why = "must specify one of: `configMapRef` or `secretRef`";
                errors.push(FieldError::invalid(&path, "", why));
            }
            1 => {}
            _ => {
                let why = "may not have more than one field specified at a time";
                errors.push(FieldError::invalid(&path, "", why));
            }
        }
    }
}

fn value_from(source: &Value, filled: bool, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let given = SOURCES.iter().filter(|s| source.has(&format!("/{s}"))).count();
    if given == 0 {
        let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.push(FieldError::invalid(path, "", why));
        return;
    }
    if filled {
        let why = "may not be specified when `value` is not empty";
        errors.push(FieldError::invalid(path, "", why));
    } else if given > 1 {
        let why = "may not have more than one field specified at a time";
        errors.push(FieldError::invalid(path, "", why));
    }
    if source.has("/fieldRef") {
        field_ref(source.at("/fieldRef"), FIELDS, &path.child("fieldRef"), errors);
    }
    if source.has("/resourceFieldRef") {
        resource_ref(source.at("/resourceFieldRef"), &path.child("resourceFieldRef"), errors);
    }
    for reference in ["configMapKeyRef", "secretKeyRef"] {
        if !source.has(&format!("/{reference}")) {
            continue;
        }
        let path = path.child(reference);
        if source.text(&format!("/{reference}/name")).is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        let key = source.text(&format!("/{reference}/key"));
        if key.is_empty() {
            errors.push(FieldError::required(&path.child("key"), ""));
        } else {
            for why in names::config_map_key(key) {
                errors.push(FieldError::invalid(&path.child("key"), key, why));
            }
        }
    }
}

/// A field of the pod: one of `allowed`, or one label or annotation by its key.
pub(super) fn field_ref(
    reference: &Value,
    allowed: &[&str],
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let field = reference.text("/fieldPath");
    let path = path.child("fieldPath");
    if field.is_empty() {
        errors.push(FieldError::required(&path, ""));
        return;
    }
    let subscript = field.strip_suffix("']").and_then(|f| f.split_once("['"));
    match subscript {
        Some(("metadata.labels" | "metadata.annotations", key)) => {
            for why in names::qualified_name(&key.to_lowercase()) {
                errors.push(FieldError::invalid(&path, field, why));
            }
        }
        Some((base, _)) => {
            let why = format!("field path {base:?} does not support subscript");
            errors.push(FieldError::invalid(&path, field, why));
        }
        None if !allowed.contains(&field) => {
            errors.push(FieldError::not_supported(&path, field, allowed));
        }
        None => {}
    }
}

/// A resource of a container.
pub(super) fn resource_ref(reference: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let resource = reference.text("/resource");
    let path = path.child("resource");
    if resource.is_empty() {
        errors.push(FieldError::required(&path, ""));
    } else if !RESOURCES.contains(&resource)
        && !resource.starts_with("limits.hugepages-")
        && !resource.starts_with("requests.hugepages-")
    {
        errors.push(FieldError::not_supported(&path, resource, RESOURCES));
    }
}

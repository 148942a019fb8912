//! Validation of `metadata`.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::kinds::Kind;
use corten_api_k8s::{meta, names};
use serde_json::Value;

use crate::read::Read;
use crate::strategy::Strategy;

/// All annotations together, in bytes.
const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;
/// The wording of every refusal to change what cannot be changed.
pub(crate) const IMMUTABLE: &str = "field is immutable";

/// What is wrong with the metadata of an object, new or changed.
pub(crate) fn validate(kind: &Kind, strategy: &dyn Strategy, object: &Value) -> Vec<FieldError> {
    let path = FieldPath::new("metadata");
    let mut errors = Vec::new();
    let generate_name = meta::generate_name(object);
    if !generate_name.is_empty() {
        for why in strategy.name_errors(generate_name, true) {
            errors.push(FieldError::invalid(&path.child("generateName"), generate_name, why));
        }
    }
    let name = meta::name(object);
    if name.is_empty() {
        let why = "name or generateName is required";
        errors.push(FieldError::required(&path.child("name"), why));
    } else {
        for why in strategy.name_errors(name, false) {
            errors.push(FieldError::invalid(&path.child("name"), name, why));
        }
    }
    let namespace = meta::namespace(object);
    match (kind.namespaced, namespace.is_empty()) {
        (true, true) => errors.push(FieldError::required(&path.child("namespace"), "")),
        (true, false) => {
            for why in names::dns1123_label(namespace) {
                errors.push(FieldError::invalid(&path.child("namespace"), namespace, why));
            }
        }
        (false, false) => {
            let why = "not allowed on this type";
            errors.push(FieldError::forbidden(&path.child("namespace"), why));
        }
        (false, true) => {}
    }
    errors.extend(labels(object.at("/metadata/labels"), &path.child("labels")));
    annotations(object, &path.child("annotations"), &mut errors);
    owner_references(object, &path.child("ownerReferences"), &mut errors);
    for finalizer in meta::finalizers(object) {
        for why in names::qualified_name(finalizer) {
            errors.push(FieldError::invalid(&path.child("finalizers"), finalizer, why));
        }
    }
    errors
}

/// What is wrong with a map of labels.
pub(crate) fn labels(labels: &Value, path: &FieldPath) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels.entries("") {
        for why in names::qualified_name(key) {
            errors.push(FieldError::invalid(path, key, why));
        }
        let value = value.as_str().unwrap_or_default();
        for why in names::label_value(value) {
            errors.push(FieldError::invalid(path, value, why));
        }
    }
    errors
}

fn annotations(object: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let mut bytes = 0;
    for (key, value) in object.entries("/metadata/annotations") {
        for why in names::qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid(path, key, why));
        }
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        errors.push(FieldError::too_long(path, ANNOTATIONS_BYTES_MAX));
    }
}

fn owner_references(object: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let mut controller: Option<String> = None;
    for owner in meta::owner_references(object) {
        if owner.api_version.rsplit('/').next().unwrap_or_default().is_empty() {
            let why = "version must not be empty";
            errors.push(FieldError::invalid(&path.child("apiVersion"), owner.api_version, why));
        }
        for (field, value) in [("kind", owner.kind), ("name", owner.name), ("uid", owner.uid)] {
            if value.is_empty() {
                errors.push(FieldError::invalid(&path.child(field), value, "must not be empty"));
            }
        }
        if (owner.api_version, owner.kind) == ("v1", "Event") {
            let why = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(path, owner.name, why));
        }
        if owner.controller {
            let this = format!("{}/{}", owner.kind, owner.name);
            match &controller {
                None => controller = Some(this),
                Some(first) => errors.push(FieldError::invalid(
                    path,
                    object.at("/metadata/ownerReferences").clone(),
                    format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    ),
                )),
            }
        }
    }
}

/// What is wrong with a change of metadata.
pub(crate) fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = FieldPath::new("metadata");
    let mut errors = Vec::new();
    if meta::deletion_timestamp(old).is_some() {
        let before = meta::finalizers(old);
        let mut added: Vec<&str> =
            meta::finalizers(new).into_iter().filter(|f| !before.contains(f)).collect();
        added.sort_unstable();
        if !added.is_empty() {
            let quoted: Vec<String> = added.iter().map(|f| format!("{f:?}")).collect();
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                quoted.join(", ")
            );
            errors.push(FieldError::forbidden(&path.child("finalizers"), why));
        }
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp"] {
        let pointer = format!("/metadata/{field}");
        immutable(new.at(&pointer), old.at(&pointer), &path.child(field), &mut errors);
    }
    errors
}

/// Complains if a value changed.
pub(crate) fn immutable(new: &Value, old: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    if new != old {
        errors.push(FieldError::invalid(path, new.clone(), IMMUTABLE));
    }
}

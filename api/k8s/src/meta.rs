//! Reading and writing `metadata`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::time;

fn get<'a>(obj: &'a Value, key: &str) -> Option<&'a Value> {
    obj.get("metadata")?.get(key)
}

fn string<'a>(obj: &'a Value, key: &str) -> &'a str {
    get(obj, key).and_then(Value::as_str).unwrap_or_default()
}

/// The metadata map, made if it is missing; a value that is no JSON object becomes one.
pub fn metadata_mut(obj: &mut Value) -> &mut Map<String, Value> {
    if !obj.is_object() {
        *obj = json!({});
    }
    let slot = &mut obj["metadata"];
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut().expect("made an object above")
}

/// `metadata.name`, empty if unset.
pub fn name(obj: &Value) -> &str {
    string(obj, "name")
}

/// `metadata.generateName`, empty if unset.
pub fn generate_name(obj: &Value) -> &str {
    string(obj, "generateName")
}

/// `metadata.namespace`, empty if unset.
pub fn namespace(obj: &Value) -> &str {
    string(obj, "namespace")
}

/// `metadata.uid`, empty if unset.
pub fn uid(obj: &Value) -> &str {
    string(obj, "uid")
}

/// `metadata.resourceVersion`, empty if unset.
pub fn resource_version(obj: &Value) -> &str {
    string(obj, "resourceVersion")
}

/// `metadata.generation`, 0 if unset.
pub fn generation(obj: &Value) -> i64 {
    get(obj, "generation").and_then(Value::as_i64).unwrap_or_default()
}

/// `metadata.labels`.
pub fn labels(obj: &Value) -> Option<&Map<String, Value>> {
    get(obj, "labels")?.as_object()
}

/// `metadata.annotations`.
pub fn annotations(obj: &Value) -> Option<&Map<String, Value>> {
    get(obj, "annotations")?.as_object()
}

/// One annotation.
pub fn annotation<'a>(obj: &'a Value, key: &str) -> Option<&'a str> {
    annotations(obj)?.get(key)?.as_str()
}

/// `metadata.finalizers`.
pub fn finalizers(obj: &Value) -> Vec<&str> {
    let list = get(obj, "finalizers").and_then(Value::as_array);
    list.map(|l| l.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// One entry of `metadata.ownerReferences`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerReference<'a> {
    /// API version of the owner.
    pub api_version: &'a str,
    /// Kind of the owner.
    pub kind: &'a str,
    /// Name of the owner.
    pub name: &'a str,
    /// UID of the owner.
    pub uid: &'a str,
    /// Whether the owner is the managing controller.
    pub controller: bool,
    /// Whether foreground deletion of the owner waits for this object.
    pub block_owner_deletion: bool,
}

/// `metadata.ownerReferences`.
pub fn owner_references(obj: &Value) -> Vec<OwnerReference<'_>> {
    let list = get(obj, "ownerReferences").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .map(|r| OwnerReference {
            api_version: r["apiVersion"].as_str().unwrap_or_default(),
            kind: r["kind"].as_str().unwrap_or_default(),
            name: r["name"].as_str().unwrap_or_default(),
            uid: r["uid"].as_str().unwrap_or_default(),
            controller: r["controller"].as_bool().unwrap_or_default(),
            block_owner_deletion: r["blockOwnerDeletion"].as_bool().unwrap_or_default(),
        })
        .collect()
}

/// The owner that is the managing controller.
pub fn controller_of(obj: &Value) -> Option<OwnerReference<'_>> {
    owner_references(obj).into_iter().find(|r| r.controller)
}

/// `metadata.creationTimestamp`.
pub fn creation_timestamp(obj: &Value) -> Option<Timestamp> {
    time::parse(string(obj, "creationTimestamp"))
}

/// `metadata.deletionTimestamp`: set once deletion was asked for.
pub fn deletion_timestamp(obj: &Value) -> Option<Timestamp> {
    time::parse(string(obj, "deletionTimestamp"))
}

/// `metadata.deletionGracePeriodSeconds`.
pub fn deletion_grace_period_seconds(obj: &Value) -> Option<i64> {
    get(obj, "deletionGracePeriodSeconds")?.as_i64()
}

fn set(obj: &mut Value, key: &str, value: Value) {
    metadata_mut(obj).insert(key.to_owned(), value);
}

/// Sets `metadata.name`.
pub fn set_name(obj: &mut Value, name: &str) {
    set(obj, "name", name.into());
}

/// Sets `metadata.namespace`; the empty string removes it.
pub fn set_namespace(obj: &mut Value, namespace: &str) {
    if namespace.is_empty() {
        metadata_mut(obj).shift_remove("namespace");
    } else {
        set(obj, "namespace", namespace.into());
    }
}

/// Sets `metadata.uid`.
pub fn set_uid(obj: &mut Value, uid: &str) {
    set(obj, "uid", uid.into());
}

/// Sets `metadata.resourceVersion`.
pub fn set_resource_version(obj: &mut Value, revision: u64) {
    set(obj, "resourceVersion", revision.to_string().into());
}

/// Removes `metadata.resourceVersion`.
pub fn clear_resource_version(obj: &mut Value) {
    metadata_mut(obj).shift_remove("resourceVersion");
}

/// Sets `metadata.generation`.
pub fn set_generation(obj: &mut Value, generation: i64) {
    set(obj, "generation", generation.into());
}

/// Sets `metadata.creationTimestamp`.
pub fn set_creation_timestamp(obj: &mut Value, at: Timestamp) {
    set(obj, "creationTimestamp", time::format(at).into());
}

/// Sets `metadata.deletionTimestamp` and the grace period that led to it.
pub fn set_deletion(obj: &mut Value, at: Timestamp, grace_period_seconds: Option<i64>) {
    set(obj, "deletionTimestamp", time::format(at).into());
    match grace_period_seconds {
        Some(seconds) => set(obj, "deletionGracePeriodSeconds", seconds.into()),
        None => {
            metadata_mut(obj).shift_remove("deletionGracePeriodSeconds");
        }
    }
}

/// Sets `metadata.finalizers`; an empty list removes the field.
pub fn set_finalizers(obj: &mut Value, finalizers: &[String]) {
    if finalizers.is_empty() {
        metadata_mut(obj).shift_remove("finalizers");
    } else {
        set(obj, "finalizers", json!(finalizers));
    }
}

/// Sets one annotation.
pub fn set_annotation(obj: &mut Value, key: &str, value: &str) {
    let slot = metadata_mut(obj).entry("annotations").or_insert_with(|| json!({}));
    if !slot.is_object() {
        *slot = json!({});
    }
    if let Value::Object(map) = slot {
        map.insert(key.to_owned(), value.into());
    }
}

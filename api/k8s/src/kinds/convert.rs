//! Two views of the same objects: core/v1 and events.k8s.io/v1 Events.

use serde_json::{Map, Value, json};

use super::Kind;

/// (core/v1, events.k8s.io/v1) names of the fields that only differ in name.
const RENAMED: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Turns an object of one kind into another that shares its storage; anything else is returned as
/// it came.
pub fn convert(mut object: Value, from: &Kind, to: &Kind) -> Value {
    let renames: Vec<(&str, &str)> = match (from.group, from.kind, to.group, to.kind) {
        ("", "Event", "events.k8s.io", "Event") => RENAMED.to_vec(),
        ("events.k8s.io", "Event", "", "Event") => {
            RENAMED.iter().map(|(core, events)| (*events, *core)).collect()
        }
        _ => return object,
    };
    let Some(map) = object.as_object_mut() else { return object };
    let mut out = Map::with_capacity(map.len());
    for (key, value) in std::mem::take(map) {
        let key = match renames.iter().find(|(old, _)| *old == key) {
            Some((_, new)) => (*new).to_owned(),
            None => key,
        };
        out.insert(key, value);
    }
    if out.contains_key("apiVersion") {
        out.insert("apiVersion".into(), to.api_version().into());
    }
    // The reference is a required struct in the core form.
    if to.group.is_empty() && !out.contains_key("involvedObject") {
        out.insert("involvedObject".into(), json!({}));
    }
    Value::Object(out)
}

//! Objects as they lie in the store.
//!
//! A value is the object's JSON with `apiVersion`, `kind` and `metadata` first and without
//! `resourceVersion`, which is the entry's revision and is put in on the way out: by text, so that
//! a watch or a list costs no serialising.

use std::sync::Arc;

use bytes::Bytes;
use corten_api_k8s::kinds::{Kind, convert};
use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use corten_apiserver_store::{Entry, Key, Revision};
use serde_json::Value;

const ROOT: &str = "/registry";
const METADATA: &[u8] = b"\"metadata\":{";

fn group_part(group: &str) -> &str {
    if group.is_empty() { "core" } else { group }
}

/// The key of an object of the core group.
pub(crate) fn core_key(resource: &str, namespace: &str, name: &str) -> String {
    join("", resource, namespace, name)
}

fn join(group: &str, resource: &str, namespace: &str, name: &str) -> String {
    let group = group_part(group);
    if namespace.is_empty() {
        format!("{ROOT}/{group}/{resource}/{name}")
    } else {
        format!("{ROOT}/{group}/{resource}/{namespace}/{name}")
    }
}

/// The key of an object.
pub(crate) fn key(kind: &'static Kind, namespace: &str, name: &str) -> Key {
    let kind = kind.storage_kind();
    let namespace = if kind.namespaced { namespace } else { "" };
    Key::from(join(kind.group, kind.plural, namespace, name))
}

/// What the keys of a kind's objects start with: all of them, or those of a namespace.
pub(crate) fn prefix(kind: &'static Kind, namespace: &str) -> String {
    key(kind, namespace, "").to_string()
}

/// The object with its `resourceVersion`, parsed once per version.
pub(crate) fn parsed(entry: &Entry) -> Arc<Value> {
    entry.derived(|entry| parse(entry, entry.modified()))
}

fn parse(entry: &Entry, revision: Revision) -> Value {
    match serde_json::from_slice::<Value>(entry.value()) {
        Ok(mut object) => {
            meta::set_resource_version(&mut object, revision);
            object
        }
        Err(error) => {
            tracing::error!(key = %entry.key(), cause = %error, "a stored object is not readable");
            Value::Null
        }
    }
}

/// The object as seen through `kind`.
pub(crate) fn view(kind: &'static Kind, object: &Arc<Value>) -> Arc<Value> {
    let stored = kind.storage_kind();
    if std::ptr::eq(stored, kind) {
        return Arc::clone(object);
    }
    Arc::new(convert(object.as_ref().clone(), stored, kind))
}

/// An object that came through `kind`, in the form that is stored.
pub(crate) fn unview(kind: &'static Kind, object: Value) -> Value {
    convert(object, kind, kind.storage_kind())
}

/// The object's JSON with that `resourceVersion`, as seen through `kind`.
pub(crate) fn wire(kind: &'static Kind, entry: &Entry, revision: Revision) -> Bytes {
    if std::ptr::eq(kind.storage_kind(), kind) {
        return with_version(entry.value(), revision);
    }
    let object = convert(parse(entry, revision), kind.storage_kind(), kind);
    serde_json::to_vec(&object).unwrap_or_default().into()
}

fn with_version(json: &[u8], revision: Revision) -> Bytes {
    let Some(at) = json.windows(METADATA.len()).position(|window| window == METADATA) else {
        return Bytes::copy_from_slice(json);
    };
    let (before, after) = json.split_at(at + METADATA.len());
    let comma = if after.first() == Some(&b'}') { "" } else { "," };
    let version = format!("\"resourceVersion\":\"{revision}\"{comma}");
    [before, version.as_bytes(), after].concat().into()
}

/// An object in the form that is stored.
pub(crate) fn encode(object: &Value) -> Result<Bytes, Status> {
    let failed = |error: serde_json::Error| status::internal(&error.to_string());
    let Some(fields) = object.as_object() else {
        return Err(status::internal("an object to be stored is not a JSON object"));
    };
    let mut metadata = object.get("metadata").cloned().unwrap_or_default();
    if let Some(map) = metadata.as_object_mut() {
        map.shift_remove("resourceVersion");
        map.shift_remove("managedFields");
    }
    let mut out: Vec<u8> = Vec::with_capacity(1024);
    let mut put = |name: &str, value: &Value| {
        out.push(if out.is_empty() { b'{' } else { b',' });
        serde_json::to_writer(&mut out, name)?;
        out.push(b':');
        serde_json::to_writer(&mut out, value)
    };
    for name in ["apiVersion", "kind"] {
        put(name, fields.get(name).unwrap_or(&Value::Null)).map_err(failed)?;
    }
    put("metadata", &metadata).map_err(failed)?;
    for (name, value) in fields {
        if !matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            put(name, value).map_err(failed)?;
        }
    }
    out.push(b'}');
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_version_is_put_in_and_left_out() {
        let object = json!({
            "spec": { "metadata": {} },
            "kind": "Pod",
            "metadata": { "name": "p", "resourceVersion": "3", "uid": "u" },
            "apiVersion": "v1",
        });
        let stored = encode(&object).unwrap();
        assert_eq!(
            &stored[..],
            br#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","uid":"u"},"spec":{"metadata":{}}}"#
        );
        let mut expected = object;
        expected["metadata"]["resourceVersion"] = json!("77");
        let shown: Value = serde_json::from_slice(&with_version(&stored, 77)).unwrap();
        assert_eq!(shown, expected);
    }

    #[test]
    fn empty_metadata_stays_json() {
        let shown = with_version(br#"{"metadata":{}}"#, 5);
        assert_eq!(&shown[..], br#"{"metadata":{"resourceVersion":"5"}}"#);
    }
}

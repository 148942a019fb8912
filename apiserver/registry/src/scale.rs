//! The `scale` subresource: `autoscaling/v1` Scale read from and written to an object.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::kinds::Kind;
use corten_api_k8s::selector::LabelSelector;
use corten_api_k8s::status::{self, Status};
use corten_api_k8s::{kinds, meta};
use serde_json::{Map, Value, json};

use crate::read::Read;
use crate::strategy::strategy;

/// The Scale of an object; `None` if its kind has none.
pub fn read(kind: &Kind, object: &Value) -> Option<Value> {
    let paths = strategy(kind).scale()?;
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.at("/metadata").get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    let selector = LabelSelector::new(object.at(paths.selector)).to_selector();
    Some(json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": object.int(paths.spec_replicas).unwrap_or_default()},
        "status": {
            "replicas": object.int(paths.status_replicas).unwrap_or_default(),
            "selector": selector.map(|s| s.to_string()).unwrap_or_default(),
        },
    }))
}

/// The object as a changed Scale wants it; it then goes the way of any update.
///
/// # Errors
/// `Invalid` for a name that is not the object's or negative replicas.
pub fn write(kind: &Kind, object: &Value, scale: &Value) -> Result<Value, Status> {
    let mut errors = Vec::new();
    let spec_replicas = strategy(kind).scale().map_or("/spec/replicas", |p| p.spec_replicas);
    let replicas = scale.int("/spec/replicas").unwrap_or_default();
    if replicas < 0 {
        let path = FieldPath::new("spec").child("replicas");
        errors.push(FieldError::invalid(&path, replicas, "must be greater than or equal to 0"));
    }
    let name = meta::name(scale);
    if !name.is_empty() && name != meta::name(object) {
        let path = FieldPath::new("metadata").child("name");
        errors.push(FieldError::invalid(&path, name, "must be that of the scaled object"));
    }
    if !errors.is_empty() {
        let scale_kind = kinds::by_gvk("autoscaling", "v1", "Scale");
        return Err(status::invalid(scale_kind.unwrap_or(kind), meta::name(object), &errors));
    }
    let mut out = object.clone();
    if let Some(slot) = out.pointer_mut(spec_replicas) {
        *slot = replicas.into();
    } else {
        crate::read::object(&mut out, "spec")["replicas"] = replicas.into();
    }
    let version = meta::resource_version(scale);
    if !version.is_empty() {
        out["metadata"]["resourceVersion"] = version.into();
    }
    Ok(out)
}

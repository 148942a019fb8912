//! Component schemas, collected as they are referred to.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::schema::{Field, FieldType, ListType, Type};

const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";

/// The components of one document.
#[derive(Default)]
pub(super) struct Schemas {
    done: BTreeMap<&'static str, Value>,
}

impl Schemas {
    /// A reference to a struct; it and all it refers to become components.
    pub(super) fn reference(&mut self, ty: &'static Type) -> Value {
        if !self.done.contains_key(ty.name) {
            // Entered before its fields are walked: types are recursive.
            self.done.insert(ty.name, Value::Null);
            let schema = self.object(ty);
            self.done.insert(ty.name, schema);
        }
        pointer(ty.name)
    }

    /// A reference to a component without fields.
    fn opaque(&mut self, name: &'static str, schema: Value) -> Value {
        self.done.entry(name).or_insert(schema);
        pointer(name)
    }

    pub(super) fn into_components(self) -> Map<String, Value> {
        self.done.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
    }

    fn object(&mut self, ty: &'static Type) -> Value {
        let mut out = Map::new();
        out.insert("type".into(), "object".into());
        let required: Vec<&str> = ty.fields.iter().filter(|f| f.required).map(|f| f.name).collect();
        if !required.is_empty() {
            out.insert("required".into(), json!(required));
        }
        if !ty.fields.is_empty() {
            let mut properties = Map::new();
            for field in ty.fields {
                properties.insert(field.name.to_owned(), self.property(field));
            }
            out.insert("properties".into(), Value::Object(properties));
        }
        if !ty.gvks.is_empty() {
            let gvks: Vec<Value> = ty.gvks.iter().map(gvk).collect();
            out.insert("x-kubernetes-group-version-kind".into(), Value::Array(gvks));
        }
        if ty.atomic {
            out.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
        Value::Object(out)
    }

    fn property(&mut self, field: &Field) -> Value {
        let mut schema = self.value(field.ty);
        let Value::Object(out) = &mut schema else { return schema };
        match field.list {
            Some(ListType::Atomic) => {
                out.insert("x-kubernetes-list-type".into(), "atomic".into());
            }
            Some(ListType::Set) => {
                out.insert("x-kubernetes-list-type".into(), "set".into());
            }
            Some(ListType::Map(keys)) => {
                out.insert("x-kubernetes-list-map-keys".into(), json!(keys));
                out.insert("x-kubernetes-list-type".into(), "map".into());
            }
            None => {}
        }
        if field.map_atomic {
            out.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
        if !field.merge_key.is_empty() {
            out.insert("x-kubernetes-patch-merge-key".into(), field.merge_key.into());
        }
        let strategies: Vec<&str> = [
            (field.patch_merge, "merge"),
            (field.patch_retain_keys, "retainKeys"),
            (field.patch_replace, "replace"),
        ]
        .into_iter()
        .filter_map(|(on, name)| on.then_some(name))
        .collect();
        if !strategies.is_empty() {
            out.insert("x-kubernetes-patch-strategy".into(), strategies.join(",").into());
        }
        schema
    }

    fn value(&mut self, ty: FieldType) -> Value {
        match ty {
            FieldType::Bool => json!({"type": "boolean"}),
            FieldType::Int32 => json!({"type": "integer", "format": "int32"}),
            FieldType::Int64 => json!({"type": "integer", "format": "int64"}),
            FieldType::Double => json!({"type": "number", "format": "double"}),
            FieldType::Str => json!({"type": "string"}),
            FieldType::Bytes => json!({"type": "string", "format": "byte"}),
            FieldType::Time => self.scalar(TIME, json!({"type": "string", "format": "date-time"})),
            FieldType::MicroTime => {
                self.scalar(MICRO_TIME, json!({"type": "string", "format": "date-time"}))
            }
            FieldType::Quantity => {
                self.scalar(QUANTITY, json!({"oneOf": [{"type": "string"}, {"type": "number"}]}))
            }
            FieldType::IntOrString => self.scalar(
                INT_OR_STRING,
                json!({
                    "format": "int-or-string",
                    "oneOf": [{"type": "integer"}, {"type": "string"}],
                }),
            ),
            // The reference stands in an allOf, for beside a bare one siblings are not allowed.
            FieldType::Obj(ty) => json!({"allOf": [self.reference(ty)]}),
            FieldType::List(item) => json!({"type": "array", "items": self.value(*item)}),
            FieldType::Map(item) => {
                json!({"type": "object", "additionalProperties": self.value(*item)})
            }
            FieldType::Any("") => json!({"type": "object"}),
            FieldType::Any(name) if name.ends_with(".FieldsV1") || name.ends_with("Extension") => {
                self.scalar(name, json!({"type": "object"}))
            }
            FieldType::Any(name) => self.scalar(name, json!({})),
        }
    }

    fn scalar(&mut self, name: &'static str, schema: Value) -> Value {
        json!({"allOf": [self.opaque(name, schema)]})
    }
}

fn pointer(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The form of a group-version-kind in the extension.
pub(super) fn gvk((group, version, kind): &(&str, &str, &str)) -> Value {
    json!({"group": group, "kind": kind, "version": version})
}

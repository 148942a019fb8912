//! `meta.k8s.io/v1` Tables: what `kubectl get` shows.

use corten_api_k8s::kinds::Kind;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::read::Read;
use crate::strategy::{Column, strategy};

/// How much of each object a row carries (`?includeObject=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Its metadata.
    Metadata,
    /// All of it.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter; absent or empty means `Metadata`.
    pub fn parse(text: Option<&str>) -> Option<Self> {
        Some(match text {
            None | Some("" | "Metadata") => IncludeObject::Metadata,
            Some("None") => IncludeObject::None,
            Some("Object") => IncludeObject::Object,
            Some(_) => return None,
        })
    }
}

/// A table of objects; `metadata` (resource version, continue token) is the caller's to set.
pub fn table(kind: &Kind, objects: &[Value], now: Timestamp, include: IncludeObject) -> Value {
    let strategy = strategy(kind);
    let columns: Vec<Value> = strategy.columns().iter().map(column).collect();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let mut row = json!({"cells": strategy.row(object, now)});
            if let Some(conditions) = strategy.row_conditions(object) {
                row["conditions"] = conditions;
            }
            match include {
                IncludeObject::None => {}
                IncludeObject::Metadata => row["object"] = partial(object),
                IncludeObject::Object => row["object"] = object.clone(),
            }
            row
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": columns,
        "rows": rows,
    })
}

fn column(column: &Column) -> Value {
    let format = if column.name == "Name" { "name" } else { "" };
    json!({
        "name": column.name,
        "type": column.ty,
        "format": format,
        "description": "",
        "priority": column.priority,
    })
}

/// `PartialObjectMetadata` of an object.
pub fn partial(object: &Value) -> Value {
    let mut out = Map::new();
    out.insert("kind".into(), "PartialObjectMetadata".into());
    out.insert("apiVersion".into(), "meta.k8s.io/v1".into());
    out.insert("metadata".into(), object.at("/metadata").clone());
    Value::Object(out)
}

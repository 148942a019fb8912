//! OpenAPI v2: all groups in one document. It is made from the v3 documents, which say more; what
//! differs is where things stand.

mod gnostic;

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use crate::kinds;

/// The media types under which clients ask for the protobuf form: the name with the `@` is no
/// valid media type, and is what older clients say.
pub const PROTOBUF_TYPES: &[&str] = &[
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
];

const V3_PREFIX: &str = "#/components/schemas/";
const V2_PREFIX: &str = "#/definitions/";
const METHODS: &[&str] = &["get", "put", "post", "delete", "options", "head", "patch"];

/// What `/openapi/v2` answers.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let mut paths = Map::new();
        let mut definitions = Map::new();
        for (group, versions) in kinds::groups() {
            for version in versions {
                let Some(document) = super::document(group, version) else { continue };
                for (path, item) in entries(&document["paths"]) {
                    paths.insert(path.clone(), path_item(item));
                }
                for (name, definition) in entries(&document["components"]["schemas"]) {
                    definitions.insert(name.clone(), schema(definition));
                }
            }
        }
        json!({
            "swagger": "2.0",
            "info": {"title": "Kubernetes", "version": crate::KUBERNETES_VERSION},
            "paths": paths,
            "definitions": definitions,
        })
    })
}

/// The same as a protobuf message.
pub fn protobuf() -> Vec<u8> {
    gnostic::encode(document())
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn path_item(item: &Value) -> Value {
    let mut out = Map::new();
    for (key, value) in entries(item) {
        let value = match key.as_str() {
            "parameters" => parameters(value).collect(),
            method if METHODS.contains(&method) => operation(value),
            _ => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    Value::Object(out)
}

/// A parameter's type stands in the parameter itself.
fn parameters(list: &Value) -> impl Iterator<Item = Value> {
    list.as_array().into_iter().flatten().map(|parameter| {
        let mut out = Map::new();
        for (key, value) in entries(parameter) {
            if key == "schema" {
                out.extend(entries(value).map(|(key, value)| (key.clone(), value.clone())));
            } else {
                out.insert(key.clone(), value.clone());
            }
        }
        Value::Object(out)
    })
}

/// A body is a parameter; media types are the operation's.
fn operation(operation: &Value) -> Value {
    let mut out = Map::new();
    for (key, value) in entries(operation) {
        match key.as_str() {
            "parameters" | "requestBody" => {}
            "responses" => {
                let mut produces = Vec::new();
                let mut responses = Map::new();
                for (code, response) in entries(value) {
                    responses.insert(code.clone(), self::response(response, &mut produces));
                }
                out.insert("produces".into(), json!(produces));
                out.insert("responses".into(), Value::Object(responses));
            }
            _ => {
                out.insert(key.clone(), value.clone());
            }
        }
    }
    let mut list = Vec::new();
    if let Some(body) = operation.get("requestBody") {
        let (media_types, schema) = content(body);
        out.insert("consumes".into(), json!(media_types));
        list.push(json!({"in": "body", "name": "body", "required": true, "schema": schema}));
    }
    list.extend(parameters(&operation["parameters"]));
    out.insert("parameters".into(), Value::Array(list));
    Value::Object(out)
}

fn response(response: &Value, produces: &mut Vec<String>) -> Value {
    let mut out = json!({"description": response["description"]});
    if response.get("content").is_some() {
        let (media_types, schema) = content(response);
        produces.extend(media_types);
        out["schema"] = schema;
    }
    out
}

/// The media types of a body, and its schema, which is the same for all of them.
fn content(body: &Value) -> (Vec<String>, Value) {
    let media_types = entries(&body["content"]).map(|(name, _)| name.clone()).collect();
    let first = entries(&body["content"]).next();
    (media_types, first.map(|(_, content)| schema(&content["schema"])).unwrap_or_default())
}

fn schema(v3: &Value) -> Value {
    let mut out = Map::new();
    for (key, value) in entries(v3) {
        match key.as_str() {
            "$ref" => {
                let name = value.as_str().unwrap_or_default().trim_start_matches(V3_PREFIX);
                out.insert(key.clone(), format!("{V2_PREFIX}{name}").into());
            }
            // One that stands for a reference with siblings.
            "allOf" => {
                let parts = value.as_array().into_iter().flatten();
                for part in parts {
                    if let Value::Object(part) = schema(part) {
                        out.extend(part);
                    }
                }
            }
            // What may be of several types travels as a string.
            "oneOf" => {
                out.insert("type".into(), "string".into());
            }
            "properties" => {
                let each = entries(value).map(|(name, value)| (name.clone(), schema(value)));
                out.insert(key.clone(), Value::Object(each.collect()));
            }
            "items" | "additionalProperties" => {
                out.insert(key.clone(), schema(value));
            }
            _ => {
                out.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests;

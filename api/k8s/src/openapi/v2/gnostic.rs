//! The document as the protobuf message `openapi.v2.Document` of gnostic, which is what kubectl
//! asks for. Field numbers: `openapiv2/OpenAPIv2.proto` of github.com/google/gnostic.

use serde_json::Value;

use super::{METHODS, entries};

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A field whose content has a length (wire type 2).
    fn bytes(&mut self, number: u64, content: &[u8]) {
        self.varint(number << 3 | 2);
        self.varint(content.len() as u64);
        self.0.extend_from_slice(content);
    }

    fn text(&mut self, number: u64, value: &Value) {
        if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
            self.bytes(number, text.as_bytes());
        }
    }

    fn texts(&mut self, number: u64, list: &Value) {
        for text in list.as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.bytes(number, text.as_bytes());
        }
    }

    fn flag(&mut self, number: u64, value: &Value) {
        if value == &Value::Bool(true) {
            self.varint(number << 3);
            self.varint(1);
        }
    }

    fn message(&mut self, number: u64, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(number, &inner.0);
    }

    /// An entry of what is a map in JSON: a message of name and value.
    fn named(&mut self, number: u64, name: &str, write: impl FnOnce(&mut Message)) {
        self.message(number, |entry| {
            entry.bytes(1, name.as_bytes());
            entry.message(2, write);
        });
    }

    /// The extensions of an object; values travel as YAML, of which JSON is a part.
    fn extensions(&mut self, number: u64, object: &Value) {
        for (name, value) in entries(object).filter(|(name, _)| name.starts_with("x-")) {
            self.named(number, name, |any| any.bytes(2, value.to_string().as_bytes()));
        }
    }
}

pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, &document["swagger"]);
    out.message(2, |info| {
        info.text(1, &document["info"]["title"]);
        info.text(2, &document["info"]["version"]);
    });
    out.message(8, |paths| {
        for (path, item) in entries(&document["paths"]) {
            paths.named(2, path, |out| path_item(out, item));
        }
    });
    out.message(9, |definitions| {
        for (name, definition) in entries(&document["definitions"]) {
            definitions.named(1, name, |out| schema(out, definition));
        }
    });
    out.0
}

fn path_item(out: &mut Message, item: &Value) {
    for (number, method) in (2..).zip(METHODS) {
        if let Some(operation) = item.get(method) {
            out.message(number, |out| self::operation(out, operation));
        }
    }
    parameters(out, 9, &item["parameters"]);
    out.extensions(10, item);
}

fn operation(out: &mut Message, operation: &Value) {
    out.text(3, &operation["description"]);
    out.text(5, &operation["operationId"]);
    out.texts(6, &operation["produces"]);
    out.texts(7, &operation["consumes"]);
    parameters(out, 8, &operation["parameters"]);
    out.message(9, |responses| {
        for (code, response) in entries(&operation["responses"]) {
            responses.named(1, code, |value| {
                value.message(1, |out| {
                    out.text(1, &response["description"]);
                    if let Some(of) = response.get("schema") {
                        out.message(2, |item| item.message(1, |out| schema(out, of)));
                    }
                });
            });
        }
    });
    out.extensions(13, operation);
}

fn parameters(out: &mut Message, number: u64, list: &Value) {
    for parameter in list.as_array().into_iter().flatten() {
        out.message(number, |item| item.message(1, |out| self::parameter(out, parameter)));
    }
}

fn parameter(out: &mut Message, parameter: &Value) {
    match parameter["in"].as_str() {
        Some("body") => out.message(1, |out| {
            out.text(1, &parameter["description"]);
            out.text(2, &parameter["name"]);
            out.text(3, &parameter["in"]);
            out.flag(4, &parameter["required"]);
            out.message(5, |out| schema(out, &parameter["schema"]));
        }),
        // A parameter of the path has no `allow_empty_value`; all after it is one number lower.
        Some("path") => out.message(2, |out| out.message(4, |out| plain(out, parameter, 5, 18))),
        Some(_) | None => out.message(2, |out| out.message(3, |out| plain(out, parameter, 6, 20))),
    }
}

fn plain(out: &mut Message, parameter: &Value, type_number: u64, unique_number: u64) {
    out.flag(1, &parameter["required"]);
    out.text(2, &parameter["in"]);
    out.text(3, &parameter["description"]);
    out.text(4, &parameter["name"]);
    out.text(type_number, &parameter["type"]);
    out.flag(unique_number, &parameter["uniqueItems"]);
}

fn schema(out: &mut Message, schema: &Value) {
    out.text(1, &schema["$ref"]);
    out.text(2, &schema["format"]);
    out.text(4, &schema["description"]);
    out.texts(19, &schema["required"]);
    if let Some(of) = schema.get("additionalProperties") {
        out.message(21, |item| item.message(1, |out| self::schema(out, of)));
    }
    if schema["type"].is_string() {
        out.message(22, |item| item.text(1, &schema["type"]));
    }
    if let Some(of) = schema.get("items") {
        out.message(23, |item| item.message(1, |out| self::schema(out, of)));
    }
    if schema.get("properties").is_some() {
        out.message(25, |properties| {
            for (name, property) in entries(&schema["properties"]) {
                properties.named(1, name, |out| self::schema(out, property));
            }
        });
    }
    out.extensions(31, schema);
}

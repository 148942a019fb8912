//! A value along the schema: types checked, unknown fields dropped, scalars in canonical form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::COMPLAINTS_MAX;
use crate::quantity::Quantity;
use crate::schema::{FieldType, Type};
use crate::time;

/// What the walk found.
pub(super) struct Outcome {
    pub(super) value: Value,
    /// `unknown field "…"`, in document order.
    pub(super) unknown: Vec<String>,
    /// The first value of the wrong type.
    pub(super) error: Option<String>,
}

pub(super) fn walk(ty: &'static Type, value: Value, yaml: bool) -> Outcome {
    let mut walk = Walk {
        path: String::new(),
        fields: Vec::new(),
        owner: ty,
        yaml,
        unknown: Vec::new(),
        error: None,
    };
    let value = match value {
        Value::Object(map) => Value::Object(walk.object(ty, map)),
        Value::Null => Value::Object(Map::new()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            walk.mismatch(&value, &ty.go_name());
            value
        }
    };
    Outcome { value, unknown: walk.unknown, error: walk.error }
}

/// Go's word for the JSON type of a value.
pub(super) fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

const QUANTITY_ERROR: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// Optional strings that mean something else when empty than when absent.
const EMPTY_STRING_COUNTS: &[(&str, &str)] = &[
    ("LeaseSpec", "holderIdentity"),
    ("PersistentVolumeClaimSpec", "storageClassName"),
    ("PersistentVolumeClaimSpec", "volumeAttributesClassName"),
    ("EndpointPort", "name"),
    ("OwnerReference", "name"),
];

struct Walk {
    /// The path as in `unknown field`: with indices.
    path: String,
    /// The path as in a type error: struct fields only.
    fields: Vec<&'static str>,
    /// The struct that holds the current field.
    owner: &'static Type,
    yaml: bool,
    unknown: Vec<String>,
    error: Option<String>,
}

impl Walk {
    fn object(&mut self, ty: &'static Type, map: Map<String, Value>) -> Map<String, Value> {
        let mut out = Map::with_capacity(map.len());
        let length = self.path.len();
        let owner = std::mem::replace(&mut self.owner, ty);
        for (key, value) in map {
            self.push_key(&key);
            match ty.field(&key) {
                None => {
                    if self.unknown.len() < COMPLAINTS_MAX {
                        self.unknown.push(format!("unknown field \"{}\"", self.path));
                    }
                }
                Some(_) if value.is_null() => {}
                Some(field) => {
                    self.fields.push(field.name);
                    let value = self.value(field.ty, value);
                    self.fields.pop();
                    if !self.says_nothing(ty, field.name, field.required, field.ty, &value) {
                        out.insert(key, value);
                    }
                }
            }
            self.path.truncate(length);
        }
        self.owner = owner;
        out
    }

    /// Empty optional lists, maps and strings are the same as absent ones, and are not kept.
    fn says_nothing(
        &self,
        ty: &Type,
        name: &str,
        required: bool,
        field: FieldType,
        value: &Value,
    ) -> bool {
        if required {
            return false;
        }
        match (field, value) {
            (FieldType::List(_), Value::Array(list)) => list.is_empty(),
            (FieldType::Map(_), Value::Object(map)) => map.is_empty(),
            (FieldType::Str, Value::String(text)) => {
                text.is_empty() && !EMPTY_STRING_COUNTS.contains(&(ty.short_name(), name))
            }
            _ => false,
        }
    }

    fn push_key(&mut self, key: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(key);
    }

    fn value(&mut self, ty: FieldType, value: Value) -> Value {
        match (ty, value) {
            (FieldType::Any(_), value) => value,
            (FieldType::Obj(ty), Value::Object(map)) => Value::Object(self.object(ty, map)),
            (FieldType::List(item), Value::Array(list)) => self.list(*item, list),
            (FieldType::Map(item), Value::Object(map)) => self.map(*item, map),
            (FieldType::Str, Value::String(text)) => Value::String(text),
            (FieldType::Bool, Value::Bool(value)) => Value::Bool(value),
            (FieldType::Bool, Value::String(text)) if self.yaml => self.yaml_bool(text),
            (FieldType::Double, value @ Value::Number(_)) => value,
            (FieldType::Int32 | FieldType::Int64, value) => self.integer(ty, value),
            (FieldType::Bytes, Value::String(text)) => self.bytes(&text),
            (FieldType::Quantity, value) => self.quantity(value),
            (FieldType::IntOrString, value) => self.int_or_string(value),
            (FieldType::Time | FieldType::MicroTime, Value::String(text)) => self.time(ty, text),
            (_, value) => {
                self.mismatch(&value, &ty.go_name());
                value
            }
        }
    }

    fn list(&mut self, item: FieldType, list: Vec<Value>) -> Value {
        let length = self.path.len();
        let mut out = Vec::with_capacity(list.len());
        for (index, value) in list.into_iter().enumerate() {
            self.path.push_str(&format!("[{index}]"));
            out.push(if value.is_null() { zero(item) } else { self.value(item, value) });
            self.path.truncate(length);
        }
        Value::Array(out)
    }

    fn map(&mut self, item: FieldType, map: Map<String, Value>) -> Value {
        let length = self.path.len();
        let mut out = Map::with_capacity(map.len());
        for (key, value) in map {
            self.push_key(&key);
            let value = if value.is_null() { zero(item) } else { self.value(item, value) };
            out.insert(key, value);
            self.path.truncate(length);
        }
        Value::Object(out)
    }

    fn integer(&mut self, ty: FieldType, value: Value) -> Value {
        if let (true, Value::String(text)) = (self.yaml, &value) {
            // YAML 1.1 octal, which file modes are written in; the reader speaks YAML 1.2.
            let digits = text.strip_prefix('0').filter(|d| !d.is_empty());
            if let Some(number) = digits.and_then(|d| i64::from_str_radix(d, 8).ok()) {
                return self.integer(ty, number.into());
            }
        }
        let Value::Number(number) = &value else {
            self.mismatch(&value, &ty.go_name());
            return value;
        };
        let fits = match (ty, number.as_i64()) {
            (FieldType::Int32, Some(n)) => i32::try_from(n).is_ok(),
            (_, n) => n.is_some(),
        };
        if !fits {
            self.mismatch_word(&format!("number {number}"), &ty.go_name());
        }
        value
    }

    fn yaml_bool(&mut self, text: String) -> Value {
        match text.as_str() {
            "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => Value::Bool(true),
            "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => Value::Bool(false),
            _ => {
                let value = Value::String(text);
                self.mismatch(&value, "bool");
                value
            }
        }
    }

    fn bytes(&mut self, text: &str) -> Value {
        let stripped: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        if let Err(error) = STANDARD.decode(&stripped) {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _)
                | base64::DecodeError::InvalidLastSymbol { offset: at, .. } => at,
                base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => {
                    stripped.len()
                }
            };
            self.fail(format!("illegal base64 data at input byte {at} (at {})", self.path));
        }
        Value::String(stripped)
    }

    fn quantity(&mut self, value: Value) -> Value {
        let text = match &value {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
        };
        match text.parse::<Quantity>() {
            Ok(quantity) => Value::String(quantity.to_string()),
            Err(_) => {
                self.fail(format!("{QUANTITY_ERROR} (at {}: {value})", self.path));
                value
            }
        }
    }

    fn int_or_string(&mut self, value: Value) -> Value {
        let fits = value.as_i64().is_some_and(|n| i32::try_from(n).is_ok());
        if !fits && !value.is_string() {
            let word = match value.as_number() {
                Some(number) => format!("number {number}"),
                None => go_kind(&value).to_owned(),
            };
            self.fail(format!(
                "json: cannot unmarshal {word} into Go value of type int32 (at {})",
                self.path
            ));
        }
        value
    }

    fn time(&mut self, ty: FieldType, text: String) -> Value {
        match time::parse(&text) {
            Some(at) if matches!(ty, FieldType::MicroTime) => time::format_micro(at).into(),
            Some(at) => time::format(at).into(),
            None => {
                self.fail(format!(
                    "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": not an RFC 3339 time (at {})",
                    self.path
                ));
                text.into()
            }
        }
    }

    fn mismatch(&mut self, value: &Value, go_type: &str) {
        self.mismatch_word(go_kind(value), go_type);
    }

    fn mismatch_word(&mut self, word: &str, go_type: &str) {
        let target = if self.fields.is_empty() {
            "value".to_owned()
        } else {
            format!("struct field {}.{}", self.owner.short_name(), self.fields.join("."))
        };
        self.fail(format!("json: cannot unmarshal {word} into Go {target} of type {go_type}"));
    }

    fn fail(&mut self, error: String) {
        self.error.get_or_insert(error);
    }
}

/// What `null` means inside a list or map: the zero value.
fn zero(ty: FieldType) -> Value {
    match ty {
        FieldType::Bool => Value::Bool(false),
        FieldType::Int32 | FieldType::Int64 | FieldType::Double | FieldType::IntOrString => {
            Value::from(0)
        }
        FieldType::Str | FieldType::Bytes => Value::String(String::new()),
        FieldType::Quantity => Value::String("0".to_owned()),
        FieldType::Obj(_) | FieldType::Map(_) => Value::Object(Map::new()),
        FieldType::List(_) => Value::Array(Vec::new()),
        FieldType::Time | FieldType::MicroTime | FieldType::Any(_) => Value::Null,
    }
}

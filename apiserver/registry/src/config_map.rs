//! core/v1 ConfigMap.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::{meta, names};
use jiff::Timestamp;
use serde_json::Value;

use crate::read::Read;
use crate::strategy::{Column, Strategy, age};

/// All values together, in bytes; Secrets have the same bound.
pub(crate) const DATA_BYTES_MAX: usize = 1 << 20;
const IMMUTABLE_SET: &str = "field is immutable when `immutable` is set";

pub(crate) struct ConfigMap;

impl Strategy for ConfigMap {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut bytes = 0;
        for (key, value) in object.entries("/data") {
            let path = FieldPath::new("data").key(key);
            for why in names::config_map_key(key) {
                errors.push(FieldError::invalid(&path, key, why));
            }
            if object.at("/binaryData").get(key).is_some() {
                let why = "duplicate of key present in binaryData";
                errors.push(FieldError::invalid(&path, key, why));
            }
            bytes += value.as_str().map_or(0, str::len);
        }
        for (key, value) in object.entries("/binaryData") {
            for why in names::config_map_key(key) {
                let path = FieldPath::new("binaryData").key(key);
                errors.push(FieldError::invalid(&path, key, why));
            }
            bytes += decoded_len(value);
        }
        if bytes > DATA_BYTES_MAX {
            // The object as a whole: upstream shows its empty path so.
            errors.push(FieldError::too_long(&FieldPath::new("[]"), DATA_BYTES_MAX));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        frozen(new, old, &["data", "binaryData"])
    }

    fn columns(&self) -> &'static [Column] {
        const { &[Column::text("Name"), Column::text("Data"), Column::text("Age")] }
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let count = object.entries("/data").len() + object.entries("/binaryData").len();
        vec![meta::name(object).into(), count.into(), age(object, now)]
    }
}

/// The length of base64 text once decoded; decoding has checked that it is base64.
pub(crate) fn decoded_len(value: &Value) -> usize {
    let text = value.as_str().unwrap_or_default().trim_end_matches('=');
    text.len() * 3 / 4
}

/// With `immutable` set, neither it nor these fields may change.
pub(crate) fn frozen(new: &Value, old: &Value, fields: &[&str]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if old.flag("/immutable") {
        if !new.flag("/immutable") {
            errors.push(FieldError::forbidden(&FieldPath::new("immutable"), IMMUTABLE_SET));
        }
        for field in fields {
            if new.get(field) != old.get(field) {
                errors.push(FieldError::forbidden(&FieldPath::new(field), IMMUTABLE_SET));
            }
        }
    }
    errors
}

//! core/v1 Secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::{meta, names};
use jiff::Timestamp;
use serde_json::Value;

use crate::config_map::{DATA_BYTES_MAX, decoded_len, frozen};
use crate::metadata::immutable;
use crate::read::{self, Read};
use crate::strategy::{Column, Strategy, age};

const SERVICE_ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

pub(crate) struct Secret;

impl Strategy for Secret {
    fn default(&self, object: &mut Value) {
        // stringData is write-only: it ends up in data.
        if let Some(Value::Object(strings)) = read::remove(object, "stringData") {
            let data = read::object(object, "data");
            for (key, value) in strings {
                data[key] = STANDARD.encode(value.as_str().unwrap_or_default()).into();
            }
        }
        read::set_default(object, "type", "Opaque");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let path = FieldPath::new("data");
        let mut errors = Vec::new();
        let mut bytes = 0;
        for (key, value) in object.entries("/data") {
            for why in names::config_map_key(key) {
                errors.push(FieldError::invalid(&path.key(key), key, why));
            }
            bytes += decoded_len(value);
        }
        if bytes > DATA_BYTES_MAX {
            errors.push(FieldError::too_long(&path, DATA_BYTES_MAX));
        }
        let data = object.at("/data");
        let mut required = |keys: &[&str]| {
            for key in keys.iter().filter(|key| data.get(**key).is_none()) {
                errors.push(FieldError::required(&path.key(key), ""));
            }
        };
        match object.text("/type") {
            "kubernetes.io/service-account-token"
                if meta::annotation(object, SERVICE_ACCOUNT_NAME).is_none_or(str::is_empty) =>
            {
                let path = FieldPath::new("metadata").child("annotations");
                errors.push(FieldError::required(&path.key(SERVICE_ACCOUNT_NAME), ""));
            }
            "kubernetes.io/dockercfg" => registry_logins(data, ".dockercfg", &path, &mut errors),
            "kubernetes.io/dockerconfigjson" => {
                registry_logins(data, ".dockerconfigjson", &path, &mut errors);
            }
            "kubernetes.io/basic-auth"
                if data.get("username").is_none() && data.get("password").is_none() =>
            {
                required(&["username", "password"]);
            }
            "kubernetes.io/ssh-auth" => required(&["ssh-privatekey"]),
            "kubernetes.io/tls" => required(&["tls.crt", "tls.key"]),
            _ => {}
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = frozen(new, old, &["data"]);
        immutable(new.at("/type"), old.at("/type"), &FieldPath::new("type"), &mut errors);
        errors
    }

    fn fields(&self) -> &'static [&'static str] {
        &["type"]
    }

    fn columns(&self) -> &'static [Column] {
        const { &[Column::text("Name"), Column::text("Type"), Column::text("Data"), Column::text("Age")] }
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            meta::name(object).into(),
            object.text("/type").into(),
            object.entries("/data").len().into(),
            age(object, now),
        ]
    }
}

/// The key must be there and hold a JSON object; the message never shows what it holds.
fn registry_logins(data: &Value, key: &str, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let path = path.key(key);
    let Some(text) = data.get(key).and_then(Value::as_str) else {
        errors.push(FieldError::required(&path, ""));
        return;
    };
    let json = STANDARD.decode(text).ok().and_then(|b| serde_json::from_slice::<Value>(&b).ok());
    if !json.is_some_and(|v| v.is_object()) {
        let why = "must be a JSON object";
        errors.push(FieldError::invalid(&path, "<secret contents redacted>", why));
    }
}

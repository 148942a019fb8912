//! What is only the body of a subresource.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::meta;
use jiff::Timestamp;
use serde_json::Value;

use crate::read::{self, Read};
use crate::strategy::{Column, Strategy, age};

pub(crate) struct Binding;
pub(crate) struct Eviction;
pub(crate) struct Scale;
pub(crate) struct TokenRequest;

impl Strategy for Binding {
    fn default(&self, object: &mut Value) {
        read::set_default(read::object(object, "target"), "kind", "Node");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let path = FieldPath::new("target");
        let mut errors = Vec::new();
        let kind = object.text("/target/kind");
        if !matches!(kind, "" | "Node") {
            let allowed = &["Node", "<empty>"];
            errors.push(FieldError::not_supported(&path.child("kind"), kind, allowed));
        }
        if object.text("/target/name").is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        errors
    }
}

impl Strategy for Eviction {}

impl Strategy for Scale {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let replicas = object.int("/spec/replicas").unwrap_or_default();
        if replicas < 0 {
            let path = FieldPath::new("spec").child("replicas");
            let why = "must be greater than or equal to 0";
            return vec![FieldError::invalid(&path, replicas, why)];
        }
        Vec::new()
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                Column::text("Name"),
                Column::integer("Desired"),
                Column::integer("Available"),
                Column::text("Age"),
            ]
        }
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            meta::name(object).into(),
            object.int("/spec/replicas").unwrap_or_default().into(),
            object.int("/status/replicas").unwrap_or_default().into(),
            age(object, now),
        ]
    }
}

impl Strategy for TokenRequest {
    fn default(&self, object: &mut Value) {
        read::set_default(read::object(object, "spec"), "expirationSeconds", 3600);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let seconds = object.int("/spec/expirationSeconds").unwrap_or_default();
        let path = FieldPath::new("spec").child("expirationSeconds");
        let why = match seconds {
            ..600 => "may not specify a duration less than 10 minutes",
            4_294_967_297.. => "may not specify a duration larger than 2^32 seconds",
            _ => return Vec::new(),
        };
        vec![FieldError::invalid(&path, seconds, why)]
    }
}

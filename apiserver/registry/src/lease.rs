//! coordination.k8s.io/v1 Lease.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::meta;
use jiff::Timestamp;
use serde_json::Value;

use crate::read::Read;
use crate::strategy::{Column, Strategy, age};

pub(crate) struct Lease;

impl Strategy for Lease {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let path = FieldPath::new("spec");
        let mut errors = Vec::new();
        if let Some(seconds) = object.int("/spec/leaseDurationSeconds").filter(|s| *s <= 0) {
            let path = path.child("leaseDurationSeconds");
            errors.push(FieldError::invalid(&path, seconds, "must be greater than 0"));
        }
        if let Some(count) = object.int("/spec/leaseTransitions").filter(|s| *s < 0) {
            let path = path.child("leaseTransitions");
            errors.push(FieldError::invalid(&path, count, "must be greater than or equal to 0"));
        }
        if object.text("/spec/strategy").is_empty()
            && !object.text("/spec/preferredHolder").is_empty()
        {
            let why = "may only be specified if `strategy` is defined";
            errors.push(FieldError::forbidden(&path.child("preferredHolder"), why));
        }
        errors
    }

    fn columns(&self) -> &'static [Column] {
        const { &[Column::text("Name"), Column::text("Holder"), Column::text("Age")] }
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            meta::name(object).into(),
            object.text("/spec/holderIdentity").into(),
            age(object, now),
        ]
    }
}

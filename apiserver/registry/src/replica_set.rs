//! apps/v1 ReplicaSet.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::meta;
use jiff::Timestamp;
use serde_json::Value;

use crate::deployment::{SCALE, replica_counts, selector_cell};
use crate::metadata::immutable;
use crate::pod_template::{self, not_negative};
use crate::read::{self, Read, set_default};
use crate::strategy::{Column, ScalePaths, Strategy, age, spec_generation};

pub(crate) struct ReplicaSet;

impl Strategy for ReplicaSet {
    fn default(&self, object: &mut Value) {
        let spec = read::object(object, "spec");
        set_default(spec, "replicas", 1);
        pod_template::default_template(read::object(spec, "template"));
    }

    fn relabels_with_status(&self) -> bool {
        false
    }

    fn next_generation(&self, new: &Value, old: Option<&Value>) -> Option<i64> {
        Some(spec_generation(new, old))
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let path = FieldPath::new("spec");
        let mut errors = Vec::new();
        for field in ["replicas", "minReadySeconds"] {
            let value = object.at(&format!("/spec/{field}"));
            errors.extend(not_negative(value, &path.child(field)));
        }
        errors.extend(pod_template::validate_selector(object, "replica set"));
        let template = path.child("template");
        errors.extend(pod_template::validate_template(object.at("/spec/template"), &template));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let path = FieldPath::new("spec").child("selector");
        immutable(new.at("/spec/selector"), old.at("/spec/selector"), &path, &mut errors);
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        replica_counts(
            new,
            &[
                "replicas",
                "fullyLabeledReplicas",
                "readyReplicas",
                "availableReplicas",
                "observedGeneration",
            ],
        )
    }

    fn fields(&self) -> &'static [&'static str] {
        &["status.replicas"]
    }

    fn field(&self, object: &Value, _path: &str) -> String {
        object.int("/status/replicas").unwrap_or_default().to_string()
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                Column::text("Name"),
                Column::integer("Desired"),
                Column::integer("Current"),
                Column::integer("Ready"),
                Column::text("Age"),
                Column::wide("Containers"),
                Column::wide("Images"),
                Column::wide("Selector"),
            ]
        }
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let count = |pointer: &str| Value::from(object.int(pointer).unwrap_or_default());
        let [containers, images] = pod_template::container_cells(object.at("/spec/template"));
        vec![
            meta::name(object).into(),
            count("/spec/replicas"),
            count("/status/replicas"),
            count("/status/readyReplicas"),
            age(object, now),
            containers,
            images,
            selector_cell(object),
        ]
    }

    fn scale(&self) -> Option<ScalePaths> {
        Some(SCALE)
    }
}

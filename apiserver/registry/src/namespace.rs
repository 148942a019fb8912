//! core/v1 Namespace.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::{meta, names};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::read::{self, Read};
use crate::strategy::{Column, Strategy, age, unprefixed};

/// The label by which selectors find a namespace by its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(crate) struct Namespace;

impl Strategy for Namespace {
    fn name_errors(&self, name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_label(&unprefixed(name, prefix))
    }

    fn default(&self, object: &mut Value) {
        let name = meta::name(object).to_owned();
        if !name.is_empty() {
            read::object(read::object(object, "metadata"), "labels")[NAME_LABEL] = name.into();
        }
        read::set_default(read::object(object, "status"), "phase", "Active");
    }

    fn prepare_create(&self, object: &mut Value) {
        // The finalizer holds the namespace until its content is gone.
        let spec = read::object(object, "spec");
        let has = spec.items("/finalizers").iter().any(|f| f == "kubernetes");
        if !has {
            let mut finalizers = spec.items("/finalizers").to_vec();
            finalizers.push("kubernetes".into());
            spec["finalizers"] = Value::Array(finalizers);
        }
        // A generated name is known only now.
        self.default(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        // Only the finalize subresource changes them.
        let spec = read::object(new, "spec");
        read::take_over(spec, old.at("/spec"), "finalizers");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let path = FieldPath::new("spec").child("finalizers");
        let mut errors = Vec::new();
        for finalizer in object.items("/spec/finalizers") {
            let finalizer = finalizer.as_str().unwrap_or_default();
            for why in names::qualified_name(finalizer) {
                errors.push(FieldError::invalid(&path, finalizer, why));
            }
        }
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let path = FieldPath::new("status").child("phase");
        let phase = new.text("/status/phase");
        let deleted = meta::deletion_timestamp(new).is_some();
        let why = match (deleted, phase) {
            (true, "Terminating") | (false, "Active" | "") => return Vec::new(),
            (true, _) => "may only be 'Terminating' if `deletionTimestamp` is not empty",
            (false, _) => "may only be 'Active' if `deletionTimestamp` is empty",
        };
        vec![FieldError::invalid(&path, json!(phase), why)]
    }

    fn fields(&self) -> &'static [&'static str] {
        &["status.phase"]
    }

    fn columns(&self) -> &'static [Column] {
        const { &[Column::text("Name"), Column::text("Status"), Column::text("Age")] }
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![meta::name(object).into(), object.text("/status/phase").into(), age(object, now)]
    }
}

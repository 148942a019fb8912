//! rbac.authorization.k8s.io/v1 RoleBinding.

use corten_api_k8s::field::FieldError;
use corten_api_k8s::names;
use jiff::Timestamp;
use serde_json::Value;

use crate::rbac;
use crate::strategy::{Column, Strategy};

pub(crate) struct RoleBinding;

impl Strategy for RoleBinding {
    fn name_errors(&self, name: &str, _prefix: bool) -> Vec<String> {
        names::path_segment(name)
    }

    fn default(&self, object: &mut Value) {
        rbac::default_binding(object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        rbac::validate_binding(object, true)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        rbac::validate_binding_update(new, old)
    }

    fn columns(&self) -> &'static [Column] {
        rbac::BINDING_COLUMNS
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        rbac::binding_row(object, now)
    }
}

//! rbac.authorization.k8s.io/v1 Role.

use corten_api_k8s::field::FieldError;
use corten_api_k8s::names;
use serde_json::Value;

use crate::rbac;
use crate::strategy::Strategy;

pub(crate) struct Role;

impl Strategy for Role {
    fn name_errors(&self, name: &str, _prefix: bool) -> Vec<String> {
        names::path_segment(name)
    }

    fn default(&self, object: &mut Value) {
        rbac::default_rules(object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        rbac::validate_rules(object, true)
    }
}

//! rbac.authorization.k8s.io/v1 ClusterRole.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::names;
use corten_api_k8s::selector::LabelSelector;
use serde_json::Value;

use crate::rbac;
use crate::read::Read;
use crate::strategy::Strategy;

pub(crate) struct ClusterRole;

impl Strategy for ClusterRole {
    fn name_errors(&self, name: &str, _prefix: bool) -> Vec<String> {
        names::path_segment(name)
    }

    fn default(&self, object: &mut Value) {
        rbac::default_rules(object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = rbac::validate_rules(object, false);
        if object.has("/aggregationRule") {
            let path = FieldPath::new("aggregationRule").child("clusterRoleSelectors");
            let selectors = object.items("/aggregationRule/clusterRoleSelectors");
            if selectors.is_empty() {
                let why = "at least one clusterRoleSelector required if aggregationRule is non-nil";
                errors.push(FieldError::required(&path, why));
            }
            for (i, selector) in selectors.iter().enumerate() {
                errors.extend(LabelSelector::new(selector).validate(&path.index(i)));
            }
        }
        errors
    }
}

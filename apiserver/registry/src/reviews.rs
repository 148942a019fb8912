//! What is created to be answered: TokenReview and the access reviews. Nothing is stored.

use corten_api_k8s::field::{FieldError, FieldPath};
use serde_json::Value;

use crate::read::Read;
use crate::strategy::Strategy;

pub(crate) struct SelfSubjectReview;
pub(crate) struct TokenReview;
pub(crate) struct LocalSubjectAccessReview;
pub(crate) struct SelfSubjectAccessReview;
pub(crate) struct SelfSubjectRulesReview;
pub(crate) struct SubjectAccessReview;

impl Strategy for SelfSubjectReview {}

impl Strategy for SelfSubjectRulesReview {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        if object.text("/spec/namespace").is_empty() {
            let path = FieldPath::new("spec").child("namespace");
            return vec![FieldError::required(&path, "no namespace on request")];
        }
        Vec::new()
    }
}

impl Strategy for TokenReview {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        if object.text("/spec/token").is_empty() {
            let path = FieldPath::new("spec").child("token");
            return vec![FieldError::required(
                &path,
                "token is required for TokenReview in authentication",
            )];
        }
        Vec::new()
    }
}

impl Strategy for SelfSubjectAccessReview {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        attributes(object)
    }
}

impl Strategy for SubjectAccessReview {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = attributes(object);
        errors.extend(subject(object));
        errors
    }
}

impl Strategy for LocalSubjectAccessReview {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = attributes(object);
        errors.extend(subject(object));
        let attributes = object.at("/spec/resourceAttributes");
        let namespace = attributes.text("/namespace");
        if attributes.is_object() && namespace != object.text("/metadata/namespace") {
            let path = FieldPath::new("spec.resourceAttributes.namespace");
            let why = "must match metadata.namespace";
            errors.push(FieldError::invalid(&path, namespace, why));
        }
        let other = object.at("/spec/nonResourceAttributes");
        if other.is_object() {
            let path = FieldPath::new("spec.nonResourceAttributes");
            let why = "disallowed on this kind of request";
            errors.push(FieldError::invalid(&path, other.clone(), why));
        }
        errors
    }
}

/// Exactly one of the two sorts of attributes.
fn attributes(object: &Value) -> Vec<FieldError> {
    let path = FieldPath::new("spec");
    let other = object.at("/spec/nonResourceAttributes");
    match (object.has("/spec/resourceAttributes"), !other.is_null()) {
        (true, true) => {
            let why = "cannot be specified in combination with resourceAttributes";
            vec![FieldError::invalid(&path.child("nonResourceAttributes"), other.clone(), why)]
        }
        (false, false) => {
            let why =
                "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            vec![FieldError::invalid(&path.child("resourceAttributes"), Value::Null, why)]
        }
        _ => Vec::new(),
    }
}

fn subject(object: &Value) -> Option<FieldError> {
    if object.text("/spec/user").is_empty() && object.items("/spec/groups").is_empty() {
        let path = FieldPath::new("spec").child("user");
        let why = "at least one of user or group must be specified";
        return Some(FieldError::invalid(&path, "", why));
    }
    None
}

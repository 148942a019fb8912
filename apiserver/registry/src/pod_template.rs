//! Pod specs and pod templates: what Pod, ReplicaSet and Deployment share.

mod container;
mod defaults;
mod env;
mod probe;
mod resources;
mod scheduling;
mod security;
mod spec;
mod volume;

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::selector::LabelSelector;
use serde_json::Value;

use crate::metadata;
use crate::read::{self, Read};

pub(crate) use defaults::{default_pod, default_spec};
pub(crate) use spec::validate_spec;

/// Fills in a template.
pub(crate) fn default_template(template: &mut Value) {
    default_spec(read::object(template, "spec"));
}

/// What is wrong with a template of pods that run for ever.
pub(crate) fn validate_template(template: &Value, path: &FieldPath) -> Vec<FieldError> {
    let labels = path.child("metadata").child("labels");
    let mut errors = metadata::labels(template.at("/metadata/labels"), &labels);
    let spec = path.child("spec");
    errors.extend(validate_spec(template.at("/spec"), &spec));
    if template.text("/spec/restartPolicy") != "Always" {
        let given = template.text("/spec/restartPolicy");
        errors.push(FieldError::not_supported(&spec.child("restartPolicy"), given, &["Always"]));
    }
    if template.has("/spec/activeDeadlineSeconds") {
        let why = "activeDeadlineSeconds in ReplicaSet is not Supported";
        errors.push(FieldError::forbidden(&spec.child("activeDeadlineSeconds"), why));
    }
    errors
}

/// What is wrong with a selector of the pods of a template. `owner` is the kind, in lower case.
pub(crate) fn validate_selector(object: &Value, owner: &str) -> Vec<FieldError> {
    let path = FieldPath::new("spec").child("selector");
    let value = object.at("/spec/selector");
    let labels = object.at("/spec/template/metadata/labels");
    let mismatch = || {
        let path = FieldPath::new("spec").child("template").child("metadata").child("labels");
        FieldError::invalid(&path, labels.clone(), "`selector` does not match template `labels`")
    };
    if value.is_null() {
        // No selector matches nothing.
        return vec![FieldError::required(&path, ""), mismatch()];
    }
    let selector = LabelSelector::new(value);
    let mut errors = selector.validate(&path);
    if selector.is_empty() {
        let why = format!("empty selector is invalid for {owner}");
        errors.push(FieldError::invalid(&path, value.clone(), why));
    }
    let matching = selector.to_selector().filter(|_| errors.is_empty());
    if matching.is_some_and(|s| !s.matches(labels.as_object())) {
        errors.push(mismatch());
    }
    errors
}

/// A number that may be absent but not negative.
pub(crate) fn not_negative(value: &Value, path: &FieldPath) -> Option<FieldError> {
    let number = value.as_i64().filter(|n| *n < 0)?;
    Some(FieldError::invalid(path, number, "must be greater than or equal to 0"))
}

/// A string that must be one of these; empty is left to others to complain of.
pub(crate) fn one_of(text: &str, path: &FieldPath, allowed: &[&str]) -> Option<FieldError> {
    (!text.is_empty() && !allowed.contains(&text))
        .then(|| FieldError::not_supported(path, text, allowed))
}

/// The names of containers and of their images, comma-separated, for wide tables.
pub(crate) fn container_cells(template: &Value) -> [Value; 2] {
    let all = |field: &str| {
        let containers = template.items("/spec/containers").iter();
        let texts: Vec<&str> = containers.map(|c| c.text(field)).collect();
        Value::from(texts.join(","))
    };
    [all("/name"), all("/image")]
}

#[cfg(test)]
mod tests;

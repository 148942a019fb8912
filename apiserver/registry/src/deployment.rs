//! apps/v1 Deployment.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::meta;
use corten_api_k8s::selector::LabelSelector;
use jiff::Timestamp;
use serde_json::Value;

use crate::metadata::immutable;
use crate::pod_template::{self, not_negative};
use crate::read::{self, Read, set_default};
use crate::strategy::{Column, ScalePaths, Strategy, age};

pub(crate) const SCALE: ScalePaths = ScalePaths {
    spec_replicas: "/spec/replicas",
    status_replicas: "/status/replicas",
    selector: "/spec/selector",
};

pub(crate) struct Deployment;

impl Strategy for Deployment {
    fn default(&self, object: &mut Value) {
        let spec = read::object(object, "spec");
        set_default(spec, "replicas", 1);
        set_default(spec, "revisionHistoryLimit", 10);
        set_default(spec, "progressDeadlineSeconds", 600);
        let strategy = read::object(spec, "strategy");
        set_default(strategy, "type", "RollingUpdate");
        if strategy.text("/type") == "RollingUpdate" {
            let rolling = read::object(strategy, "rollingUpdate");
            set_default(rolling, "maxUnavailable", "25%");
            set_default(rolling, "maxSurge", "25%");
        }
        pod_template::default_template(read::object(spec, "template"));
    }

    fn relabels_with_status(&self) -> bool {
        false
    }

    fn next_generation(&self, new: &Value, old: Option<&Value>) -> Option<i64> {
        let Some(old) = old else { return Some(1) };
        // Annotations count too: rollout reads some of them.
        let same = ["/spec", "/metadata/annotations"].iter().all(|p| new.at(p) == old.at(p));
        Some(meta::generation(old) + i64::from(!same))
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let path = FieldPath::new("spec");
        let mut errors = Vec::new();
        for field in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
            let value = object.at(&format!("/spec/{field}"));
            errors.extend(not_negative(value, &path.child(field)));
        }
        errors.extend(pod_template::validate_selector(object, "deployment"));
        let template = path.child("template");
        errors.extend(pod_template::validate_template(object.at("/spec/template"), &template));
        strategy(object.at("/spec/strategy"), &path.child("strategy"), &mut errors);
        let deadline = path.child("progressDeadlineSeconds");
        errors.extend(not_negative(object.at("/spec/progressDeadlineSeconds"), &deadline));
        if let Some(seconds) = object.int("/spec/progressDeadlineSeconds")
            && seconds <= object.int("/spec/minReadySeconds").unwrap_or_default()
        {
            let why = "must be greater than minReadySeconds";
            errors.push(FieldError::invalid(&deadline, seconds, why));
        }
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
                "observedGeneration",
                "replicas",
                "updatedReplicas",
                "readyReplicas",
                "availableReplicas",
                "unavailableReplicas",
                "collisionCount",
            ],
        )
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                Column::text("Name"),
                Column::text("Ready"),
                Column::text("Up-to-date"),
                Column::text("Available"),
                Column::text("Age"),
                Column::wide("Containers"),
                Column::wide("Images"),
                Column::wide("Selector"),
            ]
        }
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let count = |pointer: &str| object.int(pointer).unwrap_or_default();
        let ready = format!("{}/{}", count("/status/readyReplicas"), count("/spec/replicas"));
        let [containers, images] = pod_template::container_cells(object.at("/spec/template"));
        vec![
            meta::name(object).into(),
            ready.into(),
            count("/status/updatedReplicas").into(),
            count("/status/availableReplicas").into(),
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

/// The selector as text.
pub(crate) fn selector_cell(object: &Value) -> Value {
    match LabelSelector::new(object.at("/spec/selector")).to_selector() {
        Some(selector) => selector.to_string().into(),
        None => "<invalid>".into(),
    }
}

/// Counts in a status are never negative, and no more are ready or available than there are.
pub(crate) fn replica_counts(object: &Value, fields: &[&str]) -> Vec<FieldError> {
    let path = FieldPath::new("status");
    let mut errors = Vec::new();
    for field in fields {
        let value = object.at(&format!("/status/{field}"));
        errors.extend(not_negative(value, &path.child(field)));
    }
    let count = |field: &str| object.int(&format!("/status/{field}")).unwrap_or_default();
    for (part, whole) in [
        ("updatedReplicas", "replicas"),
        ("fullyLabeledReplicas", "replicas"),
        ("readyReplicas", "replicas"),
        ("availableReplicas", "replicas"),
        ("availableReplicas", "readyReplicas"),
    ] {
        if count(part) > count(whole) {
            let why = format!(
                "cannot be greater than {}",
                if whole == "replicas" { "status.replicas" } else { whole }
            );
            errors.push(FieldError::invalid(&path.child(part), count(part), why));
        }
    }
    errors
}

fn strategy(strategy: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let rolling = strategy.at("/rollingUpdate");
    let inner = path.child("rollingUpdate");
    match strategy.text("/type") {
        "Recreate" => {
            if !rolling.is_null() {
                let why = "may not be specified when strategy `type` is 'Recreate'";
                errors.push(FieldError::forbidden(&inner, why));
            }
        }
        "RollingUpdate" => {
            let unavailable = rolling.at("/maxUnavailable");
            let surge = rolling.at("/maxSurge");
            errors.extend(amount(unavailable, &inner.child("maxUnavailable")));
            errors.extend(amount(surge, &inner.child("maxSurge")));
            if number(unavailable) == Some(0) && number(surge) == Some(0) {
                let why = "may not be 0 when `maxSurge` is 0";
                let path = inner.child("maxUnavailable");
                errors.push(FieldError::invalid(&path, unavailable.clone(), why));
            }
            if percent(unavailable).is_some_and(|p| p > 100) {
                let path = inner.child("maxUnavailable");
                errors.push(FieldError::invalid(
                    &path,
                    unavailable.clone(),
                    "must not be greater than 100%",
                ));
            }
        }
        "" => errors.push(FieldError::required(&path.child("type"), "")),
        other => {
            let allowed = &["Recreate", "RollingUpdate"];
            errors.push(FieldError::not_supported(&path.child("type"), other, allowed));
        }
    }
}

fn percent(value: &Value) -> Option<u64> {
    let digits = value.as_str()?.strip_suffix('%')?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| percent(value))
}

/// A number that is not negative, or a percentage.
fn amount(value: &Value, path: &FieldPath) -> Option<FieldError> {
    if value.is_string() {
        let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
        return percent(value).is_none().then(|| FieldError::invalid(path, value.clone(), why));
    }
    not_negative(value, path)
}

#[cfg(test)]
mod tests;

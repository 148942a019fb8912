//! What RBAC's four kinds share: rules, role references, subjects.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::{meta, names};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::read::{self, Read};
use crate::strategy::{Column, age};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Columns of the two bindings.
pub(crate) const BINDING_COLUMNS: &[Column] = &[
    Column::text("Name"),
    Column::text("Role"),
    Column::text("Age"),
    Column::wide("Users"),
    Column::wide("Groups"),
    Column::wide("ServiceAccounts"),
];

/// The row of the two bindings.
pub(crate) fn binding_row(object: &Value, now: Timestamp) -> Vec<Value> {
    let role = format!("{}/{}", object.text("/roleRef/kind"), object.text("/roleRef/name"));
    let of = |kind: &str| {
        let subjects = object.items("/subjects").iter().filter(|s| s.text("/kind") == kind);
        let names: Vec<String> = subjects
            .map(|s| match (kind, s.text("/namespace")) {
                ("ServiceAccount", namespace) if !namespace.is_empty() => {
                    format!("{namespace}/{}", s.text("/name"))
                }
                _ => s.text("/name").to_owned(),
            })
            .collect();
        Value::from(names.join(", "))
    };
    vec![
        meta::name(object).into(),
        role.into(),
        age(object, now),
        of("User"),
        of("Group"),
        of("ServiceAccount"),
    ]
}

/// Fills in the groups of the role and of users and groups.
pub(crate) fn default_binding(object: &mut Value) {
    read::set_default(read::object(object, "roleRef"), "apiGroup", GROUP);
    for subject in read::items_mut(object, "subjects") {
        if matches!(subject.text("/kind"), "User" | "Group") {
            read::set_default(subject, "apiGroup", GROUP);
        }
    }
}

/// `rules` has no "absent": clients expect the list.
pub(crate) fn default_rules(object: &mut Value) {
    if !object.has("/rules") {
        object["rules"] = json!([]);
    }
}

pub(crate) fn validate_rules(object: &Value, namespaced: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, rule) in object.items("/rules").iter().enumerate() {
        let path = FieldPath::new("rules").index(i);
        if rule.items("/verbs").is_empty() {
            let why = "verbs must contain at least one value";
            errors.push(FieldError::required(&path.child("verbs"), why));
        }
        if !rule.items("/nonResourceURLs").is_empty() {
            let path = path.child("nonResourceURLs");
            let urls = rule.at("/nonResourceURLs").clone();
            if namespaced {
                let why = "namespaced rules cannot apply to non-resource URLs";
                errors.push(FieldError::invalid(&path, urls.clone(), why));
            }
            let resources = ["/apiGroups", "/resources", "/resourceNames"];
            if resources.iter().any(|f| !rule.items(f).is_empty()) {
                let why = "rules cannot apply to both regular resources and non-resource URLs";
                errors.push(FieldError::invalid(&path, urls, why));
            }
            continue;
        }
        if rule.items("/apiGroups").is_empty() {
            let why = "resource rules must supply at least one api group";
            errors.push(FieldError::required(&path.child("apiGroups"), why));
        }
        if rule.items("/resources").is_empty() {
            let why = "resource rules must supply at least one resource";
            errors.push(FieldError::required(&path.child("resources"), why));
        }
    }
    errors
}

pub(crate) fn validate_binding(object: &Value, namespaced: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = FieldPath::new("roleRef");
    let group = object.text("/roleRef/apiGroup");
    if group != GROUP {
        errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[GROUP]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let kind = object.text("/roleRef/kind");
    if !kinds.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("kind"), kind, kinds));
    }
    let name = object.text("/roleRef/name");
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    for why in names::path_segment(name) {
        errors.push(FieldError::invalid(&path.child("name"), name, why));
    }
    for (i, subject) in object.items("/subjects").iter().enumerate() {
        let path = FieldPath::new("subjects").index(i);
        validate_subject(subject, namespaced, &path, &mut errors);
    }
    errors
}

fn validate_subject(
    subject: &Value,
    namespaced: bool,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let name = subject.text("/name");
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    let group = subject.text("/apiGroup");
    match subject.text("/kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                for why in names::dns1123_subdomain(name) {
                    errors.push(FieldError::invalid(&path.child("name"), name, why));
                }
            }
            if !group.is_empty() {
                errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[""]));
            }
            if !namespaced && subject.text("/namespace").is_empty() {
                errors.push(FieldError::required(&path.child("namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[GROUP]));
            }
        }
        kind => {
            let kinds = &["ServiceAccount", "User", "Group"];
            errors.push(FieldError::not_supported(&path.child("kind"), kind, kinds));
        }
    }
}

/// A binding's role never changes: rights would change without the binding being made anew.
pub(crate) fn validate_binding_update(new: &Value, old: &Value) -> Vec<FieldError> {
    if new.at("/roleRef") == old.at("/roleRef") {
        return Vec::new();
    }
    let path = FieldPath::new("roleRef");
    vec![FieldError::invalid(&path, new.at("/roleRef").clone(), "cannot change roleRef")]
}

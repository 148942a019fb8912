//! Validation of volumes.

use std::collections::HashSet;

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::names;
use corten_api_k8s::quantity::Quantity;
use serde_json::Value;

use super::container::{no_backsteps, relative_path};
use super::{env, one_of};
use crate::read::Read;

const HOST_PATH_TYPES: &[&str] = &[
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];
/// Fields of the pod that a file may show.
const FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];
const MODE_MAX: i64 = 0o777;

pub(super) fn validate(spec: &Value, path: &FieldPath) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = HashSet::new();
    for (i, volume) in spec.items("/volumes").iter().enumerate() {
        let path = path.index(i);
        let name = volume.text("/name");
        if name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        } else {
            for why in names::dns1123_label(name) {
                errors.push(FieldError::invalid(&path.child("name"), name, why));
            }
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
        }
        sources(volume, &path, &mut errors);
    }
    errors
}

fn sources(volume: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let given: Vec<(&str, &Value)> =
        volume.entries("").into_iter().filter(|(key, _)| *key != "name").collect();
    if given.is_empty() {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    for (i, (kind, source)) in given.into_iter().enumerate() {
        let path = path.child(kind);
        if i > 0 {
            let why = "may not specify more than 1 volume type";
            errors.push(FieldError::forbidden(&path, why));
            continue;
        }
        match kind {
            "emptyDir" => empty_dir(source, &path, errors),
            "hostPath" => host_path(source, &path, errors),
            "configMap" => keys(source, "name", &path, errors),
            "secret" => keys(source, "secretName", &path, errors),
            "downwardAPI" => downward(source, &path, errors),
            "projected" => projected(source, &path, errors),
            "persistentVolumeClaim" => required(source, &["claimName"], &path, errors),
            "nfs" => required(source, &["server", "path"], &path, errors),
            "csi" => required(source, &["driver"], &path, errors),
            "image" => required(source, &["reference"], &path, errors),
            _ => {}
        }
    }
}

fn required(source: &Value, fields: &[&str], path: &FieldPath, errors: &mut Vec<FieldError>) {
    for field in fields {
        if source.text(&format!("/{field}")).is_empty() {
            errors.push(FieldError::required(&path.child(field), ""));
        }
    }
}

fn empty_dir(source: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let limit = source.at("/sizeLimit");
    let size: Option<Quantity> = limit.as_str().and_then(|q| q.parse().ok());
    if size.is_some_and(|q| q.is_negative()) {
        let why = "SizeLimit field must be a valid resource quantity";
        errors.push(FieldError::forbidden(&path.child("sizeLimit"), why));
    }
}

fn host_path(source: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let target = source.text("/path");
    if target.is_empty() {
        errors.push(FieldError::required(&path.child("path"), ""));
    }
    errors.extend(no_backsteps(target, &path.child("path")));
    errors.extend(one_of(source.text("/type"), &path.child("type"), HOST_PATH_TYPES));
}

/// A ConfigMap or Secret as files.
fn keys(source: &Value, name: &str, path: &FieldPath, errors: &mut Vec<FieldError>) {
    required(source, &[name], path, errors);
    mode(source, "defaultMode", path, errors);
    items(source, path, errors);
}

fn items(source: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    for (i, item) in source.items("/items").iter().enumerate() {
        let path = path.child("items").index(i);
        required(item, &["key", "path"], &path, errors);
        file(item, &path, errors);
    }
}

/// Where a file goes below its volume, and its mode.
fn file(item: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let target = item.text("/path");
    errors.extend(relative_path(target, &path.child("path")));
    if target.starts_with("..") && !target.split('/').any(|p| p == "..") {
        let why = "must not start with '..'";
        errors.push(FieldError::invalid(&path.child("path"), target, why));
    }
    mode(item, "mode", path, errors);
}

fn mode(value: &Value, field: &str, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let given = value.int(&format!("/{field}"));
    if let Some(mode) = given.filter(|m| !(0..=MODE_MAX).contains(m)) {
        let why = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(&path.child(field), mode, why));
    }
}

fn downward(source: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    mode(source, "defaultMode", path, errors);
    for (i, item) in source.items("/items").iter().enumerate() {
        let path = path.child("items").index(i);
        required(item, &["path"], &path, errors);
        file(item, &path, errors);
        match (item.has("/fieldRef"), item.has("/resourceFieldRef")) {
            (true, true) => {
                let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(&path, "resource", why));
            }
            (false, false) => {
                let why = "one of fieldRef and resourceFieldRef is required";
                errors.push(FieldError::required(&path.child("fieldRef"), why));
            }
            (true, false) => {
                env::field_ref(item.at("/fieldRef"), FIELDS, &path.child("fieldRef"), errors);
            }
            (false, true) => {
                let path = path.child("resourceFieldRef");
                env::resource_ref(item.at("/resourceFieldRef"), &path, errors);
            }
        }
    }
}

fn projected(source: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    mode(source, "defaultMode", path, errors);
    let mut seen = HashSet::new();
    for (i, source) in source.items("/sources").iter().enumerate() {
        let path = path.child("sources").index(i);
        let entries = source.entries("");
        if entries.len() > 1 {
            errors.push(FieldError::forbidden(&path, "may not specify more than 1 volume type"));
        }
        for (kind, inner) in entries {
            let path = path.child(kind);
            match kind {
                "configMap" | "secret" => keys(inner, "name", &path, errors),
                "downwardAPI" => downward(inner, &path, errors),
                "serviceAccountToken" => {
                    required(inner, &["path"], &path, errors);
                    file(inner, &path, errors);
                    let seconds = inner.int("/expirationSeconds").unwrap_or_default();
                    if seconds < 600 {
                        let why = "may not specify a duration less than 10 minutes";
                        let path = path.child("expirationSeconds");
                        errors.push(FieldError::invalid(&path, seconds, why));
                    }
                }
                _ => {}
            }
            let own = inner.text("/path");
            let targets = inner.items("/items").iter().map(|i| i.text("/path")).chain([own]);
            for target in targets.filter(|t| !t.is_empty()) {
                if !seen.insert(target) {
                    let why = format!("conflicting duplicate paths: {target}");
                    errors.push(FieldError::invalid(&path, target, why));
                }
            }
        }
    }
}

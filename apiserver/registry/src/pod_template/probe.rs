//! Validation of probes and lifecycle hooks.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::names;
use serde_json::Value;

use super::{not_negative, one_of};
use crate::read::Read;

const PROBE_HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc"];
const HOOK_HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "sleep"];

pub(super) fn validate_container(
    container: &Value,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    for hook in ["postStart", "preStop"] {
        let value = container.at(&format!("/lifecycle/{hook}"));
        if !value.is_null() {
            handler(value, HOOK_HANDLERS, &path.child("lifecycle").child(hook), errors);
        }
    }
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let value = container.at(&format!("/{kind}"));
        if value.is_null() {
            continue;
        }
        let path = path.child(kind);
        probe(value, &path, errors);
        let successes = value.int("/successThreshold").unwrap_or_default();
        if kind != "readinessProbe" && successes > 1 {
            errors.push(FieldError::invalid(
                &path.child("successThreshold"),
                successes,
                "must be 1",
            ));
        }
        if kind == "readinessProbe" && value.has("/terminationGracePeriodSeconds") {
            let seconds = value.at("/terminationGracePeriodSeconds").clone();
            let why = "must not be set for readinessProbes";
            let path = path.child("terminationGracePeriodSeconds");
            errors.push(FieldError::invalid(&path, seconds, why));
        }
    }
}

fn probe(probe: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    handler(probe, PROBE_HANDLERS, path, errors);
    for field in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        errors.extend(not_negative(probe.at(&format!("/{field}")), &path.child(field)));
    }
    let grace = probe.int("/terminationGracePeriodSeconds");
    if let Some(seconds) = grace.filter(|s| *s <= 0) {
        let path = path.child("terminationGracePeriodSeconds");
        errors.push(FieldError::invalid(&path, seconds, "must be greater than 0"));
    }
}

fn handler(value: &Value, allowed: &[&str], path: &FieldPath, errors: &mut Vec<FieldError>) {
    let given: Vec<&str> =
        allowed.iter().copied().filter(|h| value.has(&format!("/{h}"))).collect();
    for (i, kind) in given.iter().enumerate() {
        let path = path.child(kind);
        if i > 0 {
            let why = "may not specify more than 1 handler type";
            errors.push(FieldError::forbidden(&path, why));
            continue;
        }
        let action = value.at(&format!("/{kind}"));
        match *kind {
            "exec" if action.items("/command").is_empty() => {
                errors.push(FieldError::required(&path.child("command"), ""));
            }
            "httpGet" => http_get(action, &path, errors),
            "tcpSocket" | "grpc" => errors.extend(port(action.at("/port"), &path.child("port"))),
            _ => {}
        }
    }
    if given.is_empty() {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

fn http_get(action: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    if action.text("/path").is_empty() {
        errors.push(FieldError::required(&path.child("path"), ""));
    }
    errors.extend(port(action.at("/port"), &path.child("port")));
    errors.extend(one_of(action.text("/scheme"), &path.child("scheme"), &["HTTP", "HTTPS"]));
    for (i, header) in action.items("/httpHeaders").iter().enumerate() {
        let name = header.text("/name");
        let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !fits {
            let why = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
            let path = path.child("httpHeaders").index(i).child("name");
            errors.push(FieldError::invalid(&path, name, why));
        }
    }
}

/// A port by number or by name.
pub(crate) fn port(port: &Value, path: &FieldPath) -> Vec<FieldError> {
    match port.as_str() {
        Some(name) => names::port_name(name)
            .into_iter()
            .map(|why| FieldError::invalid(path, name, why))
            .collect(),
        None => crate::endpoints::port_number(port, path).into_iter().collect(),
    }
}

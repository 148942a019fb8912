//! Validation of containers.

use std::collections::HashSet;

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::names;
use serde_json::Value;

use super::{env, one_of, probe, resources, security};
use crate::endpoints;
use crate::read::Read;

/// Everything about the containers of a spec.
pub(super) fn validate_all(spec: &Value, path: &FieldPath) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let volumes: HashSet<&str> = spec.items("/volumes").iter().map(|v| v.text("/name")).collect();
    let mut seen = HashSet::new();
    let mut each = |list: &str, role: Role, errors: &mut Vec<FieldError>| {
        for (i, container) in spec.items(&format!("/{list}")).iter().enumerate() {
            let path = path.child(list).index(i);
            let name = container.text("/name");
            validate(container, &volumes, role, &path, errors);
            if !name.is_empty() && !seen.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
        }
    };
    if spec.items("/containers").is_empty() {
        errors.push(FieldError::required(&path.child("containers"), ""));
    }
    each("containers", Role::Main, &mut errors);
    each("initContainers", Role::Init, &mut errors);
    each("ephemeralContainers", Role::Ephemeral, &mut errors);
    host_ports(spec, path, &mut errors);
    errors
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Main,
    Init,
    Ephemeral,
}

fn validate(
    container: &Value,
    volumes: &HashSet<&str>,
    role: Role,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let name = container.text("/name");
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    } else {
        for why in names::dns1123_label(name) {
            errors.push(FieldError::invalid(&path.child("name"), name, why));
        }
    }
    let image = container.text("/image");
    if image.trim().is_empty() {
        errors.push(FieldError::required(&path.child("image"), ""));
    } else if image.trim() != image {
        let why = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(&path.child("image"), image, why));
    }
    for (field, allowed) in [
        ("imagePullPolicy", &["Always", "IfNotPresent", "Never"][..]),
        ("terminationMessagePolicy", &["FallbackToLogsOnError", "File"][..]),
    ] {
        let text = container.text(&format!("/{field}"));
        errors.extend(one_of(text, &path.child(field), allowed));
    }
    restart_policy(container, role, path, errors);
    ports(container.items("/ports"), &path.child("ports"), errors);
    env::validate(container, path, errors);
    mounts(container, volumes, path, errors);
    resources::validate(container.at("/resources"), &path.child("resources"), errors);
    security::validate_container(
        container.at("/securityContext"),
        &path.child("securityContext"),
        errors,
    );
    let sidecar = container.text("/restartPolicy") == "Always";
    if role == Role::Main || (role == Role::Init && sidecar) {
        probe::validate_container(container, path, errors);
    } else {
        let why = match role {
            Role::Ephemeral => "may not be set for ephemeral containers",
            Role::Main | Role::Init => {
                "may not be set for init containers without restartPolicy=Always"
            }
        };
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if container.has(&format!("/{field}")) {
                errors.push(FieldError::forbidden(&path.child(field), why));
            }
        }
    }
}

fn restart_policy(container: &Value, role: Role, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let path = path.child("restartPolicy");
    match (role, container.text("/restartPolicy")) {
        (_, "") => {}
        (Role::Ephemeral, _) => {
            errors.push(FieldError::forbidden(&path, "may not be set for ephemeral containers"));
        }
        (Role::Main, "Always" | "OnFailure" | "Never")
        | (Role::Init, "Always" | "OnFailure" | "Never") => {}
        (Role::Main | Role::Init, text) => {
            let allowed = &["Always", "Never", "OnFailure"];
            errors.push(FieldError::not_supported(&path, text, allowed));
        }
    }
}

fn ports(ports: &[Value], path: &FieldPath, errors: &mut Vec<FieldError>) {
    let mut seen = HashSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = port.text("/name");
        if !name.is_empty() {
            let wrong = names::port_name(name);
            let valid = wrong.is_empty();
            for why in wrong {
                errors.push(FieldError::invalid(&path.child("name"), name, why));
            }
            if valid && !seen.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
        }
        if port.int("/containerPort").unwrap_or_default() == 0 {
            errors.push(FieldError::required(&path.child("containerPort"), ""));
        } else {
            let path = path.child("containerPort");
            errors.extend(endpoints::port_number(port.at("/containerPort"), &path));
        }
        if port.int("/hostPort").unwrap_or_default() != 0 {
            let path = path.child("hostPort");
            errors.extend(endpoints::port_number(port.at("/hostPort"), &path));
        }
        let host_ip = port.text("/hostIP");
        if !host_ip.is_empty() && host_ip.parse::<std::net::IpAddr>().is_err() {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(&path.child("hostIP"), host_ip, why));
        }
        errors.extend(endpoints::protocol(port.text("/protocol"), &path.child("protocol")));
    }
}

/// Two containers of a pod cannot have the same port of the node; on the node's network the port
/// of the node is the container's.
fn host_ports(spec: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let host_network = spec.flag("/hostNetwork");
    let mut seen = HashSet::new();
    for list in ["containers", "initContainers"] {
        for (i, container) in spec.items(&format!("/{list}")).iter().enumerate() {
            for (j, port) in container.items("/ports").iter().enumerate() {
                let path = path.child(list).index(i).child("ports").index(j);
                let host = port.int("/hostPort").unwrap_or_default();
                if host_network && host != 0 && Some(host) != port.int("/containerPort") {
                    let number = port.int("/containerPort").unwrap_or_default();
                    let why = "must match `hostPort` when `hostNetwork` is set to true";
                    errors.push(FieldError::invalid(&path.child("containerPort"), number, why));
                }
                // Init containers run one after the other, so they may share.
                let taken = format!("{}/{}/{host}", port.text("/protocol"), port.text("/hostIP"));
                if host != 0 && list == "containers" && !seen.insert(taken.clone()) {
                    errors.push(FieldError::duplicate(&path.child("hostPort"), taken));
                }
            }
        }
    }
}

fn mounts(
    container: &Value,
    volumes: &HashSet<&str>,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let mut seen = HashSet::new();
    for (i, mount) in container.items("/volumeMounts").iter().enumerate() {
        let path = path.child("volumeMounts").index(i);
        let name = mount.text("/name");
        if name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        if !volumes.contains(name) {
            errors.push(FieldError::not_found(&path.child("name"), name));
        }
        let target = mount.text("/mountPath");
        if target.is_empty() {
            errors.push(FieldError::required(&path.child("mountPath"), ""));
        }
        if !seen.insert(target) {
            errors.push(FieldError::invalid(&path.child("mountPath"), target, "must be unique"));
        }
        for field in ["subPath", "subPathExpr"] {
            let text = mount.text(&format!("/{field}"));
            errors.extend(relative_path(text, &path.child(field)));
        }
        if !mount.text("/subPath").is_empty() && !mount.text("/subPathExpr").is_empty() {
            let why = "subPathExpr and subPath are mutually exclusive";
            let text = mount.text("/subPathExpr");
            errors.push(FieldError::invalid(&path.child("subPathExpr"), text, why));
        }
        let propagation = mount.text("/mountPropagation");
        let path = path.child("mountPropagation");
        let allowed = &["Bidirectional", "HostToContainer", "None"];
        errors.extend(one_of(propagation, &path, allowed));
        if propagation == "Bidirectional" && !container.flag("/securityContext/privileged") {
            let why = "Bidirectional mount propagation is available only to privileged containers";
            errors.push(FieldError::forbidden(&path, why));
        }
    }
}

/// A path below another: relative, and never above its start.
pub(super) fn relative_path(text: &str, path: &FieldPath) -> Option<FieldError> {
    if text.starts_with('/') {
        return Some(FieldError::invalid(path, text, "must be a relative path"));
    }
    no_backsteps(text, path)
}

/// A path without `..`.
pub(super) fn no_backsteps(text: &str, path: &FieldPath) -> Option<FieldError> {
    let steps_back = text.split('/').any(|part| part == "..");
    steps_back.then(|| FieldError::invalid(path, text, "must not contain '..'"))
}

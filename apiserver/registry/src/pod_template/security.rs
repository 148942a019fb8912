//! Validation of security contexts.

use corten_api_k8s::field::{FieldError, FieldPath};
use serde_json::Value;

use super::one_of;
use crate::read::Read;

const ID_MAX: i64 = i32::MAX as i64;
const PROFILES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];

pub(super) fn validate_pod(spec: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    if spec.flag("/shareProcessNamespace") && spec.flag("/hostPID") {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(&path.child("shareProcessNamespace"), true, why));
    }
    if spec.has("/hostUsers") && !spec.flag("/hostUsers") {
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            if spec.flag(&format!("/{field}")) {
                let why = "when `hostUsers` is false";
                errors.push(FieldError::forbidden(&path.child(field), why));
            }
        }
    }
    let context = spec.at("/securityContext");
    let path = path.child("securityContext");
    ids(context, &["runAsUser", "runAsGroup", "fsGroup"], &path, errors);
    for (i, group) in context.items("/supplementalGroups").iter().enumerate() {
        errors.extend(id(group, &path.child("supplementalGroups").index(i)));
    }
    let change = path.child("fsGroupChangePolicy");
    let policies = &["Always", "OnRootMismatch"];
    errors.extend(one_of(context.text("/fsGroupChangePolicy"), &change, policies));
    let groups = path.child("supplementalGroupsPolicy");
    errors.extend(one_of(context.text("/supplementalGroupsPolicy"), &groups, &["Merge", "Strict"]));
    let host = |field: &str| spec.flag(&format!("/{field}"));
    for (i, sysctl) in context.items("/sysctls").iter().enumerate() {
        let path = path.child("sysctls").index(i);
        validate_sysctl(sysctl.text("/name"), host("hostNetwork"), host("hostIPC"), &path, errors);
    }
    profiles(context, &path, errors);
}

pub(super) fn validate_container(context: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    ids(context, &["runAsUser", "runAsGroup"], path, errors);
    let proc_mount = path.child("procMount");
    errors.extend(one_of(context.text("/procMount"), &proc_mount, &["Default", "Unmasked"]));
    let escalation = context.at("/allowPrivilegeEscalation").as_bool();
    if escalation == Some(false) {
        let path = path.child("allowPrivilegeEscalation");
        if context.flag("/privileged") {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(&path, false, why));
        }
        let admin = |c: &Value| matches!(c.as_str(), Some("SYS_ADMIN" | "CAP_SYS_ADMIN"));
        if context.items("/capabilities/add").iter().any(admin) {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(&path, false, why));
        }
    }
    profiles(context, path, errors);
}

fn ids(context: &Value, fields: &[&str], path: &FieldPath, errors: &mut Vec<FieldError>) {
    for field in fields {
        errors.extend(id(context.at(&format!("/{field}")), &path.child(field)));
    }
}

fn id(value: &Value, path: &FieldPath) -> Option<FieldError> {
    let id = value.as_i64().filter(|id| !(0..=ID_MAX).contains(id))?;
    Some(FieldError::invalid(path, id, "must be between 0 and 2147483647, inclusive"))
}

fn profiles(context: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    for kind in ["seccompProfile", "appArmorProfile"] {
        let profile = context.at(&format!("/{kind}"));
        if profile.is_null() {
            continue;
        }
        let path = path.child(kind);
        let ty = profile.text("/type");
        if ty.is_empty() {
            errors.push(FieldError::required(
                &path.child("type"),
                "type is required when seccompProfile is set",
            ));
        }
        errors.extend(one_of(ty, &path.child("type"), PROFILES));
        let file = profile.text("/localhostProfile");
        let path = path.child("localhostProfile");
        match (ty, file.is_empty()) {
            ("Localhost", true) => {
                let why = "must be set when seccomp type is Localhost";
                errors.push(FieldError::required(&path, why));
            }
            ("Localhost", false) => errors.extend(super::container::relative_path(file, &path)),
            (_, false) => {
                let why = "can only be set when seccomp type is Localhost";
                errors.push(FieldError::invalid(&path, file, why));
            }
            (_, true) => {}
        }
    }
}

fn validate_sysctl(
    name: &str,
    host_network: bool,
    host_ipc: bool,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let path = path.child("name");
    if name.is_empty() {
        errors.push(FieldError::required(&path, ""));
        return;
    }
    let dotted = name.replace('/', ".");
    let part = |p: &str| {
        let inner =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        p.bytes().all(inner)
            && !p.starts_with(['-', '_'])
            && !p.ends_with(['-', '_'])
            && !p.is_empty()
    };
    if name.len() > 253 || !dotted.split('.').all(part) {
        let why = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
        errors.push(FieldError::invalid(&path, name, why));
    }
    if host_network && dotted.starts_with("net.") {
        errors.push(FieldError::invalid(
            &path,
            name,
            "may not be specified when 'hostNetwork' is true",
        ));
    }
    let ipc = dotted.starts_with("fs.mqueue.")
        || dotted.starts_with("kernel.shm")
        || dotted.starts_with("kernel.msg")
        || dotted == "kernel.sem";
    if host_ipc && ipc {
        errors.push(FieldError::invalid(
            &path,
            name,
            "may not be specified when 'hostIPC' is true",
        ));
    }
}

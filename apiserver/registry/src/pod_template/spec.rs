//! Validation of a pod spec as a whole.

use std::net::IpAddr;

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::names;
use serde_json::Value;

use super::{container, not_negative, one_of, scheduling, security, volume};
use crate::metadata;
use crate::read::Read;

const DNS_POLICIES: &[&str] = &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCHES_BYTES_MAX: usize = 2048;

/// What is wrong with a pod spec.
pub(crate) fn validate_spec(spec: &Value, path: &FieldPath) -> Vec<FieldError> {
    let mut errors = volume::validate(spec, &path.child("volumes"));
    errors.extend(container::validate_all(spec, path));
    let policy = path.child("restartPolicy");
    match spec.text("/restartPolicy") {
        "" => errors.push(FieldError::required(&policy, "")),
        text => errors.extend(one_of(text, &policy, &["Always", "OnFailure", "Never"])),
    }
    dns(spec, path, &mut errors);
    named(spec, path, &mut errors);
    if let Some(seconds) = spec.int("/activeDeadlineSeconds").filter(|s| *s < 1 || *s > MAX_INT32) {
        let why = "must be between 1 and 2147483647, inclusive";
        errors.push(FieldError::invalid(&path.child("activeDeadlineSeconds"), seconds, why));
    }
    let grace = path.child("terminationGracePeriodSeconds");
    errors.extend(not_negative(spec.at("/terminationGracePeriodSeconds"), &grace));
    errors.extend(metadata::labels(spec.at("/nodeSelector"), &path.child("nodeSelector")));
    security::validate_pod(spec, path, &mut errors);
    scheduling::validate(spec, path, &mut errors);
    for (i, alias) in spec.items("/hostAliases").iter().enumerate() {
        let path = path.child("hostAliases").index(i);
        let ip = alias.text("/ip");
        if ip.parse::<IpAddr>().is_err() {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(&path.child("ip"), ip, why));
        }
        for hostname in alias.items("/hostnames") {
            let hostname = hostname.as_str().unwrap_or_default();
            for why in names::dns1123_subdomain(hostname) {
                errors.push(FieldError::invalid(&path.child("hostnames"), hostname, why));
            }
        }
    }
    errors
}

const MAX_INT32: i64 = i32::MAX as i64;

/// The fields that name something.
fn named(spec: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    type Check = fn(&str) -> Vec<String>;
    let fields: [(&str, Check); 6] = [
        ("serviceAccountName", names::dns1123_subdomain),
        ("nodeName", names::dns1123_subdomain),
        ("priorityClassName", names::dns1123_subdomain),
        ("runtimeClassName", names::dns1123_subdomain),
        ("hostname", names::dns1123_label),
        ("subdomain", names::dns1123_label),
    ];
    for (field, check) in fields {
        let text = spec.text(&format!("/{field}"));
        if !text.is_empty() {
            for why in check(text) {
                errors.push(FieldError::invalid(&path.child(field), text, why));
            }
        }
    }
    for (i, gate) in spec.items("/readinessGates").iter().enumerate() {
        let condition = gate.text("/conditionType");
        for why in names::qualified_name(condition) {
            let path = path.child("readinessGates").index(i).child("conditionType");
            errors.push(FieldError::invalid(&path, condition, why));
        }
    }
    let preemption = path.child("preemptionPolicy");
    let policies = &["Never", "PreemptLowerPriority"];
    errors.extend(one_of(spec.text("/preemptionPolicy"), &preemption, policies));
    let os = path.child("os").child("name");
    errors.extend(one_of(spec.text("/os/name"), &os, &["linux", "windows"]));
}

fn dns(spec: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let policy = spec.text("/dnsPolicy");
    errors.extend(one_of(policy, &path.child("dnsPolicy"), DNS_POLICIES));
    let path = path.child("dnsConfig");
    let servers = spec.items("/dnsConfig/nameservers");
    if policy == "None" {
        if !spec.has("/dnsConfig") {
            let why = "must provide `dnsConfig` when `dnsPolicy` is None";
            errors.push(FieldError::required(&path, why));
        } else if servers.is_empty() {
            let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.push(FieldError::required(&path.child("nameservers"), why));
        }
    }
    let path_servers = path.child("nameservers");
    if servers.len() > NAMESERVERS_MAX {
        let why = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        let given = spec.at("/dnsConfig/nameservers").clone();
        errors.push(FieldError::invalid(&path_servers, given, why));
    }
    for (i, server) in servers.iter().enumerate() {
        let server = server.as_str().unwrap_or_default();
        if server.parse::<IpAddr>().is_err() {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(&path_servers.index(i), server, why));
        }
    }
    let searches = spec.items("/dnsConfig/searches");
    let path = path.child("searches");
    let given = || spec.at("/dnsConfig/searches").clone();
    if searches.len() > SEARCHES_MAX {
        let why = format!("must not have more than {SEARCHES_MAX} search paths");
        errors.push(FieldError::invalid(&path, given(), why));
    }
    let bytes: usize = searches.iter().map(|s| s.as_str().map_or(0, str::len) + 1).sum();
    if bytes > SEARCHES_BYTES_MAX + 1 {
        let why = format!(
            "must not have more than {SEARCHES_BYTES_MAX} characters (including spaces) in the search list"
        );
        errors.push(FieldError::invalid(&path, given(), why));
    }
    for (i, search) in searches.iter().enumerate() {
        let text = search.as_str().unwrap_or_default();
        // A single dot means no search at all; a final one marks a full name.
        let name = text.strip_suffix('.').unwrap_or(text);
        if text != "." {
            for why in names::dns1123_subdomain(&name.replace('_', "a")) {
                errors.push(FieldError::invalid(&path.index(i), text, why));
            }
        }
    }
}

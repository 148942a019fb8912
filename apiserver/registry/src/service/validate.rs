//! Validation.

use std::collections::HashSet;
use std::net::IpAddr;

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::names;
use serde_json::Value;

use super::{has_cluster_ip, has_node_ports, is_external};
use crate::endpoints::{port_number, protocol};
use crate::metadata;
use crate::node::is_cidr;
use crate::read::Read;

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const AFFINITY_SECONDS_MAX: i64 = 86_400;

pub(super) fn validate(service: &Value) -> Vec<FieldError> {
    let path = FieldPath::new("spec");
    let spec = service.at("/spec");
    let mut errors = Vec::new();
    let ty = spec.text("/type");
    let headless = spec.text("/clusterIP") == "None";
    if spec.items("/ports").is_empty() && !headless && ty != "ExternalName" {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    type_fields(spec, ty, headless, &path, &mut errors);
    ports(spec, ty, &path.child("ports"), &mut errors);
    errors.extend(metadata::labels(spec.at("/selector"), &path.child("selector")));
    affinity(spec, &path, &mut errors);
    cluster_ips(spec, ty, &path, &mut errors);
    for (i, ip) in spec.items("/externalIPs").iter().enumerate() {
        let ip = ip.as_str().unwrap_or_default();
        errors.extend(crate::endpoints::endpoint_ip(ip, &path.child("externalIPs").index(i)));
    }
    for (i, range) in spec.items("/loadBalancerSourceRanges").iter().enumerate() {
        let range = range.as_str().unwrap_or_default();
        if !is_cidr(range.trim()) {
            let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            let path = path.child("loadBalancerSourceRanges").index(i);
            errors.push(FieldError::invalid(&path, range, why));
        }
    }
    traffic_policies(spec, &path, &mut errors);
    errors
}

fn type_fields(
    spec: &Value,
    ty: &str,
    headless: bool,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    match ty {
        "ClusterIP" => {}
        "NodePort" | "LoadBalancer" => {
            if headless {
                let why = format!("may not be set to 'None' for {ty} services");
                let given = spec.at("/clusterIPs/0").clone();
                errors.push(FieldError::invalid(&path.child("clusterIPs").index(0), given, why));
            }
        }
        "ExternalName" => {
            let name = spec.text("/externalName");
            let path_name = path.child("externalName");
            if name.is_empty() {
                errors.push(FieldError::required(&path_name, ""));
            } else {
                for why in names::dns1123_subdomain(&name.to_lowercase()) {
                    errors.push(FieldError::invalid(&path_name, name, why));
                }
            }
        }
        "" => errors.push(FieldError::required(&path.child("type"), "")),
        other => {
            errors.push(FieldError::not_supported(&path.child("type"), other, TYPES));
        }
    }
    if ty != "LoadBalancer" {
        for field in ["loadBalancerClass", "allocateLoadBalancerNodePorts"] {
            if spec.has(&format!("/{field}")) {
                let why = "may only be used when `type` is 'LoadBalancer'";
                errors.push(FieldError::forbidden(&path.child(field), why));
            }
        }
        if !spec.items("/loadBalancerSourceRanges").is_empty() {
            let why = "may only be used when `type` is 'LoadBalancer'";
            errors.push(FieldError::forbidden(&path.child("loadBalancerSourceRanges"), why));
        }
    }
}

fn ports(spec: &Value, ty: &str, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let ports = spec.items("/ports");
    let mut seen_names = HashSet::new();
    let mut seen_ports = HashSet::new();
    let mut seen_node_ports = HashSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = port.text("/name");
        if name.is_empty() && ports.len() > 1 {
            errors.push(FieldError::required(&path.child("name"), ""));
        } else if !name.is_empty() {
            for why in names::dns1123_label(name) {
                errors.push(FieldError::invalid(&path.child("name"), name, why));
            }
            if !seen_names.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
        }
        errors.extend(port_number(port.at("/port"), &path.child("port")));
        let protocol_name = port.text("/protocol");
        errors.extend(protocol(protocol_name, &path.child("protocol")));
        let target = port.at("/targetPort");
        match target.as_str() {
            Some(target) => {
                for why in names::port_name(target) {
                    errors.push(FieldError::invalid(&path.child("targetPort"), target, why));
                }
            }
            None => errors.extend(port_number(target, &path.child("targetPort"))),
        }
        let app = port.text("/appProtocol");
        if !app.is_empty() {
            for why in names::qualified_name(app) {
                errors.push(FieldError::invalid(&path.child("appProtocol"), app, why));
            }
        }
        let number = port.int("/port").unwrap_or_default();
        if !seen_ports.insert((protocol_name, number)) {
            let key = serde_json::json!({"port": number, "protocol": protocol_name});
            errors.push(FieldError::duplicate(&path, key));
        }
        let node_port = port.int("/nodePort").unwrap_or_default();
        let path = path.child("nodePort");
        if node_port == 0 {
            continue;
        }
        if !has_node_ports(ty) {
            let why = format!("may not be used when `type` is '{ty}'");
            errors.push(FieldError::forbidden(&path, why));
        } else if !seen_node_ports.insert((protocol_name, node_port)) {
            errors.push(FieldError::duplicate(&path, node_port));
        }
    }
}

fn affinity(spec: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let affinity = spec.text("/sessionAffinity");
    let allowed = &["ClientIP", "None"];
    match affinity {
        "" => errors.push(FieldError::required(&path.child("sessionAffinity"), "")),
        "None" => {
            if spec.has("/sessionAffinityConfig") {
                let why = "must not be set when session affinity is None";
                errors.push(FieldError::forbidden(&path.child("sessionAffinityConfig"), why));
            }
        }
        "ClientIP" => {
            let pointer = "/sessionAffinityConfig/clientIP/timeoutSeconds";
            let seconds = spec.int(pointer).unwrap_or_default();
            if !(1..=AFFINITY_SECONDS_MAX).contains(&seconds) {
                let path =
                    path.child("sessionAffinityConfig").child("clientIP").child("timeoutSeconds");
                let why = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
                errors.push(FieldError::invalid(&path, seconds, why));
            }
        }
        other => {
            errors.push(FieldError::not_supported(&path.child("sessionAffinity"), other, allowed));
        }
    }
}

fn cluster_ips(spec: &Value, ty: &str, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let ips = spec.items("/clusterIPs");
    let list = path.child("clusterIPs");
    if ty == "ExternalName" {
        for (field, given) in
            [("clusterIPs", !ips.is_empty()), ("ipFamilies", !spec.items("/ipFamilies").is_empty())]
        {
            if given {
                let why = "may not be set for ExternalName services";
                errors.push(FieldError::forbidden(&path.child(field), why));
            }
        }
        return;
    }
    if ips.len() > 2 {
        let why = "may only hold up to 2 values";
        errors.push(FieldError::invalid(&list, Value::from(ips.to_vec()), why));
    }
    let first = ips.first().and_then(Value::as_str).unwrap_or_default();
    if !ips.is_empty() && first != spec.text("/clusterIP") {
        let why = "first value must match `clusterIP`";
        errors.push(FieldError::invalid(&list, Value::from(ips.to_vec()), why));
    }
    for (i, ip) in ips.iter().enumerate() {
        let ip = ip.as_str().unwrap_or_default();
        if ip == "None" && ips.len() > 1 {
            let why = "'None' must be the first and only value";
            errors.push(FieldError::invalid(&list, Value::from(ip), why));
        } else if ip != "None" && ip.parse::<IpAddr>().is_err() {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(&list.index(i), ip, why));
        }
    }
    let families = &["IPv4", "IPv6"];
    for (i, family) in spec.items("/ipFamilies").iter().enumerate() {
        let family = family.as_str().unwrap_or_default();
        if !families.contains(&family) {
            let path = path.child("ipFamilies").index(i);
            errors.push(FieldError::not_supported(&path, family, families));
        }
    }
    let policies = &["PreferDualStack", "RequireDualStack", "SingleStack"];
    let policy = spec.text("/ipFamilyPolicy");
    if !policy.is_empty() && !policies.contains(&policy) {
        errors.push(FieldError::not_supported(&path.child("ipFamilyPolicy"), policy, policies));
    }
}

fn traffic_policies(spec: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let allowed = &["Cluster", "Local"];
    let external = spec.text("/externalTrafficPolicy");
    let path_external = path.child("externalTrafficPolicy");
    if is_external(spec) {
        if !allowed.contains(&external) {
            errors.push(FieldError::not_supported(&path_external, external, allowed));
        }
    } else if !external.is_empty() {
        let why = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid(&path_external, external, why));
    }
    let internal = spec.text("/internalTrafficPolicy");
    let path_internal = path.child("internalTrafficPolicy");
    if internal.is_empty() {
        if has_cluster_ip(spec.text("/type")) {
            errors.push(FieldError::required(&path_internal, ""));
        }
    } else if !allowed.contains(&internal) {
        errors.push(FieldError::not_supported(&path_internal, internal, allowed));
    }
    let health = spec.int("/healthCheckNodePort").unwrap_or_default();
    let local = spec.text("/type") == "LoadBalancer" && external == "Local";
    if health != 0 && !local {
        let why =
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(FieldError::invalid(&path.child("healthCheckNodePort"), health, why));
    }
}

pub(super) fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = FieldPath::new("spec").child("clusterIPs");
    let mut errors = Vec::new();
    let both = has_cluster_ip(new.text("/spec/type")) && has_cluster_ip(old.text("/spec/type"));
    let was = old.items("/spec/clusterIPs");
    let is = new.items("/spec/clusterIPs");
    if both && !was.is_empty() && was.first() != is.first() {
        let why = "may not change once set";
        errors.push(FieldError::invalid(&path.index(0), Value::from(is.to_vec()), why));
    }
    let class = "/spec/loadBalancerClass";
    let balanced = |s: &Value| s.text("/spec/type") == "LoadBalancer";
    if balanced(new) && balanced(old) && new.at(class) != old.at(class) {
        let path = FieldPath::new("spec").child("loadBalancerClass");
        let why = "may not change once set";
        errors.push(FieldError::invalid(&path, new.at(class).clone(), why));
    }
    errors
}

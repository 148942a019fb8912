//! core/v1 Service. Allocating addresses and node ports is the server's.

mod print;
mod validate;

use corten_api_k8s::field::FieldError;
use corten_api_k8s::names;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::read::{self, Read, remove, set_default, take_over};
use crate::strategy::{Column, Strategy, unprefixed};

/// Three hours.
const AFFINITY_SECONDS: i64 = 10_800;

pub(crate) struct Service;

impl Strategy for Service {
    fn name_errors(&self, name: &str, prefix: bool) -> Vec<String> {
        names::dns1035_label(&unprefixed(name, prefix))
    }

    fn default(&self, object: &mut Value) {
        let spec = read::object(object, "spec");
        set_default(spec, "type", "ClusterIP");
        set_default(spec, "sessionAffinity", "None");
        match spec.text("/sessionAffinity") {
            "None" => {
                remove(spec, "sessionAffinityConfig");
            }
            "ClientIP" => {
                let config = read::object(spec, "sessionAffinityConfig");
                set_default(read::object(config, "clientIP"), "timeoutSeconds", AFFINITY_SECONDS);
            }
            _ => {}
        }
        for port in read::items_mut(spec, "ports") {
            set_default(port, "protocol", "TCP");
            let number = port.int("/port").unwrap_or_default();
            let unset = port.int("/targetPort").unwrap_or_default() == 0
                && port.text("/targetPort").is_empty();
            if unset {
                port["targetPort"] = number.into();
            }
        }
        let ty = spec.text("/type").to_owned();
        if has_cluster_ip(&ty) {
            set_default(spec, "internalTrafficPolicy", "Cluster");
        }
        if is_external(spec) {
            set_default(spec, "externalTrafficPolicy", "Cluster");
        }
        if ty == "LoadBalancer" {
            set_default(spec, "allocateLoadBalancerNodePorts", true);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({"loadBalancer": {}});
        normalize_cluster_ips(read::object(object, "spec"));
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        let before = old.at("/spec");
        let spec = read::object(new, "spec");
        keep_cluster_ips(spec, before);
        keep_node_ports(spec, before);
        drop_other_types_fields(spec, before);
        normalize_cluster_ips(spec);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        validate::validate(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        validate::validate_update(new, old)
    }

    fn fields(&self) -> &'static [&'static str] {
        &["spec.clusterIP", "spec.type"]
    }

    fn columns(&self) -> &'static [Column] {
        print::COLUMNS
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        print::row(object, now)
    }
}

fn has_cluster_ip(ty: &str) -> bool {
    matches!(ty, "ClusterIP" | "NodePort" | "LoadBalancer")
}

fn has_node_ports(ty: &str) -> bool {
    matches!(ty, "NodePort" | "LoadBalancer")
}

/// Reachable from outside the cluster.
fn is_external(spec: &Value) -> bool {
    let ty = spec.text("/type");
    has_node_ports(ty) || (ty == "ClusterIP" && !spec.items("/externalIPs").is_empty())
}

/// `clusterIP` is the first of `clusterIPs`; clients may set either.
fn normalize_cluster_ips(spec: &mut Value) {
    let one = spec.text("/clusterIP").to_owned();
    let many = spec.items("/clusterIPs");
    match (one.as_str(), many.first().cloned()) {
        ("", Some(first)) => spec["clusterIP"] = first,
        ("", None) | (_, Some(_)) => {}
        (_, None) => spec["clusterIPs"] = json!([one]),
    }
}

/// A client that leaves the address out means the one there is.
fn keep_cluster_ips(spec: &mut Value, before: &Value) {
    let both = has_cluster_ip(spec.text("/type")) && has_cluster_ip(before.text("/type"));
    if !both {
        return;
    }
    if spec.text("/clusterIP").is_empty() && spec.items("/clusterIPs").is_empty() {
        take_over(spec, before, "clusterIP");
        take_over(spec, before, "clusterIPs");
    } else if spec.text("/clusterIP") == before.text("/clusterIP")
        && spec.items("/clusterIPs").is_empty()
    {
        take_over(spec, before, "clusterIPs");
    } else if spec.text("/clusterIP") != before.text("/clusterIP")
        && spec.items("/clusterIPs") == before.items("/clusterIPs")
    {
        // A client that knows of one address only: the list follows it.
        spec["clusterIPs"] = json!([spec.text("/clusterIP")]);
    }
    for field in ["ipFamilies", "ipFamilyPolicy"] {
        if spec.get(field).is_none() {
            take_over(spec, before, field);
        }
    }
}

/// So does one that leaves a node port out, unless it gave the number to another port.
fn keep_node_ports(spec: &mut Value, before: &Value) {
    if !has_node_ports(spec.text("/type")) || !has_node_ports(before.text("/type")) {
        return;
    }
    let mut used: Vec<i64> =
        spec.items("/ports").iter().filter_map(|p| p.int("/nodePort")).collect();
    for port in read::items_mut(spec, "ports") {
        if port.int("/nodePort").unwrap_or_default() != 0 {
            continue;
        }
        let same = |p: &&Value| {
            p.text("/protocol") == port.text("/protocol") && p.int("/port") == port.int("/port")
        };
        let old = before.items("/ports").iter().find(same).and_then(|p| p.int("/nodePort"));
        if let Some(number) = old.filter(|n| *n != 0 && !used.contains(n)) {
            port["nodePort"] = number.into();
            used.push(number);
        }
    }
    if spec.int("/healthCheckNodePort").unwrap_or_default() == 0
        && spec.text("/externalTrafficPolicy") == "Local"
    {
        take_over(spec, before, "healthCheckNodePort");
    }
}

/// When the type changes, what only the old type has goes with it, if the client did not touch it.
fn drop_other_types_fields(spec: &mut Value, before: &Value) {
    let (ty, was) = (spec.text("/type").to_owned(), before.text("/type"));
    if ty == was {
        return;
    }
    let drop = |spec: &mut Value, field: &str| {
        if spec.get(field) == before.get(field) {
            remove(spec, field);
        }
    };
    if !has_cluster_ip(&ty) && has_cluster_ip(was) {
        for field in
            ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]
        {
            drop(spec, field);
        }
    }
    if !has_node_ports(&ty) && has_node_ports(was) {
        let ports = before.items("/ports");
        let same = spec
            .items("/ports")
            .iter()
            .zip(ports)
            .all(|(a, b)| a.at("/nodePort") == b.at("/nodePort"));
        if same && spec.items("/ports").len() == ports.len() {
            for port in read::items_mut(spec, "ports") {
                remove(port, "nodePort");
            }
        }
        if !is_external(spec) {
            drop(spec, "externalTrafficPolicy");
        }
        drop(spec, "healthCheckNodePort");
    }
    if was == "LoadBalancer" {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            drop(spec, field);
        }
    }
    if was == "ExternalName" {
        drop(spec, "externalName");
    }
}

#[cfg(test)]
mod tests;

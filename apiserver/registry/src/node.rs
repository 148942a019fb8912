//! core/v1 Node.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::{meta, names};
use jiff::Timestamp;
use serde_json::Value;

use crate::read::Read;
use crate::strategy::{Column, Strategy, age, or_none};

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
const ROLE_PREFIX: &str = "node-role.kubernetes.io/";

pub(crate) struct Node;

impl Strategy for Node {
    fn keeps_status_on_create(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        let capacity = object.at("/status/capacity").clone();
        if capacity.is_object() && !object.has("/status/allocatable") {
            object["status"]["allocatable"] = capacity;
        }
        // podCIDR is the first of podCIDRs; older clients set only the one.
        let (first, all) = (object.text("/spec/podCIDR").to_owned(), object.at("/spec/podCIDRs"));
        match (first.as_str(), all.get(0).cloned()) {
            ("", Some(cidr)) => object["spec"]["podCIDR"] = cidr,
            (_, Some(_)) | ("", None) => {}
            (_, None) => object["spec"]["podCIDRs"] = Value::Array(vec![first.into()]),
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let spec = FieldPath::new("spec");
        taints(object.items("/spec/taints"), &spec.child("taints"), &mut errors);
        for (i, cidr) in object.items("/spec/podCIDRs").iter().enumerate() {
            let cidr = cidr.as_str().unwrap_or_default();
            if !is_cidr(cidr) {
                let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
                errors.push(FieldError::invalid(&spec.child("podCIDRs").index(i), cidr, why));
            }
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let spec = FieldPath::new("spec");
        let mut errors = Vec::new();
        for (pointer, field, word) in [
            ("/spec/podCIDRs", "podCIDRs", "podCIDR"),
            ("/spec/providerID", "providerID", "providerID"),
        ] {
            if old.has(pointer) && old.at(pointer) != new.at(pointer) {
                let why = format!("node updates may not change {word} except from \"\" to valid");
                errors.push(FieldError::forbidden(&spec.child(field), why));
            }
        }
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let path = FieldPath::new("status").child("addresses");
        let addresses = new.items("/status/addresses");
        let mut errors = Vec::new();
        for (i, address) in addresses.iter().enumerate() {
            if addresses.iter().take(i).any(|a| a == address) {
                errors.push(FieldError::duplicate(&path.index(i), address.clone()));
            }
        }
        errors
    }

    fn fields(&self) -> &'static [&'static str] {
        &["spec.unschedulable"]
    }

    fn field(&self, object: &Value, _path: &str) -> String {
        object.flag("/spec/unschedulable").to_string()
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                Column::text("Name"),
                Column::text("Status"),
                Column::text("Roles"),
                Column::text("Age"),
                Column::text("Version"),
                Column::wide("Internal-IP"),
                Column::wide("External-IP"),
                Column::wide("OS-Image"),
                Column::wide("Kernel-Version"),
                Column::wide("Container-Runtime"),
            ]
        }
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let info = |key: &str| match object.text(&format!("/status/nodeInfo/{key}")) {
            "" => "<unknown>".to_owned(),
            text => text.to_owned(),
        };
        let mut kernel = info("kernelVersion");
        let architecture = object.text("/status/nodeInfo/architecture");
        if !architecture.is_empty() {
            kernel.push_str(&format!(" ({architecture})"));
        }
        let address = |ty: &str| {
            let addresses = object.items("/status/addresses").iter();
            let found = addresses.into_iter().find(|a| a.text("/type") == ty);
            or_none(found.map_or("", |a| a.text("/address")))
        };
        vec![
            meta::name(object).into(),
            status(object).into(),
            or_none(&roles(object)),
            age(object, now),
            object.text("/status/nodeInfo/kubeletVersion").into(),
            address("InternalIP"),
            address("ExternalIP"),
            info("osImage").into(),
            kernel.into(),
            info("containerRuntimeVersion").into(),
        ]
    }
}

fn status(object: &Value) -> String {
    let conditions = object.items("/status/conditions").iter();
    let ready = conditions.into_iter().find(|c| c.text("/type") == "Ready");
    let mut out = match ready.map(|c| c.text("/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if object.flag("/spec/unschedulable") {
        out.push_str(",SchedulingDisabled");
    }
    out
}

fn roles(object: &Value) -> String {
    let mut roles: Vec<&str> = object
        .entries("/metadata/labels")
        .into_iter()
        .filter_map(|(key, value)| match key.strip_prefix(ROLE_PREFIX) {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    roles.join(",")
}

fn taints(taints: &[Value], path: &FieldPath, errors: &mut Vec<FieldError>) {
    for (i, taint) in taints.iter().enumerate() {
        let path = path.index(i);
        let (key, value, effect) =
            (taint.text("/key"), taint.text("/value"), taint.text("/effect"));
        for why in names::qualified_name(key) {
            errors.push(FieldError::invalid(&path.child("key"), key, why));
        }
        for why in names::label_value(value) {
            errors.push(FieldError::invalid(&path.child("value"), value, why));
        }
        if effect.is_empty() {
            errors.push(FieldError::required(&path.child("effect"), ""));
        } else if !EFFECTS.contains(&effect) {
            errors.push(FieldError::not_supported(&path.child("effect"), effect, EFFECTS));
        }
        let same = |t: &Value| t.text("/key") == key && t.text("/effect") == effect;
        if taints.iter().take(i).any(same) {
            let mut error = FieldError::duplicate(&path, taint.clone());
            error.detail = "taints must be unique by key and effect pair".to_owned();
            errors.push(error);
        }
    }
}

/// An address and a prefix length.
pub(crate) fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let max = match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    !length.starts_with('+') && length.parse::<u8>().is_ok_and(|l| l <= max)
}

//! The downward API: fields of the pod and amounts of its containers, as text.

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};

use super::resources;

/// What a pod can be told that is not in its own object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) node_ip: String,
    pub(crate) pod_ips: Vec<String>,
    pub(crate) cpu_allocatable_milli: i64,
    pub(crate) memory_allocatable_bytes: i64,
}

/// Why a field or amount cannot be told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DownwardError {
    #[error("unsupported fieldPath: {path}")]
    Field { path: String },
    #[error("unsupported container resource: {resource}")]
    Resource { resource: String },
    #[error("container {name} not found")]
    NoContainer { name: String },
    #[error("divisor \"{divisor}\" is not a positive quantity")]
    Divisor { divisor: String },
}

/// The value of a `fieldRef`.
pub(crate) fn field(pod: &Pod, path: &str, facts: &Facts) -> Result<String, DownwardError> {
    let unsupported = || DownwardError::Field { path: path.to_owned() };
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let text = |value: Option<&String>| Ok(value.cloned().unwrap_or_default());
    if let Some((map, key)) = path.strip_suffix("']").and_then(|p| p.split_once("['")) {
        let map = match map {
            "metadata.labels" => meta.labels.as_ref(),
            "metadata.annotations" => meta.annotations.as_ref(),
            _ => return Err(unsupported()),
        };
        return text(map.and_then(|m| m.get(key)));
    }
    match path {
        "metadata.name" => text(meta.name.as_ref()),
        "metadata.namespace" => text(meta.namespace.as_ref()),
        "metadata.uid" => text(meta.uid.as_ref()),
        "metadata.labels" => Ok(format_map(meta.labels.as_ref())),
        "metadata.annotations" => Ok(format_map(meta.annotations.as_ref())),
        "spec.nodeName" => text(spec.and_then(|s| s.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|s| s.service_account_name.as_ref())),
        "status.hostIP" | "status.hostIPs" => Ok(facts.node_ip.clone()),
        "status.podIP" => text(facts.pod_ips.first()),
        "status.podIPs" => Ok(facts.pod_ips.join(",")),
        _ => Err(unsupported()),
    }
}

/// `key="value"` lines, with the value quoted as Go's `%q` does for plain text.
fn format_map(map: Option<&std::collections::BTreeMap<String, String>>) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (key, value) in map.into_iter().flatten() {
        let mut quoted = String::with_capacity(value.len() + 2);
        for c in value.chars() {
            match c {
                '"' => quoted.push_str("\\\""),
                '\\' => quoted.push_str("\\\\"),
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                c => quoted.push(c),
            }
        }
        lines.push(format!("{key}=\"{quoted}\""));
    }
    lines.join("\n")
}

/// The value of a `resourceFieldRef`; without a limit, what the node can give.
pub(crate) fn resource(
    pod: &Pod,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
    facts: &Facts,
) -> Result<String, DownwardError> {
    let named = selector.container_name.as_deref().filter(|n| !n.is_empty());
    let container = match named {
        Some(name) => pod
            .spec
            .as_ref()
            .and_then(|spec| super::model::container(spec, name))
            .map(|(_, c)| c)
            .ok_or_else(|| DownwardError::NoContainer { name: name.to_owned() })?,
        None => own.ok_or_else(|| DownwardError::NoContainer { name: String::new() })?,
    };
    let a = resources::amounts(container);
    let limited = |limit: Option<i64>, most: i64| limit.filter(|l| *l > 0).unwrap_or(most);
    // Both in the finest unit that the divisor may have: thousandths for cpu, bytes for memory.
    let (amount, is_cpu) = match selector.resource.as_str() {
        "limits.cpu" => (limited(a.cpu_limit_milli, facts.cpu_allocatable_milli), true),
        "requests.cpu" => (a.cpu_request_milli.unwrap_or(0), true),
        "limits.memory" => (limited(a.memory_limit_bytes, facts.memory_allocatable_bytes), false),
        "requests.memory" => (a.memory_request_bytes.unwrap_or(0), false),
        other => return Err(DownwardError::Resource { resource: other.to_owned() }),
    };
    let unit = match &selector.divisor {
        None => Some(if is_cpu { 1000 } else { 1 }),
        Some(q) if q.0.is_empty() || q.0 == "0" => Some(if is_cpu { 1000 } else { 1 }),
        Some(q) if is_cpu => resources::milli(q),
        Some(q) => resources::whole(q),
    };
    let bad = || DownwardError::Divisor {
        divisor: selector.divisor.as_ref().map(|q| q.0.clone()).unwrap_or_default(),
    };
    let unit = unit.filter(|u| *u > 0).ok_or_else(bad)?;
    Ok((amount / unit + i64::from(amount % unit != 0)).to_string())
}

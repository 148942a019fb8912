//! Whether a pod can run on this node at all.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::resources;
use crate::honoured;
use crate::host::Host;

/// Sysctls that a pod may set: namespaced, and without effect on others.
const SAFE_SYSCTLS: [&str; 11] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
];

/// The outcome of admission.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Reason and message of a pod that fails.
    pub(crate) refusal: Option<(String, String)>,
    /// What it will have to do without.
    pub(crate) warnings: Vec<String>,
}

/// Looks at a new pod beside those that are here.
pub(crate) fn admit(pod: &Pod, others: &[Arc<Pod>], host: &Host) -> Verdict {
    let value = serde_json::to_value(pod).unwrap_or_default();
    let honoured::Findings { refused, warned } = honoured::check(&value);
    if let Some(finding) = refused.first() {
        let message = format!(
            "Pod was rejected: field {} is not honoured by this node: {}",
            finding.path, finding.why
        );
        return Verdict {
            refusal: Some(("FieldNotHonoured".to_owned(), message)),
            warnings: Vec::new(),
        };
    }
    let warnings = warned
        .iter()
        .map(|finding| format!("field {} has no effect: {}", finding.path, finding.why))
        .collect();
    let refusal = sysctls(pod).or_else(|| room(pod, others, host));
    Verdict { refusal, warnings }
}

fn sysctls(pod: &Pod) -> Option<(String, String)> {
    let context = pod.spec.as_ref()?.security_context.as_ref()?;
    let host_network = pod.spec.as_ref()?.host_network == Some(true);
    let host_ipc = pod.spec.as_ref()?.host_ipc == Some(true);
    for sysctl in context.sysctls.iter().flatten() {
        let name = sysctl.name.replace('/', ".");
        let message = if !SAFE_SYSCTLS.contains(&name.as_str()) {
            format!("forbidden sysctl: \"{name}\" not allowlisted")
        } else if host_network && name.starts_with("net.") {
            format!("forbidden sysctl: \"{name}\" not allowed with host net enabled")
        } else if host_ipc && name.starts_with("kernel.shm") {
            format!("forbidden sysctl: \"{name}\" not allowed with host ipc enabled")
        } else {
            continue;
        };
        return Some(("SysctlForbidden".to_owned(), format!("Pod was rejected: {message}")));
    }
    None
}

/// Whether the pod's requests still fit; the scheduler checked, but others may have bound pods.
fn room(pod: &Pod, others: &[Arc<Pod>], host: &Host) -> Option<(String, String)> {
    let is_active = |pod: &&Arc<Pod>| {
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        !matches!(phase, Some("Succeeded" | "Failed"))
    };
    let active: Vec<&Arc<Pod>> = others.iter().filter(is_active).collect();
    let sum = |pods: &[&Arc<Pod>], of: fn(&resources::Amounts) -> Option<i64>| -> i64 {
        pods.iter().filter_map(|p| p.spec.as_ref()).map(|spec| resources::pod_sum(spec, of)).sum()
    };
    let own = |of: fn(&resources::Amounts) -> Option<i64>| {
        pod.spec.as_ref().map_or(0, |spec| resources::pod_sum(spec, of))
    };
    let count = i64::try_from(active.len()).unwrap_or(i64::MAX);
    let checks = [
        ("pods", 1, count, i64::from(host.config.max_pods)),
        (
            "cpu",
            own(|a| a.cpu_request_milli),
            sum(&active, |a| a.cpu_request_milli),
            host.allocatable.cpu_milli,
        ),
        (
            "memory",
            own(|a| a.memory_request_bytes),
            sum(&active, |a| a.memory_request_bytes),
            host.allocatable.memory_bytes,
        ),
    ];
    checks.into_iter().find(|(_, wanted, used, all)| *wanted > 0 && used + wanted > *all).map(
        |(what, wanted, used, all)| {
            (
                format!("OutOf{what}"),
                format!(
                    "Pod was rejected: Node didn't have enough resource: {what}, requested: \
                     {wanted}, used: {used}, capacity: {all}"
                ),
            )
        },
    )
}

//! The sandbox and container configurations that the runtime is given: pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use corten_api_cri::v1;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::model;
use super::{env, labels, resources, security};

/// The longest hostname that Linux takes.
const HOSTNAME_BYTES_MAX: usize = 63;

/// What a sandbox needs to know beside the pod.
#[derive(Debug)]
pub(crate) struct SandboxPlan<'a> {
    pub(crate) attempt: u32,
    pub(crate) cgroup_parent: &'a str,
    pub(crate) pod_logs_dir: &'a Path,
    pub(crate) dns: v1::DnsConfig,
    pub(crate) domain: &'a str,
    /// Where the node's seccomp profiles are.
    pub(crate) seccomp_profiles: &'a Path,
}

/// The pod's hostname and, if it has a subdomain, the domain below which it is known.
pub(crate) fn hostname(pod: &Pod, spec: &PodSpec, cluster_domain: &str) -> (String, String) {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let own = spec.hostname.as_deref().filter(|h| !h.is_empty()).unwrap_or(name);
    let cut = own.get(..HOSTNAME_BYTES_MAX).unwrap_or(own).trim_end_matches(['-', '.']);
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let domain = match spec.subdomain.as_deref().filter(|s| !s.is_empty()) {
        Some(subdomain) => format!("{subdomain}.{namespace}.svc.{cluster_domain}"),
        None => String::new(),
    };
    (cut.to_owned(), domain)
}

fn identity(pod: &Pod) -> BTreeMap<String, String> {
    let text = |v: &Option<String>| v.clone().unwrap_or_default();
    let mut map = pod.metadata.labels.clone().unwrap_or_default();
    map.insert(labels::POD_NAME.to_owned(), text(&pod.metadata.name));
    map.insert(labels::POD_NAMESPACE.to_owned(), text(&pod.metadata.namespace));
    map.insert(labels::POD_UID.to_owned(), text(&pod.metadata.uid));
    map
}

/// The configuration of the pod's sandbox.
pub(crate) fn sandbox(pod: &Pod, spec: &PodSpec, plan: &SandboxPlan<'_>) -> v1::PodSandboxConfig {
    let text = |v: &Option<String>| v.clone().unwrap_or_default();
    let meta = &pod.metadata;
    let (namespace, name, uid) = (text(&meta.namespace), text(&meta.name), text(&meta.uid));
    let host_network = spec.host_network == Some(true);
    let (short, domain) = hostname(pod, spec, plan.domain);
    let hostname = match (host_network, spec.set_hostname_as_fqdn, domain.as_str()) {
        (true, _, _) => String::new(),
        (false, Some(true), domain) if !domain.is_empty() => format!("{short}.{domain}"),
        (false, _, _) => short,
    };
    let sysctls = spec.security_context.iter().flat_map(|c| c.sysctls.iter().flatten());
    let limit = |value: Option<i64>| value.unwrap_or(0);
    let cpu = resources::pod_sum(spec, |a| a.cpu_request_milli);
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: name.clone(),
            uid: uid.clone(),
            namespace: namespace.clone(),
            attempt: plan.attempt,
        }),
        hostname,
        log_directory: plan
            .pod_logs_dir
            .join(labels::log_folder(&namespace, &name, &uid))
            .display()
            .to_string(),
        dns_config: Some(plan.dns.clone()),
        port_mappings: if host_network { Vec::new() } else { port_mappings(spec) },
        labels: identity(pod),
        annotations: meta.annotations.clone().unwrap_or_default(),
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent: plan.cgroup_parent.to_owned(),
            security_context: Some(security::sandbox(spec, plan.seccomp_profiles)),
            sysctls: sysctls.map(|s| (s.name.clone(), s.value.clone())).collect(),
            resources: Some(v1::LinuxContainerResources {
                cpu_shares: resources::shares(cpu),
                cpu_period: resources::PERIOD_US,
                cpu_quota: resources::pod_total(spec, |a| a.cpu_limit_milli)
                    .map_or(0, resources::quota_us),
                memory_limit_in_bytes: limit(resources::pod_total(spec, |a| a.memory_limit_bytes)),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn port_mappings(spec: &PodSpec) -> Vec<v1::PortMapping> {
    let mut mappings = Vec::new();
    for (_, container) in model::containers(spec) {
        for port in container.ports.iter().flatten() {
            let Some(host_port) = port.host_port.filter(|p| *p > 0) else { continue };
            let protocol = match port.protocol.as_deref() {
                Some("UDP") => v1::Protocol::Udp,
                Some("SCTP") => v1::Protocol::Sctp,
                _ => v1::Protocol::Tcp,
            };
            mappings.push(v1::PortMapping {
                protocol: protocol.into(),
                container_port: port.container_port,
                host_port,
                host_ip: port.host_ip.clone().unwrap_or_default(),
            });
        }
    }
    mappings
}

/// What a container needs to know beside the pod.
#[derive(Debug)]
pub(crate) struct ContainerPlan {
    pub(crate) attempt: u32,
    /// The image as the runtime names it, by id.
    pub(crate) image_ref: String,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) mounts: Vec<v1::Mount>,
    pub(crate) memory_capacity_bytes: i64,
    pub(crate) unified_cgroups: bool,
    /// Where the node's seccomp profiles are.
    pub(crate) seccomp_profiles: PathBuf,
}

/// The configuration of one container.
pub(crate) fn container(
    pod: &Pod,
    spec: &PodSpec,
    container: &Container,
    plan: ContainerPlan,
) -> v1::ContainerConfig {
    let known: BTreeMap<String, String> = plan.environment.iter().cloned().collect();
    let expand = |list: &Option<Vec<String>>| -> Vec<String> {
        list.iter().flatten().map(|text| env::expand(text, &known)).collect()
    };
    let mut names = identity(pod);
    names.retain(|key, _| key.starts_with("io.kubernetes.pod."));
    names.insert(labels::CONTAINER_NAME.to_owned(), container.name.clone());
    let grace = model::spec_grace_seconds(spec);
    let text = |v: &Option<String>, default: &str| v.clone().unwrap_or_else(|| default.to_owned());
    let annotations = BTreeMap::from([
        (labels::HASH.to_owned(), labels::container_hash(container)),
        (labels::RESTART_COUNT.to_owned(), plan.attempt.to_string()),
        (labels::MESSAGE_PATH.to_owned(), message_path(container)),
        (labels::MESSAGE_POLICY.to_owned(), text(&container.termination_message_policy, "File")),
        (labels::POD_GRACE.to_owned(), grace.to_string()),
    ]);
    let resources = container_resources(spec, container, &plan);
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata {
            name: container.name.clone(),
            attempt: plan.attempt,
        }),
        image: Some(v1::ImageSpec {
            image: plan.image_ref,
            user_specified_image: container.image.clone().unwrap_or_default(),
            ..Default::default()
        }),
        command: expand(&container.command),
        args: expand(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: plan
            .environment
            .into_iter()
            .map(|(key, value)| v1::KeyValue { key, value: value.into_bytes() })
            .collect(),
        mounts: plan.mounts,
        labels: names,
        annotations,
        log_path: labels::log_file(&container.name, plan.attempt),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        tty: container.tty == Some(true),
        linux: Some(v1::LinuxContainerConfig {
            resources: Some(resources),
            security_context: Some(security::container(spec, container, &plan.seccomp_profiles)),
        }),
        ..Default::default()
    }
}

/// Where the container writes its termination message.
pub(crate) fn message_path(container: &Container) -> String {
    let own = container.termination_message_path.as_deref().filter(|p| !p.is_empty());
    own.unwrap_or("/dev/termination-log").to_owned()
}

fn container_resources(
    spec: &PodSpec,
    container: &Container,
    plan: &ContainerPlan,
) -> v1::LinuxContainerResources {
    let a = resources::amounts(container);
    let mut unified = BTreeMap::new();
    if plan.unified_cgroups {
        // One process too many takes the whole container with it, as upstream has it on v2.
        unified.insert("memory.oom.group".to_owned(), "1".to_owned());
    }
    v1::LinuxContainerResources {
        cpu_shares: resources::shares(a.cpu_request_milli.unwrap_or(0)),
        cpu_period: resources::PERIOD_US,
        cpu_quota: a.cpu_limit_milli.filter(|l| *l > 0).map_or(0, resources::quota_us),
        memory_limit_in_bytes: a.memory_limit_bytes.unwrap_or(0),
        oom_score_adj: resources::oom_score_adj(spec, container, plan.memory_capacity_bytes),
        unified,
        ..Default::default()
    }
}

//! From security contexts to CRI. What the spec leaves open is left to the runtime's defaults.

use std::path::Path;

use corten_api_cri::v1;
use k8s_openapi::api::core::v1::{Container, PodSpec, SeccompProfile};

/// Paths that are hidden from a container that is not privileged (`procMount: Default`).
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Why a container may not run as the user that it would.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UserError {
    #[error(
        "container's runAsUser breaks non-root policy (pod: \"{pod}\", container: {container})"
    )]
    RunsAsRoot { pod: String, container: String },
    #[error(
        "container has runAsNonRoot and image will run as root (pod: \"{pod}\", container: {container})"
    )]
    ImageRunsAsRoot { pod: String, container: String },
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root (pod: \"{pod}\", container: {container})"
    )]
    ImageUserUnknown { pod: String, container: String, user: String },
}

fn id(value: Option<i64>) -> Option<v1::Int64Value> {
    value.map(|value| v1::Int64Value { value })
}

fn namespaces(spec: &PodSpec, pid: v1::NamespaceMode) -> v1::NamespaceOption {
    let node_or_pod = |host: Option<bool>| {
        if host == Some(true) { v1::NamespaceMode::Node } else { v1::NamespaceMode::Pod }
    };
    let pid = match (spec.host_pid, spec.share_process_namespace) {
        (Some(true), _) => v1::NamespaceMode::Node,
        (_, Some(true)) => v1::NamespaceMode::Pod,
        (_, _) => pid,
    };
    v1::NamespaceOption {
        network: node_or_pod(spec.host_network).into(),
        ipc: node_or_pod(spec.host_ipc).into(),
        pid: pid.into(),
        ..v1::NamespaceOption::default()
    }
}

/// `Localhost` names a file below the node's `profiles`; API validation has refused a path that
/// leads out of there. What no profile is asked for runs unconfined, as upstream's kubelet has it
/// without `--seccomp-default`.
fn seccomp(asked: Option<&SeccompProfile>, profiles: &Path) -> v1::SecurityProfile {
    use v1::security_profile::ProfileType;
    let (kind, localhost_ref) = match asked.map(|profile| profile.type_.as_str()) {
        Some("RuntimeDefault") => (ProfileType::RuntimeDefault, String::new()),
        Some("Localhost") => {
            let name = asked.and_then(|profile| profile.localhost_profile.as_deref());
            let path = profiles.join(name.unwrap_or_default());
            (ProfileType::Localhost, path.to_string_lossy().into_owned())
        }
        _ => (ProfileType::Unconfined, String::new()),
    };
    v1::SecurityProfile { profile_type: kind.into(), localhost_ref }
}

fn groups(spec: &PodSpec) -> Vec<i64> {
    let context = spec.security_context.as_ref();
    let mut groups: Vec<i64> =
        context.and_then(|c| c.supplemental_groups.clone()).unwrap_or_default();
    groups.extend(context.and_then(|c| c.fs_group));
    groups
}

fn groups_policy(spec: &PodSpec) -> v1::SupplementalGroupsPolicy {
    let policy =
        spec.security_context.as_ref().and_then(|c| c.supplemental_groups_policy.as_deref());
    match policy {
        Some("Strict") => v1::SupplementalGroupsPolicy::Strict,
        _ => v1::SupplementalGroupsPolicy::Merge,
    }
}

/// Whether any container of the pod is privileged: then its sandbox must be able to hold it.
fn is_privileged(container: &Container) -> bool {
    container.security_context.as_ref().and_then(|c| c.privileged) == Some(true)
}

/// The security context of the sandbox.
pub(crate) fn sandbox(spec: &PodSpec, profiles: &Path) -> v1::LinuxSandboxSecurityContext {
    let context = spec.security_context.as_ref();
    v1::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(spec, v1::NamespaceMode::Container)),
        run_as_user: id(context.and_then(|c| c.run_as_user)),
        run_as_group: id(context.and_then(|c| c.run_as_group)),
        supplemental_groups: groups(spec),
        supplemental_groups_policy: groups_policy(spec).into(),
        privileged: super::model::containers(spec).any(|(_, c)| is_privileged(c)),
        seccomp: Some(seccomp(context.and_then(|c| c.seccomp_profile.as_ref()), profiles)),
        ..v1::LinuxSandboxSecurityContext::default()
    }
}

/// The security context of a container; its own settings win over the pod's.
pub(crate) fn container(
    spec: &PodSpec,
    container: &Container,
    profiles: &Path,
) -> v1::LinuxContainerSecurityContext {
    let pod = spec.security_context.as_ref();
    let own = container.security_context.as_ref();
    let privileged = is_privileged(container);
    let capabilities = own.and_then(|c| c.capabilities.as_ref()).map(|c| v1::Capability {
        add_capabilities: c.add.clone().unwrap_or_default(),
        drop_capabilities: c.drop.clone().unwrap_or_default(),
        ..v1::Capability::default()
    });
    let user = own.and_then(|c| c.run_as_user).or_else(|| pod.and_then(|c| c.run_as_user));
    let group = own.and_then(|c| c.run_as_group).or_else(|| pod.and_then(|c| c.run_as_group));
    let profile = own
        .and_then(|c| c.seccomp_profile.as_ref())
        .or_else(|| pod.and_then(|c| c.seccomp_profile.as_ref()));
    let list = |paths: &[&str]| {
        if privileged { Vec::new() } else { paths.iter().map(|p| (*p).to_owned()).collect() }
    };
    v1::LinuxContainerSecurityContext {
        capabilities,
        privileged,
        namespace_options: Some(namespaces(spec, v1::NamespaceMode::Container)),
        run_as_user: id(user),
        run_as_group: id(group),
        readonly_rootfs: own.and_then(|c| c.read_only_root_filesystem) == Some(true),
        supplemental_groups: groups(spec),
        supplemental_groups_policy: groups_policy(spec).into(),
        // A privileged container may gain privileges whatever the field says (API validation
        // refuses the contradiction).
        no_new_privs: !privileged && own.and_then(|c| c.allow_privilege_escalation) == Some(false),
        masked_paths: list(&MASKED),
        readonly_paths: list(&READ_ONLY),
        seccomp: Some(seccomp(profile, profiles)),
        ..v1::LinuxContainerSecurityContext::default()
    }
}

/// Checks `runAsNonRoot` against the spec's user or else the image's.
pub(crate) fn verify_user(
    spec: &PodSpec,
    container: &Container,
    image: &v1::Image,
    pod: &str,
) -> Result<(), UserError> {
    let own = container.security_context.as_ref();
    let of_pod = spec.security_context.as_ref();
    let demanded = own
        .and_then(|c| c.run_as_non_root)
        .or_else(|| of_pod.and_then(|c| c.run_as_non_root))
        .unwrap_or(false);
    if !demanded {
        return Ok(());
    }
    let (pod, container) = (pod.to_owned(), container.name.clone());
    let user = own.and_then(|c| c.run_as_user).or_else(|| of_pod.and_then(|c| c.run_as_user));
    match (user, &image.uid, image.username.as_str()) {
        (Some(0), _, _) => Err(UserError::RunsAsRoot { pod, container }),
        (Some(_), _, _) => Ok(()),
        (None, Some(uid), _) if uid.value == 0 => {
            Err(UserError::ImageRunsAsRoot { pod, container })
        }
        (None, Some(_), _) => Ok(()),
        (None, None, "") => Err(UserError::ImageRunsAsRoot { pod, container }),
        (None, None, user) => {
            Err(UserError::ImageUserUnknown { pod, container, user: user.to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(pod: &serde_json::Value, own: &serde_json::Value) -> PodSpec {
        serde_json::from_value(serde_json::json!({
            "securityContext": pod,
            "containers": [{"name": "a", "image": "i", "securityContext": own}]
        }))
        .unwrap()
    }

    #[test]
    fn a_containers_own_settings_win() {
        let spec = spec(
            &serde_json::json!({"runAsUser": 1, "fsGroup": 7, "supplementalGroups": [8]}),
            &serde_json::json!({"runAsUser": 2, "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]}}),
        );
        let made = container(&spec, &spec.containers[0], Path::new("/profiles"));
        assert_eq!(made.run_as_user.map(|u| u.value), Some(2));
        assert_eq!(made.supplemental_groups, [8, 7]);
        assert!(made.no_new_privs);
        assert_eq!(made.capabilities.unwrap().drop_capabilities, ["ALL"]);
        assert!(made.masked_paths.iter().any(|p| p == "/proc/kcore"));
    }

    #[test]
    fn a_seccomp_profile_reaches_the_runtime() {
        use v1::security_profile::ProfileType;
        let profile = |kind: &str, file: Option<&str>| serde_json::json!({"seccompProfile": {"type": kind, "localhostProfile": file}});
        let of = |pod: &serde_json::Value, own: &serde_json::Value| {
            let spec = spec(pod, own);
            let made = container(&spec, &spec.containers[0], Path::new("/profiles"));
            let profile = made.seccomp.unwrap();
            (profile.profile_type(), profile.localhost_ref)
        };
        let none = serde_json::json!({});
        assert_eq!(of(&none, &none), (ProfileType::Unconfined, String::new()));
        let default = profile("RuntimeDefault", None);
        assert_eq!(of(&default, &none), (ProfileType::RuntimeDefault, String::new()));
        let local = profile("Localhost", Some("team/a.json"));
        let expected = (ProfileType::Localhost, "/profiles/team/a.json".to_owned());
        assert_eq!(of(&default, &local), expected);
        assert_eq!(of(&default, &profile("Unconfined", None)).0, ProfileType::Unconfined);
    }

    #[test]
    fn run_as_non_root_looks_at_the_image_too() {
        let demand = serde_json::json!({"runAsNonRoot": true});
        let spec = spec(&demand, &serde_json::json!({}));
        let check = |image: v1::Image| verify_user(&spec, &spec.containers[0], &image, "p_n(u)");
        let image = |uid: Option<i64>, username: &str| v1::Image {
            uid: id(uid),
            username: username.to_owned(),
            ..v1::Image::default()
        };
        assert_eq!(check(image(Some(1000), "")), Ok(()));
        assert!(matches!(check(image(Some(0), "")), Err(UserError::ImageRunsAsRoot { .. })));
        assert!(matches!(check(image(None, "web")), Err(UserError::ImageUserUnknown { .. })));
    }
}

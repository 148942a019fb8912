//! What is asked for and not honoured is refused here, by the field's name; never left out in
//! silence.

use corten_api_cri::v1::security_profile::ProfileType;
use corten_api_cri::v1::{
    ContainerConfig, LinuxContainerSecurityContext, Mount, NamespaceMode, NamespaceOption,
    PodSandboxConfig, SeLinuxOption, SecurityProfile,
};

use crate::error::{OperationError, Outcome};
use crate::host::Host;
use crate::spec;

/// The handlers a sandbox can be run by: the default, and its name.
pub(crate) const HANDLERS: [&str; 2] = ["", "corten"];
/// Linux's HOST_NAME_MAX.
const HOSTNAME_BYTES_MAX: usize = 64;

/// Names that become parts of paths or are shown to users.
fn bounded(field: &str, value: &str, bytes_max: usize) -> Outcome<()> {
    if value.len() > bytes_max || value.contains('\0') {
        return Err(OperationError::invalid(
            field,
            format!("longer than {bytes_max} bytes, or holds a zero byte"),
        ));
    }
    Ok(())
}

/// Checks the request for a sandbox.
pub(crate) fn sandbox(config: &PodSandboxConfig, handler: &str) -> Outcome<()> {
    let Some(metadata) = &config.metadata else {
        return Err(OperationError::invalid("config.metadata", "missing"));
    };
    for (field, value) in [
        ("config.metadata.name", &metadata.name),
        ("config.metadata.namespace", &metadata.namespace),
        ("config.metadata.uid", &metadata.uid),
    ] {
        if value.is_empty() {
            return Err(OperationError::invalid(field, "empty"));
        }
        bounded(field, value, 253)?;
    }
    if !HANDLERS.contains(&handler) {
        return Err(OperationError::invalid(
            "runtime_handler",
            format!("{handler:?} is not known; there is \"corten\""),
        ));
    }
    bounded("config.hostname", &config.hostname, HOSTNAME_BYTES_MAX)?;
    if config.hostname.contains(['\n', '/']) {
        return Err(OperationError::invalid("config.hostname", "no host name"));
    }
    if !config.log_directory.is_empty() && !config.log_directory.starts_with('/') {
        return Err(OperationError::invalid("config.log_directory", "not an absolute path"));
    }
    if config.windows.is_some() {
        return Err(OperationError::unsupported("config.windows", "this node runs Linux"));
    }
    dns(config)?;
    let Some(linux) = &config.linux else { return Ok(()) };
    cgroup_parent(&linux.cgroup_parent)?;
    let shared = linux.security_context.as_ref().and_then(|security| {
        security.namespace_options.as_ref().map(|options| (options.network, options.ipc))
    });
    for name in linux.sysctls.keys() {
        sysctl(name, shared.unwrap_or_default())?;
    }
    let Some(security) = &linux.security_context else { return Ok(()) };
    // The user, groups, read-only root, seccomp and AppArmor profile of a sandbox are those of a
    // pause container, which there is none of: nothing runs that they could bind.
    let at = "config.linux.security_context";
    selinux(security.selinux_options.as_ref(), at)?;
    if let Some(options) = &security.namespace_options {
        namespaces(options, &format!("{at}.namespace_options"))?;
    }
    Ok(())
}

/// One line each, or the file that they go to could be given lines of anyone's choice.
fn dns(config: &PodSandboxConfig) -> Outcome<()> {
    let Some(dns) = &config.dns_config else { return Ok(()) };
    for (field, list) in
        [("servers", &dns.servers), ("searches", &dns.searches), ("options", &dns.options)]
    {
        for (index, value) in list.iter().enumerate() {
            if value.is_empty() || value.contains(|c: char| c.is_whitespace() || c.is_control()) {
                return Err(OperationError::invalid(
                    format!("config.dns_config.{field}[{index}]"),
                    format!("{value:?} is empty or holds white space"),
                ));
            }
        }
    }
    Ok(())
}

/// Parameters of the ipc namespace, ipc_namespaces(7).
const IPC_SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shm_rmid_forced",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
];

/// Only parameters that a namespace of the pod's own holds: any other would be the node's.
fn sysctl(name: &str, (network, ipc): (i32, i32)) -> Outcome<()> {
    let own = |mode: i32| mode == i32::from(NamespaceMode::Pod);
    let plain = !name.contains("..")
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte));
    // sysctl(8): the separators are interchangeable.
    let dotted = name.replace('/', ".");
    let of_network = dotted.starts_with("net.");
    let of_ipc = IPC_SYSCTLS.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.");
    if plain && ((of_network && own(network)) || (of_ipc && own(ipc))) {
        return Ok(());
    }
    Err(OperationError::invalid(
        format!("config.linux.sysctls[{name:?}]"),
        "no kernel parameter of a namespace that is the pod's own",
    ))
}

fn cgroup_parent(parent: &str) -> Outcome<()> {
    let field = "config.linux.cgroup_parent";
    if parent.is_empty() {
        return Ok(());
    }
    if parent.ends_with(".slice") {
        return Err(OperationError::invalid(
            field,
            format!("{parent:?} is a systemd slice, and the cgroup driver is cgroupfs"),
        ));
    }
    let plain = parent.starts_with('/')
        && !parent.contains(['\0', '\n'])
        && parent.split('/').all(|part| part != "..");
    if !plain {
        return Err(OperationError::invalid(field, format!("{parent:?} is no absolute path")));
    }
    Ok(())
}

fn namespaces(options: &NamespaceOption, at: &str) -> Outcome<()> {
    for (name, mode) in [("network", options.network), ("ipc", options.ipc)] {
        match NamespaceMode::try_from(mode) {
            Ok(NamespaceMode::Pod | NamespaceMode::Node) => {}
            Ok(other @ (NamespaceMode::Container | NamespaceMode::Target)) => {
                return Err(OperationError::invalid(
                    format!("{at}.{name}"),
                    format!("{} is not possible: POD or NODE", other.as_str_name()),
                ));
            }
            Err(unknown) => {
                return Err(OperationError::invalid(format!("{at}.{name}"), unknown.to_string()));
            }
        }
    }
    match NamespaceMode::try_from(options.pid) {
        Ok(NamespaceMode::Pod | NamespaceMode::Container | NamespaceMode::Node) => {}
        Ok(NamespaceMode::Target) => {
            return Err(OperationError::unsupported(
                format!("{at}.pid"),
                "the pid namespace of another container (TARGET) cannot be joined yet",
            ));
        }
        Err(unknown) => {
            return Err(OperationError::invalid(format!("{at}.pid"), unknown.to_string()));
        }
    }
    if options.userns_options.as_ref().is_some_and(|user| user.mode() != NamespaceMode::Node) {
        return Err(OperationError::unsupported(
            format!("{at}.userns_options"),
            "user namespaces are not there yet; NODE is",
        ));
    }
    Ok(())
}

fn selinux(options: Option<&SeLinuxOption>, at: &str) -> Outcome<()> {
    let said = |options: &&SeLinuxOption| **options != SeLinuxOption::default();
    if options.filter(said).is_some() {
        return Err(OperationError::unsupported(
            format!("{at}.selinux_options"),
            "SELinux labels are not there yet",
        ));
    }
    Ok(())
}

fn app_armor(profile: Option<&SecurityProfile>, field: &str) -> Outcome<()> {
    match profile.map(SecurityProfile::profile_type) {
        None | Some(ProfileType::Unconfined) => Ok(()),
        Some(asked @ (ProfileType::RuntimeDefault | ProfileType::Localhost)) => {
            Err(OperationError::unsupported(
                format!("{field} ({})", asked.as_str_name()),
                "AppArmor profiles are not there yet; Unconfined is",
            ))
        }
    }
}

/// Checks the request for a container in that sandbox.
pub(crate) fn container(
    config: &ContainerConfig,
    sandbox: &PodSandboxConfig,
    host: &Host,
) -> Outcome<()> {
    let name = config.metadata.as_ref().map(|metadata| metadata.name.as_str()).unwrap_or_default();
    if name.is_empty() {
        return Err(OperationError::invalid("config.metadata.name", "empty"));
    }
    bounded("config.metadata.name", name, 253)?;
    if config.image.as_ref().is_none_or(|image| image.image.is_empty()) {
        return Err(OperationError::invalid("config.image.image", "empty"));
    }
    if config.windows.is_some() {
        return Err(OperationError::unsupported("config.windows", "this node runs Linux"));
    }
    if !config.devices.is_empty() {
        return Err(OperationError::unsupported("config.devices", "not there yet"));
    }
    if !config.cdi_devices.is_empty() {
        return Err(OperationError::unsupported("config.CDI_devices", "not there yet"));
    }
    log_path(config)?;
    for (index, mount) in config.mounts.iter().enumerate() {
        container_mount(mount, &format!("config.mounts[{index}]"), host)?;
    }
    for (index, pair) in config.envs.iter().enumerate() {
        let field = format!("config.envs[{index}]");
        if pair.key.is_empty() || pair.key.contains(['=', '\0']) || pair.value.contains(&0) {
            return Err(OperationError::invalid(field, format!("{:?} is no variable", pair.key)));
        }
        if std::str::from_utf8(&pair.value).is_err() {
            return Err(OperationError::invalid(
                field,
                format!("the value of {:?} is not UTF-8, which OCI's JSON cannot hold", pair.key),
            ));
        }
    }
    let Some(linux) = &config.linux else { return Ok(()) };
    if let Some(resources) = &linux.resources {
        spec::check_resources(resources, "config.linux.resources")?;
    }
    if let Some(security) = &linux.security_context {
        container_security(security, sandbox)?;
    }
    Ok(())
}

fn log_path(config: &ContainerConfig) -> Outcome<()> {
    let inside = !config.log_path.starts_with('/')
        && !config.log_path.contains('\0')
        && config.log_path.split('/').all(|part| part != "..");
    if inside {
        return Ok(());
    }
    Err(OperationError::invalid(
        "config.log_path",
        format!("{:?} does not lie below the pod's log directory", config.log_path),
    ))
}

fn container_mount(mount: &Mount, at: &str, host: &Host) -> Outcome<()> {
    let field = |name: &str| format!("{at}.{name}");
    if mount.image.as_ref().is_some_and(|image| !image.image.is_empty()) {
        return Err(OperationError::unsupported(field("image"), "image volumes are not there yet"));
    }
    if !mount.image_sub_path.is_empty() {
        return Err(OperationError::unsupported(field("image_sub_path"), "not there yet"));
    }
    for (name, path) in [("container_path", &mount.container_path), ("host_path", &mount.host_path)]
    {
        if !path.starts_with('/') || path.contains('\0') {
            return Err(OperationError::invalid(
                field(name),
                format!("{path:?} is no absolute path"),
            ));
        }
    }
    if !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
        return Err(OperationError::unsupported(
            field("uidMappings"),
            "id-mapped mounts are not there yet",
        ));
    }
    if mount.recursive_read_only {
        return Err(OperationError::unsupported(
            field("recursive_read_only"),
            "the handler's features do not list it",
        ));
    }
    // Where SELinux is off there is no label to set; the kubelet asks for one all the same.
    if mount.selinux_relabel && host.selinux {
        return Err(OperationError::unsupported(
            field("selinux_relabel"),
            "SELinux labels are not there yet",
        ));
    }
    Ok(())
}

/// A container gets no more of the node than its sandbox has, and can share only what the sandbox
/// has to share.
fn within_sandbox(asked: &NamespaceOption, has: &NamespaceOption, at: &str) -> Outcome<()> {
    let node = i32::from(NamespaceMode::Node);
    for (name, asked, has) in [
        ("network", asked.network, has.network),
        ("ipc", asked.ipc, has.ipc),
        ("pid", asked.pid, has.pid),
    ] {
        if asked == node && has != node {
            return Err(OperationError::invalid(
                format!("{at}.{name}"),
                "NODE, but the sandbox was not made so",
            ));
        }
    }
    if asked.pid() == NamespaceMode::Pod && has.pid() != NamespaceMode::Pod {
        return Err(OperationError::invalid(
            format!("{at}.pid"),
            format!("POD, but the sandbox was made with {}", has.pid().as_str_name()),
        ));
    }
    Ok(())
}

fn container_security(
    security: &LinuxContainerSecurityContext,
    sandbox: &PodSandboxConfig,
) -> Outcome<()> {
    let at = "config.linux.security_context";
    let of_sandbox = sandbox.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
    if let Some(options) = &security.namespace_options {
        let has = of_sandbox.and_then(|sandbox| sandbox.namespace_options.clone());
        let at = format!("{at}.namespace_options");
        namespaces(options, &at)?;
        within_sandbox(options, &has.unwrap_or_default(), &at)?;
    }
    selinux(security.selinux_options.as_ref(), at)?;
    if security.privileged {
        // The interface says that a privileged container is not confined by either.
        if !of_sandbox.is_some_and(|sandbox| sandbox.privileged) {
            return Err(OperationError::invalid(
                format!("{at}.privileged"),
                "the sandbox was not made for privileged containers",
            ));
        }
        return Ok(());
    }
    spec::seccomp::asked(security)?;
    app_armor(security.apparmor.as_ref(), &format!("{at}.apparmor"))?;
    #[expect(deprecated, reason = "older kubelets still say it here")]
    let value = &security.apparmor_profile;
    if !value.is_empty() && value != "unconfined" {
        return Err(OperationError::unsupported(
            format!("{at}.apparmor_profile ({value})"),
            "profiles are not there yet; unconfined is",
        ));
    }
    Ok(())
}

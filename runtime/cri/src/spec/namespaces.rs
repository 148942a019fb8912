//! `linux.namespaces`.

use corten_api_cri::v1::{LinuxContainerSecurityContext, NamespaceMode, NamespaceOption};
use serde_json::{Value, json};

use super::SpecInput;

/// The sandbox's choice counts for what containers share; pid is each container's own to choose.
pub(super) fn build(input: &SpecInput<'_>, security: &LinuxContainerSecurityContext) -> Value {
    let sandbox = sandbox_options(input);
    let mut list = vec![json!({ "type": "mount" })];
    let mut pinned = |kind: &str, file: &str| {
        list.push(json!({ "type": kind, "path": input.namespace_dir.join(file) }));
    };
    if !on_node(sandbox.network) {
        pinned("network", "net");
        pinned("uts", "uts");
    }
    if !on_node(sandbox.ipc) {
        pinned("ipc", "ipc");
    }
    match pid_mode(security) {
        NamespaceMode::Pod => pinned("pid", "pid"),
        NamespaceMode::Container => list.push(json!({ "type": "pid" })),
        // Another container's is refused before; the node's needs no entry.
        NamespaceMode::Node | NamespaceMode::Target => {}
    }
    if !security.privileged {
        list.push(json!({ "type": "cgroup" }));
    }
    Value::Array(list)
}

pub(super) fn sandbox_options(input: &SpecInput<'_>) -> NamespaceOption {
    let linux = input.sandbox.linux.as_ref();
    let security = linux.and_then(|linux| linux.security_context.as_ref());
    security.and_then(|security| security.namespace_options.clone()).unwrap_or_default()
}

pub(super) fn on_node(mode: i32) -> bool {
    mode == i32::from(NamespaceMode::Node)
}

/// A container that says nothing shares the pod's pid namespace: the interface's default is POD.
pub(super) fn pid_mode(security: &LinuxContainerSecurityContext) -> NamespaceMode {
    let options = security.namespace_options.as_ref();
    options.map_or(NamespaceMode::Pod, NamespaceOption::pid)
}

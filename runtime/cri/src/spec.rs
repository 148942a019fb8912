//! From what CRI asks of a container to an OCI `config.json`.
//!
//! Pure: what is in the request, the image and the machine goes in, JSON comes out. What is not
//! honoured has been refused before, by `refuse.rs`. The words are those of the OCI runtime
//! specification, version 1.3.

mod capabilities;
mod mounts;
mod namespaces;
mod process;
mod resources;
pub(crate) mod seccomp;
mod security;

use std::path::Path;

use corten_api_cri::v1::{ContainerConfig, LinuxContainerSecurityContext, PodSandboxConfig};
use oci_spec::runtime::LinuxSeccomp;
use serde_json::{Value, json};

use crate::error::Outcome;
use crate::host::{Host, HostDevice};
use crate::images::ImageDefaults;
use crate::user::ResolvedUser;

pub(crate) use process::exec_process;
pub(crate) use resources::{check as check_resources, merge as merge_resources};

/// The version of the specification that is written.
const OCI_VERSION: &str = "1.3.0";

/// All that decides what a container becomes.
#[derive(Debug)]
pub(crate) struct SpecInput<'a> {
    pub(crate) sandbox: &'a PodSandboxConfig,
    pub(crate) container: &'a ContainerConfig,
    pub(crate) image: &'a ImageDefaults,
    pub(crate) user: &'a ResolvedUser,
    pub(crate) hostname: &'a str,
    /// The mounted root file system.
    pub(crate) rootfs: &'a Path,
    /// Where the sandbox's namespaces are pinned.
    pub(crate) namespace_dir: &'a Path,
    /// The files that the sandbox's containers share: `resolv.conf`, `hostname`.
    pub(crate) sandbox_dir: &'a Path,
    /// The sandbox's shared memory.
    pub(crate) shm: &'a Path,
    pub(crate) cgroup_path: &'a str,
    pub(crate) host: &'a Host,
    /// The machine's devices; needed for privileged containers alone.
    pub(crate) devices: &'a [HostDevice],
    /// The seccomp profile that the request names, where it is a file of this machine.
    pub(crate) local_seccomp: Option<&'a LinuxSeccomp>,
}

impl SpecInput<'_> {
    fn security(&self) -> LinuxContainerSecurityContext {
        let linux = self.container.linux.as_ref();
        linux.and_then(|linux| linux.security_context.clone()).unwrap_or_default()
    }
}

/// The content of `config.json`.
pub(crate) fn build(input: &SpecInput<'_>) -> Outcome<Value> {
    let security = input.security();
    let linux = input.container.linux.as_ref();
    let requested = linux.and_then(|linux| linux.resources.clone()).unwrap_or_default();
    let mut spec = json!({
        "ociVersion": OCI_VERSION,
        "process": process::build(input, &security, &requested)?,
        "root": { "path": input.rootfs, "readonly": security.readonly_rootfs },
        "mounts": mounts::build(input, &security),
        "linux": {
            "cgroupsPath": input.cgroup_path,
            "namespaces": namespaces::build(input, &security),
            "resources": resources::build(&requested, security.privileged),
            "maskedPaths": security::masked_paths(&security),
            "readonlyPaths": security::readonly_paths(&security),
            "rootfsPropagation": mounts::root_propagation(input.container),
        },
        "annotations": {
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.container-name": input.container.metadata.as_ref().map(|m| &m.name),
            "io.kubernetes.cri.sandbox-name": input.sandbox.metadata.as_ref().map(|m| &m.name),
            "io.kubernetes.cri.sandbox-namespace":
                input.sandbox.metadata.as_ref().map(|m| &m.namespace),
        },
    });
    let capabilities = &spec["process"]["capabilities"];
    if let Some(profile) = seccomp::build(&security, capabilities, input.local_seccomp)? {
        spec["linux"]["seccomp"] = json!(profile);
    }
    if security.privileged {
        spec["linux"]["devices"] = security::devices(input.devices);
    }
    Ok(spec)
}

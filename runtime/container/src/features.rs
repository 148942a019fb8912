//! What this runtime can do, as engines ask for it (runtime-spec, features.md).
//!
//! Each part of the answer is written where the part itself is; what is put together here is only
//! the document. A list that is left out means "unknown", an empty one "none".

use serde_json::{Value, json};

/// Kinds of namespaces that a container can have for itself.
const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];

/// Lists of `hooks`.
const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// The features document. What is honoured where the kernel has it is said to be enabled, as the
/// specification asks: it tells what the runtime was built with, not what the host has.
#[must_use]
pub fn features() -> Value {
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": "1.3.0",
        "hooks": HOOKS,
        "mountOptions": crate::plan::mount_options(),
        "linux": {
            "namespaces": NAMESPACES,
            "capabilities": capabilities(),
            "cgroup": cgroup(),
            "seccomp": corten_runtime_seccomp::features(kernel()),
            "apparmor": { "enabled": true },
            "selinux": { "enabled": true },
            "intelRdt": { "enabled": true },
            "mountExtensions": { "idmap": { "enabled": true } },
            "netDevices": { "enabled": true },
        },
    })
}

/// The running kernel's version. One that cannot be read supports no flag.
fn kernel() -> (u32, u32) {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(['.', '-', '+']).map(|text| text.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn capabilities() -> Vec<String> {
    let mut names: Vec<_> = caps::all().into_iter().collect();
    names.sort_unstable_by_key(caps::Capability::index);
    names.iter().map(ToString::to_string).collect()
}

/// What `runtime/cgroup` speaks, whatever this host mounts.
fn cgroup() -> Value {
    json!({ "v1": true, "v2": true, "systemd": true, "systemdUser": false, "rdma": true })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field that the types of the specification do not know would be told to nobody.
    #[test]
    fn the_document_is_the_specifications() {
        let read: oci_spec::runtime::Features = serde_json::from_value(features()).unwrap();
        let linux = read.linux().as_ref().unwrap();
        assert_eq!(linux.namespaces().as_ref().unwrap().len(), NAMESPACES.len());
        assert!(linux.capabilities().as_ref().unwrap().contains(&"CAP_SYS_ADMIN".to_owned()));
        assert_eq!(linux.cgroup().as_ref().unwrap().v2(), &Some(true));
    }
}

//! `mounts`: those every container has, the sandbox's files, and what the request brings.

use std::path::Path;

use corten_api_cri::v1::{ContainerConfig, LinuxContainerSecurityContext, Mount, MountPropagation};
use serde_json::{Value, json};

use super::SpecInput;
use super::namespaces::{on_node, sandbox_options};

/// Parents before what lies below them, or else a parent would cover its child.
pub(super) fn build(input: &SpecInput<'_>, security: &LinuxContainerSecurityContext) -> Value {
    let mut mounts = kernel(input, security);
    let mut binds = sandbox_files(input, security);
    binds.extend(input.container.mounts.iter().map(bind));
    let taken = |destination: &str| {
        input
            .container
            .mounts
            .iter()
            .any(|mount| Path::new(&mount.container_path) == Path::new(destination))
    };
    // What the request mounts itself takes the place of ours.
    mounts.retain(|(destination, _)| !taken(destination));
    let ours = binds.len() - input.container.mounts.len();
    let mut index = 0;
    binds.retain(|(destination, _)| {
        index += 1;
        index > ours || !taken(destination)
    });
    binds.sort_by_key(|(destination, _)| Path::new(destination).components().count());
    mounts.into_iter().chain(binds).map(|(_, mount)| mount).collect()
}

type Entry = (String, Value);

fn entry(destination: &str, kind: &str, source: &str, options: &[&str]) -> Entry {
    let mount = json!({
        "destination": destination,
        "type": kind,
        "source": source,
        "options": options,
    });
    (destination.to_owned(), mount)
}

/// OCI's default file systems.
fn kernel(input: &SpecInput<'_>, security: &LinuxContainerSecurityContext) -> Vec<Entry> {
    let writable = if security.privileged { "rw" } else { "ro" };
    let mut list = vec![
        entry("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        entry("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        entry(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
    ];
    if on_node(sandbox_options(input).ipc) {
        list.push(entry(
            "/dev/mqueue",
            "bind",
            "/dev/mqueue",
            &["rbind", "nosuid", "noexec", "nodev"],
        ));
        list.push(entry("/dev/shm", "bind", "/dev/shm", &["rbind", "nosuid", "noexec", "nodev"]));
    } else {
        list.push(entry("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
        let shm = input.shm.to_string_lossy();
        list.push(entry("/dev/shm", "bind", &shm, &["rbind", "nosuid", "noexec", "nodev"]));
    }
    list.push(entry("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", writable]));
    list.push(entry(
        "/sys/fs/cgroup",
        "cgroup",
        "cgroup",
        &["nosuid", "noexec", "nodev", "relatime", writable],
    ));
    list
}

/// `resolv.conf` and `hostname`; read-only where the root file system is.
fn sandbox_files(input: &SpecInput<'_>, security: &LinuxContainerSecurityContext) -> Vec<Entry> {
    let writable = if security.readonly_rootfs { "ro" } else { "rw" };
    ["resolv.conf", "hostname"]
        .iter()
        .map(|name| {
            let source = input.sandbox_dir.join(name);
            let options = ["rbind", "rprivate", writable];
            entry(&format!("/etc/{name}"), "bind", &source.to_string_lossy(), &options)
        })
        .collect()
}

fn bind(mount: &Mount) -> Entry {
    let propagation = match mount.propagation() {
        MountPropagation::PropagationPrivate => "rprivate",
        MountPropagation::PropagationHostToContainer => "rslave",
        MountPropagation::PropagationBidirectional => "rshared",
    };
    let access = match (mount.readonly, mount.recursive_read_only) {
        (_, true) => "rro",
        (true, false) => "ro",
        (false, false) => "rw",
    };
    entry(&mount.container_path, "bind", &mount.host_path, &["rbind", propagation, access])
}

/// A mount that reaches the container or the host later can do so only through a root that lets it.
pub(super) fn root_propagation(config: &ContainerConfig) -> &'static str {
    let any =
        |wanted: MountPropagation| config.mounts.iter().any(|mount| mount.propagation() == wanted);
    if any(MountPropagation::PropagationBidirectional) {
        "rshared"
    } else if any(MountPropagation::PropagationHostToContainer) {
        "rslave"
    } else {
        "rprivate"
    }
}

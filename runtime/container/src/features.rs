//! What this runtime honours, for a command that tells engines so (features.md).

/// Mount options that are no file system's own.
#[must_use]
pub fn mount_options() -> Vec<String> {
    crate::plan::mount_options()
}

/// Kinds of namespaces, as `linux.namespaces` names them.
pub const NAMESPACES: [&str; 8] =
    ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];

/// Lists of `hooks`.
pub const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Whether mounts can be id-mapped (`mountExtensions.idmap`).
pub const IDMAPPED_MOUNTS: bool = true;

/// The block `linux.seccomp` of the features document, for a kernel of this version (major, minor).
#[must_use]
pub fn seccomp(kernel: (u32, u32)) -> oci_spec::runtime::Seccomp {
    corten_runtime_seccomp::features(kernel)
}

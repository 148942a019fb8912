//! What is mounted, where only the child may open it: new file systems, which belong to its
//! namespaces, and the host's files where the runtime itself has no right to mount.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, OwnedFd};

use corten_sys_linux::clone::Namespaces;
use corten_sys_linux::mount::{self, Attributes};
use corten_sys_linux::rustix::io::Errno;
use rustix::fs::FileType;

use super::Source;
use super::report::{At as _, Failure, Outcome, Step};
use crate::plan::{Mount, MountKind, Plan};

/// A bind mount, or the cgroups of a container that has none of its own.
pub(super) fn open(mount: &Mount) -> Outcome<'_, Source> {
    match &mount.kind {
        MountKind::Bind { source, recursive } => {
            let object = source.to_bytes();
            let tree = mount::clone_path(source, *recursive).at(Step::Source, object)?;
            let stat = rustix::fs::fstat(&tree).at(Step::Source, object)?;
            let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            set_bind_attributes(&tree, mount).at(Step::Attributes, mount.destination.to_bytes())?;
            Ok(Source::Tree(tree, directory))
        }
        MountKind::Cgroup => cgroup(mount).map(Source::Unified),
        MountKind::Filesystem { .. } => {
            Err(Failure::new(Step::Source, mount.destination.to_bytes(), Errno::INVAL))
        }
    }
}

/// Private unless asked otherwise: a bind mount starts as its source's peer, and then every mount
/// made below it in the container would show on the host. What an option does not say of the mounts
/// below, they receive only.
pub(crate) fn set_bind_attributes(tree: &OwnedFd, mount: &Mount) -> rustix::io::Result<()> {
    let (own, recursive) = (mount.attributes, mount.recursive_attributes);
    let set = |below, attributes| {
        if attributes == Attributes::default() {
            return Ok(());
        }
        mount::set_attributes(tree.as_fd(), below, attributes)
    };
    if recursive.propagation == 0 && own.propagation != mount::SHARED {
        let propagation = if own.propagation == 0 { mount::PRIVATE } else { mount::SLAVE };
        set(true, Attributes { propagation, ..Default::default() })?;
    }
    set(true, recursive)?;
    set(false, own)
}

/// The cgroup namespace's own root, if there is one to be had; else the host's hierarchies, which
/// nobody in the container can then write to (CVE-2023-25809).
fn cgroup(mount: &Mount) -> Outcome<'_, OwnedFd> {
    const HOST: &CStr = c"/sys/fs/cgroup";
    let object = mount.destination.to_bytes();
    if let Ok(tree) = mount::new_filesystem(c"cgroup2", None, &[], mount.attributes.set) {
        return Ok(tree);
    }
    let tree = mount::clone_path(HOST, true).at(Step::Source, HOST.to_bytes())?;
    let attributes = Attributes {
        set: mount.attributes.set | mount::RDONLY,
        clear: 0,
        propagation: mount::PRIVATE,
    };
    mount::set_attributes(tree.as_fd(), true, attributes).at(Step::Attributes, object)?;
    Ok(tree)
}

/// A new file system. Where the namespace that it shows is not this user namespace's, the kernel
/// makes none, and the host's own mount of it is what there is to be seen.
pub(super) fn filesystem<'a>(plan: &Plan, mount: &'a Mount) -> Outcome<'a, OwnedFd> {
    let path = mount.destination.to_bytes();
    let MountKind::Filesystem { kind, source, options } = &mount.kind else {
        return Err(Failure::new(Step::Filesystem, path, Errno::INVAL));
    };
    let made = mount::new_filesystem(kind, source.as_deref(), options, mount.attributes.set);
    let shared = |namespace| !plan.namespaces.new.contains(namespace);
    let host = match (&made, kind.to_bytes()) {
        (Err(Errno::PERM), b"sysfs") if shared(Namespaces::NET) => c"/sys",
        (Err(Errno::PERM), b"proc") if shared(Namespaces::PID) => c"/proc",
        (Err(Errno::PERM), b"mqueue") if shared(Namespaces::IPC) => c"/dev/mqueue",
        _settled => return made.at(Step::Filesystem, path),
    };
    let tree = mount::clone_path(host, true).at(Step::Source, host.to_bytes())?;
    // Also for what is mounted below: read-only means all of it.
    let attributes =
        Attributes { set: mount.attributes.set, clear: 0, propagation: mount::PRIVATE };
    mount::set_attributes(tree.as_fd(), true, attributes).at(Step::Attributes, path)?;
    Ok(tree)
}

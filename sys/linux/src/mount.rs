//! The descriptor-based mount interface (`fsopen`, `open_tree`, `move_mount`, `mount_setattr`).
//!
//! Everything here works on mounts by descriptor: what is attached, and where, is decided by
//! handles and never by a path that a container can change in between. No function falls back to
//! a path when a descriptor call fails.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
    open_tree, unmount,
};
use rustix::process::{fchdir, pivot_root};

use crate::syscall::check;

/// Attributes of a mount (not of its file system), for [`set_attributes`].
///
/// The bits are `MOUNT_ATTR_*` of `mount_setattr(2)`; propagation is `MS_SHARED`, `MS_SLAVE`,
/// `MS_PRIVATE`, `MS_UNBINDABLE`, or 0 to leave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Bits to set.
    pub set: u64,
    /// Bits to clear. The access time bits are one field: clear [`ATIME_MASK`] before setting one.
    pub clear: u64,
    /// New propagation type.
    pub propagation: u64,
}

/// `MOUNT_ATTR_RDONLY`
pub const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
/// `MOUNT_ATTR_NOSUID`
pub const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
/// `MOUNT_ATTR_NODEV`
pub const NODEV: u64 = libc::MOUNT_ATTR_NODEV;
/// `MOUNT_ATTR_NOEXEC`
pub const NOEXEC: u64 = libc::MOUNT_ATTR_NOEXEC;
/// `MOUNT_ATTR_NOATIME`
pub const NOATIME: u64 = libc::MOUNT_ATTR_NOATIME;
/// `MOUNT_ATTR_STRICTATIME`
pub const STRICTATIME: u64 = libc::MOUNT_ATTR_STRICTATIME;
/// `MOUNT_ATTR__ATIME`: the field that relatime (0), noatime and strictatime share.
pub const ATIME_MASK: u64 = libc::MOUNT_ATTR__ATIME;
/// `MOUNT_ATTR_NODIRATIME`
pub const NODIRATIME: u64 = libc::MOUNT_ATTR_NODIRATIME;
/// `MOUNT_ATTR_NOSYMFOLLOW`
pub const NOSYMFOLLOW: u64 = libc::MOUNT_ATTR_NOSYMFOLLOW;

/// `MS_PRIVATE`, for [`Attributes::propagation`].
pub const PRIVATE: u64 = libc::MS_PRIVATE;
/// `MS_SLAVE`
pub const SLAVE: u64 = libc::MS_SLAVE;
/// `MS_SHARED`
pub const SHARED: u64 = libc::MS_SHARED;
/// `MS_UNBINDABLE`
pub const UNBINDABLE: u64 = libc::MS_UNBINDABLE;

/// Changes the attributes of the mount behind `mount`, and of those below it if `recursive`
/// (`mount_setattr(2)`). Does not allocate.
///
/// # Errors
/// `EINVAL` unless the descriptor is the root of a mount; `ENOSYS` before Linux 5.12.
pub fn set_attributes(
    mount: BorrowedFd<'_>,
    recursive: bool,
    attributes: Attributes,
) -> rustix::io::Result<()> {
    let raw = libc::mount_attr {
        attr_set: attributes.set,
        attr_clr: attributes.clear,
        propagation: attributes.propagation,
        userns_fd: 0,
    };
    mount_setattr(mount, recursive, &raw)
}

/// Gives a detached mount, and those below it if `recursive`, the id mapping of a user namespace:
/// an owner on disk is shown as what the namespace maps it to (`mount_setattr(2)`, "ID-mapped
/// mounts").
///
/// # Errors
/// `EINVAL` for a file system that cannot, a mount that is attached or mapped already; `EPERM`
/// without `CAP_SYS_ADMIN` over the file system, or for the first user namespace.
pub fn set_id_map(
    mount: BorrowedFd<'_>,
    recursive: bool,
    user_namespace: BorrowedFd<'_>,
) -> rustix::io::Result<()> {
    let raw = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::from(user_namespace.as_raw_fd().unsigned_abs()),
    };
    mount_setattr(mount, recursive, &raw)
}

fn mount_setattr(
    mount: BorrowedFd<'_>,
    recursive: bool,
    raw: &libc::mount_attr,
) -> rustix::io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is NUL-terminated and `raw` is a mount_attr of the size passed.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(raw),
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// Changes attributes of the mount that `path` is the root of, as seen from this process.
///
/// # Errors
/// As [`set_attributes`], or that the path does not resolve.
pub fn set_attributes_at(
    path: &CStr,
    recursive: bool,
    attributes: Attributes,
) -> rustix::io::Result<()> {
    let fd = rustix::fs::openat(
        CWD,
        path,
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    set_attributes(fd.as_fd(), recursive, attributes)
}

const fn clone_flags(recursive: bool) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC);
    if recursive { flags.union(OpenTreeFlags::AT_RECURSIVE) } else { flags }
}

/// A detached bind mount of a host path, following symlinks. Does not allocate for a `&CStr`.
///
/// # Errors
/// What `open_tree(2)` says.
pub fn clone_path(path: &CStr, recursive: bool) -> rustix::io::Result<OwnedFd> {
    open_tree(CWD, path, clone_flags(recursive))
}

/// A detached bind mount of what `fd` refers to. Does not allocate.
///
/// # Errors
/// `EINVAL` when `fd` belongs to another mount namespace; else what `open_tree(2)` says.
pub fn clone_fd(fd: BorrowedFd<'_>, recursive: bool) -> rustix::io::Result<OwnedFd> {
    open_tree(fd, c"", clone_flags(recursive) | OpenTreeFlags::AT_EMPTY_PATH)
}

/// Attaches a detached tree (or moves a mount) on top of what `target` refers to; afterwards
/// `tree` refers to the mount in its new place. Does not allocate.
///
/// # Errors
/// `ENOTDIR` when one is a directory and the other is not; else what `move_mount(2)` says.
pub fn attach(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> rustix::io::Result<()> {
    move_mount(
        tree,
        c"",
        target,
        c"",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )
}

/// As [`attach`], onto a host path that no container controls.
///
/// # Errors
/// As [`attach`].
pub fn attach_at(tree: BorrowedFd<'_>, path: &CStr) -> rustix::io::Result<()> {
    move_mount(tree, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// One option for a file system: `key=value`, or a bare flag.
pub type FsOption = (CString, Option<CString>);

/// A detached mount of a new file system instance with mount attributes `attributes`
/// ([`RDONLY`] and its like). Does not allocate.
///
/// # Errors
/// `ENODEV` for an unknown type, `EINVAL` for an option that the file system refuses, `EPERM`
/// without the right to mount it here.
pub fn new_filesystem(
    kind: &CStr,
    source: Option<&CStr>,
    options: &[FsOption],
    attributes: u64,
) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    if let Some(source) = source {
        fsconfig_set_string(&context, c"source", source)?;
    }
    for (key, value) in options {
        match value {
            Some(value) => fsconfig_set_string(&context, key.as_c_str(), value.as_c_str())?,
            None => fsconfig_set_flag(&context, key.as_c_str())?,
        }
    }
    fsconfig_create(&context)?;
    // The attribute bits of fsmount fit in 32 bits; MOUNT_ATTR_IDMAP is not among them.
    let bits = u32::try_from(attributes).or(Err(rustix::io::Errno::INVAL))?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::from_bits_retain(bits))
}

/// Makes the mount behind `root` this mount namespace's root and detaches the former one, with
/// everything on it. Does not allocate.
///
/// Uses `pivot_root(".", ".")`, which needs no directory for the old root inside the new
/// (`pivot_root(2)`, notes).
///
/// # Errors
/// `EINVAL` when `root` is not a mount point, or the current root is the initramfs.
pub fn pivot(root: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let old = rustix::fs::openat(
        CWD,
        c"/",
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    fchdir(root)?;
    pivot_root(c".", c".")?;
    fchdir(&old)?;
    // The unmount must not reach the host through propagation.
    set_attributes(old.as_fd(), true, Attributes { propagation: SLAVE, ..Default::default() })?;
    unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")
}

/// Detaches the mount at a host path, without following a last symlink.
///
/// # Errors
/// `EINVAL` when nothing is mounted there.
pub fn detach(path: impl rustix::path::Arg) -> rustix::io::Result<()> {
    unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
}

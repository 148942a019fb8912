//! The container's file systems. Every path is resolved beneath the root's handle; no function
//! here takes a path of the host but the two that no container controls (`/dev/null`, `/`).

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use corten_sys_linux::mount::{self, Attributes};
use corten_sys_linux::path::{Leaf, RootFd, is_dev_null};
use corten_sys_linux::rustix::io::Errno;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use super::report::{At as _, Failure, Outcome, Step};
use super::{Hierarchy, Prepared, Source, copy_up, sources};
use crate::plan::{Mount, MountKind, Plan};

const PROC_SUPER_MAGIC: i64 = 0x9fa0;
pub(super) const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);

/// The container's root, attached, and the host's null device.
pub(super) struct Root {
    pub(super) fd: RootFd,
    host_null: OwnedFd,
}

impl Root {
    /// Opens the host's `/dev/null` while it can still be reached, and makes sure that it is the
    /// null device: masks are made from it (CVE-2025-31133, CVE-2025-62161).
    pub(super) fn new<'a>(root: OwnedFd) -> Outcome<'a, Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let null = openat(CWD, c"/dev/null", flags, Mode::empty()).at(Step::Null, b"/dev/null")?;
        if !is_dev_null(null.as_fd()).at(Step::Null, b"/dev/null")? {
            return Err(Failure::new(Step::Null, b"/dev/null", Errno::NODEV));
        }
        Ok(Self { fd: RootFd::from(root), host_null: null })
    }

    pub(super) fn open_or_create(&self, path: &CStr, leaf: Leaf) -> rustix::io::Result<OwnedFd> {
        self.fd.open_or_create(path, leaf, DIRECTORY_MODE)
    }
}

/// Attaches the container's root at its place on the host, in this mount namespace only.
pub(super) fn attach<'a>(plan: &'a Plan, prepared: &'a Prepared) -> Outcome<'a, OwnedFd> {
    let path = plan.rootfs_text.to_bytes();
    let tree = match &prepared.root {
        Some(tree) => rustix::io::fcntl_dupfd_cloexec(tree, 0).at(Step::Mount, path)?,
        None => {
            let tree = mount::clone_path(&plan.rootfs_text, true).at(Step::Mount, path)?;
            let propagation = plan.root_propagation.before_pivot;
            let attributes = Attributes { propagation, ..Default::default() };
            mount::set_attributes(tree.as_fd(), true, attributes).at(Step::Propagation, path)?;
            tree
        }
    };
    mount::attach_at(tree.as_fd(), &plan.rootfs_text).at(Step::Mount, path)?;
    Ok(tree)
}

/// All mounts, in the plan's order.
pub(super) fn mounts<'a>(root: &Root, plan: &'a Plan, prepared: &'a Prepared) -> Outcome<'a, ()> {
    plan.mounts
        .iter()
        .zip(&prepared.sources)
        .try_for_each(|(mount, source)| one(root, plan, mount, source))
}

fn one<'a>(root: &Root, plan: &Plan, mount: &'a Mount, source: &'a Source) -> Outcome<'a, ()> {
    let path = mount.destination.to_bytes();
    let deferred = matches!(source, Source::Deferred);
    let opened = if deferred { Some(sources::open(mount)?) } else { None };
    let source = opened.as_ref().unwrap_or(source);
    let leaf = match source {
        Source::Tree(_, false) => Leaf::File,
        Source::Tree(_, true)
        | Source::Fresh
        | Source::Deferred
        | Source::Unified(_)
        | Source::Several(_) => Leaf::Directory,
    };
    let target = root.open_or_create(&mount.destination, leaf).at(Step::Target, path)?;
    if mount.needs_real_directory {
        // Resolved again, this time with symlinks refused: both must be the same directory.
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let plain = openat2(&root.fd, &*mount.destination, flags, Mode::empty(), resolve)
            .at(Step::Target, path)?;
        if !same_file(plain.as_fd(), target.as_fd()).at(Step::Target, path)? {
            return Err(Failure::new(Step::Target, path, Errno::LOOP));
        }
    }
    // The image may have led the path into procfs by a symlink (CVE-2025-54867, CVE-2025-52881).
    let on_proc = rustix::fs::fstatfs(&target).at(Step::Target, path)?.f_type == PROC_SUPER_MAGIC;
    if on_proc && !mount.may_cover_proc {
        return Err(Failure::new(Step::ProcCover, path, Errno::PERM));
    }
    match (source, &mount.kind) {
        (Source::Tree(tree, _) | Source::Unified(tree), _) => {
            only_procfs(mount, tree)?;
            mount::attach(tree.as_fd(), target.as_fd()).at(Step::Mount, path)
        }
        (Source::Several(trees), _) => cgroups(mount, trees, target.as_fd()),
        (Source::Fresh, MountKind::Filesystem { .. }) => {
            let tree = sources::filesystem(plan, mount)?;
            only_procfs(mount, &tree)?;
            if mount.takes_mode {
                let covered = rustix::fs::fstat(&target).at(Step::Target, path)?;
                let mode = Mode::from_raw_mode(covered.st_mode & 0o7777);
                rustix::fs::chmodat(&tree, c".", mode, rustix::fs::AtFlags::empty())
                    .at(Step::Filesystem, path)?;
            }
            if mount.copy_up {
                copy_up::copy(target.as_fd(), tree.as_fd()).at(Step::CopyUp, path)?;
            }
            mount::attach(tree.as_fd(), target.as_fd()).at(Step::Mount, path)?;
            settle(tree.as_fd(), mount)
        }
        (Source::Fresh | Source::Deferred, _) => Err(Failure::new(Step::Mount, path, Errno::INVAL)),
    }
}

/// A program that looks into `/proc` must find the kernel there and not a folder that somebody has
/// filled (CVE-2019-16884).
fn only_procfs<'a>(mount: &'a Mount, tree: &OwnedFd) -> Outcome<'a, ()> {
    let path = mount.destination.to_bytes();
    let kind = rustix::fs::fstatfs(tree).at(Step::ProcReplace, path)?.f_type;
    if path == b"/proc" && kind != PROC_SUPER_MAGIC {
        return Err(Failure::new(Step::ProcReplace, path, Errno::PERM));
    }
    Ok(())
}

/// Propagation and recursive attributes of a new file system.
fn settle<'a>(tree: BorrowedFd<'_>, mount: &'a Mount) -> Outcome<'a, ()> {
    let own = Attributes { propagation: mount.attributes.propagation, ..Default::default() };
    for (recursive, attributes) in [(false, own), (true, mount.recursive_attributes)] {
        if attributes != Attributes::default() {
            mount::set_attributes(tree, recursive, attributes)
                .at(Step::Attributes, mount.destination.to_bytes())?;
        }
    }
    Ok(())
}

/// The container's view of several hierarchies: a tmpfs with a folder for each.
fn cgroups<'a>(
    mount: &'a Mount,
    hierarchies: &[Hierarchy],
    target: BorrowedFd<'_>,
) -> Outcome<'a, ()> {
    let path = mount.destination.to_bytes();
    let readonly = mount.attributes.set & mount::RDONLY;
    let others = mount.attributes.set & !mount::RDONLY;
    let tmpfs =
        mount::new_filesystem(c"tmpfs", Some(c"tmpfs"), &[], others).at(Step::Filesystem, path)?;
    rustix::fs::chmodat(&tmpfs, c".", DIRECTORY_MODE, rustix::fs::AtFlags::empty())
        .at(Step::Filesystem, path)?;
    mount::attach(tmpfs.as_fd(), target).at(Step::Mount, path)?;
    for Hierarchy { name, links, tree } in hierarchies {
        rustix::fs::mkdirat(&tmpfs, name.as_c_str(), DIRECTORY_MODE).at(Step::Target, path)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder =
            openat(&tmpfs, name.as_c_str(), flags, Mode::empty()).at(Step::Target, path)?;
        mount::attach(tree.as_fd(), folder.as_fd()).at(Step::Mount, path)?;
        for link in links {
            rustix::fs::symlinkat(name.as_c_str(), &tmpfs, link.as_c_str())
                .at(Step::Target, path)?;
        }
    }
    if readonly != 0 {
        let attributes = Attributes { set: readonly, ..Default::default() };
        mount::set_attributes(tmpfs.as_fd(), false, attributes).at(Step::Attributes, path)?;
    }
    Ok(())
}

/// What has to wait until everything is mounted: the working directory, read-only and masked paths,
/// the root's own mode.
pub(super) fn finish<'a>(root: &Root, plan: &'a Plan) -> Outcome<'a, ()> {
    // A working directory that the image does not have is made, as other runtimes do. Where it
    // cannot be (read-only volumes), the change of directory says so later.
    drop(root.open_or_create(&plan.process.cwd, Leaf::Directory));
    for path in &plan.readonly_paths {
        readonly(root, path)?;
    }
    let mut empty = None;
    for path in &plan.masked_paths {
        mask(root, plan, path, &mut empty)?;
    }
    let readonly = Attributes { set: mount::RDONLY, ..Default::default() };
    for mount in plan.mounts.iter().filter(|mount| mount.late_readonly) {
        let path = mount.destination.to_bytes();
        let top = root.fd.open(&*mount.destination, OFlags::PATH).at(Step::Readonly, path)?;
        mount::set_attributes(top.as_fd(), false, readonly).at(Step::Readonly, path)?;
    }
    if plan.rootfs_readonly {
        mount::set_attributes(root.fd.as_fd(), false, readonly).at(Step::Readonly, b"/")?;
    }
    Ok(())
}

fn readonly<'a>(root: &Root, path: &'a CStr) -> Outcome<'a, ()> {
    let bytes = path.to_bytes();
    let Some(target) = find(root, path, Step::Readonly)? else { return Ok(()) };
    let tree = mount::clone_fd(target.as_fd(), true).at(Step::Readonly, bytes)?;
    let attributes =
        Attributes { set: mount::RDONLY, propagation: mount::PRIVATE, ..Default::default() };
    mount::set_attributes(tree.as_fd(), true, attributes).at(Step::Readonly, bytes)?;
    mount::attach(tree.as_fd(), target.as_fd()).at(Step::Readonly, bytes)
}

/// Hides a file behind the null device and a directory behind an empty one that cannot be written;
/// all masked directories share one file system.
fn mask<'a>(
    root: &Root,
    plan: &Plan,
    path: &'a CStr,
    empty: &mut Option<OwnedFd>,
) -> Outcome<'a, ()> {
    let bytes = path.to_bytes();
    let Some(target) = find(root, path, Step::Mask)? else { return Ok(()) };
    let stat = rustix::fs::fstat(&target).at(Step::Mask, bytes)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::Directory {
        let null = mount::clone_fd(root.host_null.as_fd(), false).at(Step::Mask, bytes)?;
        return mount::attach(null.as_fd(), target.as_fd()).at(Step::Mask, bytes);
    }
    let tree = match empty {
        // Attached by now, so it can be copied.
        Some(first) => mount::clone_fd(first.as_fd(), false).at(Step::Mask, bytes)?,
        None => {
            let attributes = mount::RDONLY | mount::NOSUID | mount::NODEV | mount::NOEXEC;
            mount::new_filesystem(c"tmpfs", Some(c"tmpfs"), &plan.mask_options, attributes)
                .at(Step::Mask, bytes)?
        }
    };
    mount::attach(tree.as_fd(), target.as_fd()).at(Step::Mask, bytes)?;
    empty.get_or_insert(tree);
    Ok(())
}

/// What a path names, if anything: a kernel without the file has nothing to hide.
fn find<'a>(root: &Root, path: &'a CStr, step: Step) -> Outcome<'a, Option<OwnedFd>> {
    match root.fd.open(path, OFlags::PATH) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(Failure::new(step, path.to_bytes(), errno)),
    }
}

/// Makes the container's root the root.
pub(super) fn switch<'a>(root: &Root, plan: &'a Plan) -> Outcome<'a, ()> {
    let path = plan.rootfs_text.to_bytes();
    if plan.no_pivot {
        rustix::process::fchdir(&root.fd).at(Step::Pivot, path)?;
        mount::attach_at(root.fd.as_fd(), c"/").at(Step::Pivot, path)?;
        rustix::process::chroot(c".").at(Step::Pivot, path)?;
        rustix::process::chdir(c"/").at(Step::Pivot, path)?;
    } else {
        mount::pivot(root.fd.as_fd()).at(Step::Pivot, path)?;
    }
    if plan.root_propagation.after_pivot != 0 {
        let attributes =
            Attributes { propagation: plan.root_propagation.after_pivot, ..Default::default() };
        mount::set_attributes(root.fd.as_fd(), plan.root_propagation.recursive, attributes)
            .at(Step::Propagation, b"/")?;
    }
    Ok(())
}

fn same_file(one: BorrowedFd<'_>, two: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    let (one, two) = (rustix::fs::fstat(one)?, rustix::fs::fstat(two)?);
    Ok((one.st_dev, one.st_ino) == (two.st_dev, two.st_ino))
}

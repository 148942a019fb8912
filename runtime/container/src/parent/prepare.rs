//! What is opened or written for the child, before and just after it is made.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use corten_runtime_cgroup::{Cgroup, Version};
use corten_sys_linux::mount::{self, Attributes};
use corten_sys_linux::procfs::ProcFs;
use corten_sys_linux::{SysError, ns};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::process::Pid;

use super::idmap::IdMaps;
use super::rights::Rights;
use crate::child::{Hierarchy, Prepared, Source, set_bind_attributes};
use crate::plan::{Mount, MountKind, Plan, Process};
use crate::{CreateError, PlanError};

/// Opens the root, the sources of bind mounts and the namespaces to join.
pub(super) fn open(
    plan: &Plan,
    group: Option<&Cgroup>,
    rights: Rights,
) -> Result<Prepared, CreateError> {
    let join = plan
        .namespaces
        .join
        .iter()
        .map(|(kind, path)| {
            let name = || format!("linux.namespaces ({})", kind.name());
            ns::open(path).map(|fd| (*kind, fd)).map_err(|source| field(name(), source))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let bind_devices = plan.namespaces.in_user() || !rights.first_user_namespace;
    if !rights.privileged {
        // Nothing can be mounted from here; the child can, in its user namespace.
        if let Some(mount) = plan.mounts.iter().find(|mount| mount.idmap.is_some()) {
            let reason = "an unprivileged user cannot map the ids of a mount".to_owned();
            let field = format!("{}.uidMappings", mount.field);
            return Err(PlanError::Unsupported { field, reason }.into());
        }
        let sources = plan.mounts.iter().map(|mount| match mount.kind {
            MountKind::Filesystem { .. } => Source::Fresh,
            MountKind::Bind { .. } | MountKind::Cgroup => Source::Deferred,
        });
        let sources = sources.collect();
        return Ok(Prepared { root: None, sources, join, bind_devices, privileged: false });
    }
    let root = tree(&plan.rootfs_text, true, "root.path")?;
    if !is_directory(&root).map_err(|source| field("root.path", source))? {
        return Err(field(
            "root.path",
            SysError::of("open_tree", || plan.rootfs.display().to_string())(Errno::NOTDIR),
        ));
    }
    let attributes =
        Attributes { propagation: plan.root_propagation.before_pivot, ..Default::default() };
    set(&root, true, attributes, "root.path")?;
    let mut id_maps = IdMaps::new(plan, &join);
    let sources =
        plan.mounts.iter().map(|one| source(one, group, &mut id_maps)).collect::<Result<_, _>>()?;
    Ok(Prepared { root: Some(root), sources, join, bind_devices, privileged: true })
}

fn field(field: impl Into<String>, source: SysError) -> CreateError {
    CreateError::Prepare { field: field.into(), source }
}

fn tree(path: &CStr, recursive: bool, name: &str) -> Result<OwnedFd, CreateError> {
    let describe = || path.to_string_lossy();
    mount::clone_path(path, recursive)
        .map_err(SysError::of("open_tree", describe))
        .map_err(|source| field(name, source))
}

fn is_directory(fd: &OwnedFd) -> Result<bool, SysError> {
    let stat = rustix::fs::fstat(fd).map_err(SysError::of("fstat", || "the source"))?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn set(
    tree: &OwnedFd,
    recursive: bool,
    attributes: Attributes,
    name: &str,
) -> Result<(), CreateError> {
    if attributes == Attributes::default() {
        return Ok(());
    }
    mount::set_attributes(tree.as_fd(), recursive, attributes)
        .map_err(SysError::of("mount_setattr", || format!("{attributes:x?}")))
        .map_err(|source| field(name, source))
}

fn source(
    mount: &Mount,
    group: Option<&Cgroup>,
    id_maps: &mut IdMaps<'_>,
) -> Result<Source, CreateError> {
    match &mount.kind {
        MountKind::Filesystem { .. } => Ok(Source::Fresh),
        MountKind::Bind { source, recursive } => {
            let name = format!("{}.source", mount.field);
            let tree = tree(source, *recursive, &name)?;
            let directory = is_directory(&tree).map_err(|source| field(name, source))?;
            id_maps.apply(&tree, mount)?;
            attributes(&tree, mount)?;
            Ok(Source::Tree(tree, directory))
        }
        MountKind::Cgroup => group.map_or(Ok(Source::Deferred), |group| cgroups(mount, group)),
    }
}

fn attributes(tree: &OwnedFd, mount: &Mount) -> Result<(), CreateError> {
    set_bind_attributes(tree, mount)
        .map_err(SysError::of("mount_setattr", || format!("{:x?}", mount.attributes)))
        .map_err(|source| field(&mount.field, source))
}

/// The container sees its own cgroups, by bind mounts of just these: with a cgroup namespace or
/// without, the host's others are not reachable from there (CVE-2023-25809).
fn cgroups(mount: &Mount, group: &Cgroup) -> Result<Source, CreateError> {
    let mut made = Vec::new();
    let mut unified = false;
    for (point, version) in group.hierarchies().mounts() {
        let path = point.join(group.path().as_str().trim_start_matches('/'));
        let text = |bytes: &[u8]| {
            CString::new(bytes)
                .or(Err(Errno::INVAL))
                .map_err(SysError::of("open_tree", || path.display().to_string()))
                .map_err(|source| field(&mount.field, source))
        };
        let tree = tree(&text(path.as_os_str().as_bytes())?, false, &mount.field)?;
        attributes(&tree, mount)?;
        unified = version == Version::V2;
        let name = point.file_name().map(OsStrExt::as_bytes).unwrap_or(b"cgroup");
        // As the host has it: "cpu" and "cpuacct" lead to "cpu,cpuacct".
        let parts = name.split(|byte| *byte == b',').filter(|part| *part != name);
        let links = parts.map(text).collect::<Result<_, _>>()?;
        made.push(Hierarchy { name: text(name)?, links, tree });
    }
    if unified && made.len() == 1 {
        return Ok(made.pop().map_or(Source::Fresh, |one| Source::Unified(one.tree)));
    }
    Ok(Source::Several(made))
}

/// Sets the score; where this process lacks `CAP_SYS_RESOURCE` and the wanted one is below its own,
/// its own is the lowest there is, and a warning says so.
pub(super) fn oom_score(
    process: &Process,
    pid: Pid,
    warnings: &mut Vec<String>,
) -> Result<(), CreateError> {
    let Some(wanted) = process.oom_score_adj else { return Ok(()) };
    let step = |source| CreateError::Parent { step: "set process.oomScoreAdj", source };
    let proc = ProcFs::open().map_err(SysError::of("fsopen", || "proc")).map_err(step)?;
    let file = format!("{}/oom_score_adj", pid.as_raw_nonzero());
    match proc.set(&file, &wanted.to_string()) {
        Err(SysError { errno: Errno::ACCESS, .. }) => {
            let own = proc.read("self/oom_score_adj", 64).map_err(step)?;
            let own = String::from_utf8_lossy(&own).trim().to_owned();
            proc.set(&file, &own).map_err(step)?;
            warnings.push(format!(
                "process.oomScoreAdj {wanted} needs CAP_SYS_RESOURCE; it is {own} instead"
            ));
            Ok(())
        }
        other => other.map_err(step),
    }
}

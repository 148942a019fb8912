//! `mounts`: options sorted into mount attributes, propagation and file system options.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use corten_sys_linux::mount::{self, Attributes, FsOption};
use oci_spec::runtime::Spec;

use super::c_string;
use super::mount_options::Options;
use super::namespaces::{self, IdMap};
use crate::PlanError;

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MountKind {
    /// A host path.
    Bind {
        /// Which.
        source: CString,
        /// With what is mounted below it.
        recursive: bool,
    },
    /// The container's own cgroups.
    Cgroup,
    /// A new instance of a file system.
    Filesystem {
        /// Its type.
        kind: CString,
        /// What it is called in the mount table, or its device.
        source: Option<CString>,
        /// Its options.
        options: Vec<FsOption>,
    },
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Where in the specification, for errors.
    pub(crate) field: String,
    /// Where in the container.
    pub(crate) destination: CString,
    pub(crate) kind: MountKind,
    /// For the mount itself.
    pub(crate) attributes: Attributes,
    /// For it and all below it (`rro` and its like, `rprivate`).
    pub(crate) recursive_attributes: Attributes,
    /// Made read-only after the devices, or what it covers, have been put into it.
    pub(crate) late_readonly: bool,
    /// Filled with what the image has at its place.
    pub(crate) copy_up: bool,
    /// Its root gets the mode of the directory that it covers.
    pub(crate) takes_mode: bool,
    /// Shows other owners than its files have.
    pub(crate) idmap: Option<MountIdMap>,
    /// It may be mounted on a file of procfs.
    pub(crate) may_cover_proc: bool,
    /// Its target must be a real directory, no symlink (CVE-2025-54867: a link would let an image
    /// place procfs or sysfs, and what is done to them later, anywhere).
    pub(crate) needs_real_directory: bool,
}

/// How an id-mapped mount maps (config.md, "uidMappings").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountIdMap {
    /// Mounts below as well.
    pub(crate) recursive: bool,
    /// User and group ids; `None` for the mapping of the container's user namespace.
    pub(crate) ids: Option<(Vec<IdMap>, Vec<IdMap>)>,
}

fn idmap(
    given: &oci_spec::runtime::Mount,
    options: &Options,
    bind: bool,
    field: &str,
) -> Result<Option<MountIdMap>, PlanError> {
    let uids = namespaces::map(given.uid_mappings().as_deref(), &format!("{field}.uidMappings"))?;
    let gids = namespaces::map(given.gid_mappings().as_deref(), &format!("{field}.gidMappings"))?;
    let ids = match (uids.is_empty(), gids.is_empty()) {
        (true, true) if options.idmap.is_none() => return Ok(None),
        (true, true) => None,
        (false, false) => Some((uids, gids)),
        (true, false) => {
            return Err(PlanError::invalid(
                format!("{field}.uidMappings"),
                "is missing beside gidMappings",
            ));
        }
        (false, true) => {
            return Err(PlanError::invalid(
                format!("{field}.gidMappings"),
                "is missing beside uidMappings",
            ));
        }
    };
    if !bind {
        let reason = "only bind mounts can be id-mapped here";
        return Err(PlanError::unsupported(format!("{field}.uidMappings"), reason));
    }
    Ok(Some(MountIdMap { recursive: options.idmap.unwrap_or(false), ids }))
}

/// What may be mounted on inside `/proc`: what lxcfs and its like give a container's view of.
/// Anything else could redirect what a runtime writes or a container reads there.
const PROC_COVERABLE: [&[u8]; 12] = [
    b"/proc/cpuinfo",
    b"/proc/diskstats",
    b"/proc/meminfo",
    b"/proc/stat",
    b"/proc/swaps",
    b"/proc/uptime",
    b"/proc/loadavg",
    b"/proc/slabinfo",
    b"/proc/net/dev",
    b"/proc/sys/kernel/ns_last_pid",
    b"/proc/sys/crypto/fips_enabled",
    b"/proc/acpi",
];

impl Mount {
    /// Adds the label for all files of a new file system. The kernel's own views label themselves.
    pub(super) fn label(&mut self, label: &CString) {
        if let MountKind::Filesystem { kind, options, .. } = &mut self.kind
            && !matches!(kind.to_bytes(), b"proc" | b"sysfs" | b"mqueue")
            && !options.iter().any(|one| one.0.to_bytes().ends_with(b"context"))
        {
            options.push((c"context".to_owned(), Some(label.clone())));
        }
    }

    /// Whether this bind mount takes the place of `/dev`, nodes and all.
    pub(crate) fn replaces_dev(&self) -> bool {
        matches!(self.kind, MountKind::Bind { .. }) && self.destination.to_bytes() == b"/dev"
    }
}

pub(super) fn plan(spec: &Spec, bundle: &Path) -> Result<Vec<Mount>, PlanError> {
    spec.mounts()
        .iter()
        .flatten()
        .enumerate()
        .map(|(index, mount)| one(mount, index, bundle))
        .collect()
}

fn one(given: &oci_spec::runtime::Mount, index: usize, bundle: &Path) -> Result<Mount, PlanError> {
    let field = format!("mounts[{index}]");
    let destination = clean(given.destination(), &field)?;
    let mut options = Options::default();
    for (number, option) in given.options().iter().flatten().enumerate() {
        options.add(option, &format!("{field}.options[{number}]"))?;
    }
    let typ = given.typ().as_deref().unwrap_or("");
    let bind = options.bind || typ == "bind";
    let idmap = idmap(given, &options, bind, &field)?;
    if options.copy_up && (typ != "tmpfs" || bind) {
        return Err(PlanError::invalid(format!("{field}.options"), "tmpcopyup is for tmpfs only"));
    }
    let kind = if bind {
        let source = given.source().as_ref().filter(|source| !source.as_os_str().is_empty());
        let source = source.ok_or_else(|| {
            PlanError::invalid(format!("{field}.source"), "a bind mount needs one")
        })?;
        if let Some((name, _)) = options.data.first() {
            return Err(PlanError::invalid(
                format!("{field}.options"),
                format!("{:?} means nothing to a bind mount", name.to_string_lossy()),
            ));
        }
        let source = bundle.join(source);
        let source = c_string(&format!("{field}.source"), source.as_os_str().as_bytes())?;
        MountKind::Bind { source, recursive: options.recursive }
    } else if typ == "cgroup" || typ == "cgroup2" {
        MountKind::Cgroup
    } else if typ.is_empty() || typ == "none" {
        return Err(PlanError::invalid(
            format!("{field}.type"),
            "is missing, and options have neither bind nor rbind",
        ));
    } else {
        let source = given.source().as_ref().map(|source| source.as_os_str().as_bytes());
        let readonly = options.attributes.set & mount::RDONLY != 0;
        if readonly && source.is_some_and(|source| source.starts_with(b"/")) {
            // A device that is read-only itself can be mounted in no other way.
            options.data.push((c"ro".to_owned(), None));
        }
        if typ == "overlay" {
            split_layers(&mut options.data);
        }
        MountKind::Filesystem {
            kind: c_string(&format!("{field}.type"), typ.as_bytes())?,
            source: source.map(|text| c_string(&format!("{field}.source"), text)).transpose()?,
            options: options.data,
        }
    };
    // As with other runtimes: a tmpfs is as open as the directory that it covers.
    let takes_mode = matches!(&kind, MountKind::Filesystem { kind, options, .. }
        if kind.as_c_str() == c"tmpfs" && !options.iter().any(|one| one.0.as_c_str() == c"mode"));
    let late_readonly =
        options.attributes.set & mount::RDONLY != 0 && destination.as_slice() == b"/dev" && !bind;
    let mut attributes = options.attributes;
    let read_only_once_filled =
        (options.copy_up || takes_mode) && attributes.set & mount::RDONLY != 0;
    if late_readonly || read_only_once_filled {
        attributes.set &= !mount::RDONLY;
    }
    let proc_child = destination.starts_with(b"/proc/");
    let may_cover_proc = PROC_COVERABLE.contains(&destination.as_slice());
    if proc_child && !may_cover_proc {
        return Err(PlanError::invalid(
            format!("{field}.destination"),
            "is inside /proc and not one of the files that may be covered there",
        ));
    }
    Ok(Mount {
        destination: c_string(&format!("{field}.destination"), &destination)?,
        field,
        kind,
        attributes,
        recursive_attributes: options.recursive_attributes,
        late_readonly: late_readonly || read_only_once_filled,
        copy_up: options.copy_up,
        takes_mode,
        idmap,
        may_cover_proc,
        needs_real_directory: matches!(typ, "proc" | "sysfs") && !bind,
    })
}

/// A file system's option may have 255 bytes (fsconfig(2)); more layers than go into that are told
/// one by one (Linux 6.7).
fn split_layers(options: &mut Vec<FsOption>) {
    const VALUE_BYTES_MAX: usize = 255;
    let long = |option: &FsOption| {
        option.0.as_c_str() == c"lowerdir"
            && option.1.as_ref().is_some_and(|value| value.to_bytes().len() > VALUE_BYTES_MAX)
    };
    let Some(at) = options.iter().position(long) else { return };
    let Some(value) = options.remove(at).1 else { return };
    let mut layers: Vec<Vec<u8>> = vec![Vec::new()];
    let mut bytes = value.to_bytes().iter();
    while let Some(byte) = bytes.next() {
        match (byte, layers.last_mut()) {
            (b':', _) => layers.push(Vec::new()),
            // An escaped separator is part of a name, and the single form takes it plain.
            (b'\\', Some(layer)) => layer.extend(bytes.next()),
            (_, Some(layer)) => layer.push(*byte),
            (_, None) => (),
        }
    }
    let layers = layers.into_iter().filter_map(|layer| CString::new(layer).ok());
    options.splice(at..at, layers.map(|layer| (c"lowerdir+".to_owned(), Some(layer))));
}

/// An absolute path without empty parts, `.` and `..`; relative ones start at the root, as with
/// other runtimes.
fn clean(path: &Path, field: &str) -> Result<Vec<u8>, PlanError> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.as_os_str().as_bytes().split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => (),
            b".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    if parts.is_empty() {
        return Err(PlanError::invalid(
            format!("{field}.destination"),
            "is the root itself; set root.path instead",
        ));
    }
    Ok(parts.iter().flat_map(|part| b"/".iter().chain(part.iter()).copied()).collect())
}

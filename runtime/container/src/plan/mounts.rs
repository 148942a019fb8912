//! `mounts`: options sorted into mount attributes, propagation and file system options.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use corten_sys_linux::mount::{self, Attributes, FsOption};
use oci_spec::runtime::Spec;

use super::c_string;
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
    /// Made read-only after the devices have been put into it.
    pub(crate) late_readonly: bool,
    /// It may be mounted on a file of procfs.
    pub(crate) may_cover_proc: bool,
    /// Its target must be a real directory, no symlink (CVE-2025-54867: a link would let an image
    /// place procfs or sysfs, and what is done to them later, anywhere).
    pub(crate) needs_real_directory: bool,
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
    if given.uid_mappings().as_ref().is_some_and(|map| !map.is_empty()) {
        return Err(PlanError::unsupported(
            format!("{field}.uidMappings"),
            "id-mapped mounts are not honoured yet",
        ));
    }
    let mut options = Options::default();
    for (number, option) in given.options().iter().flatten().enumerate() {
        options.add(option, &format!("{field}.options[{number}]"))?;
    }
    let typ = given.typ().as_deref().unwrap_or("");
    let bind = options.bind || typ == "bind";
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
        MountKind::Filesystem {
            kind: c_string(&format!("{field}.type"), typ.as_bytes())?,
            source: source.map(|text| c_string(&format!("{field}.source"), text)).transpose()?,
            options: options.data,
        }
    };
    let late_readonly =
        options.attributes.set & mount::RDONLY != 0 && destination.as_slice() == b"/dev" && !bind;
    let mut attributes = options.attributes;
    if late_readonly {
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
        late_readonly,
        may_cover_proc,
        needs_real_directory: matches!(typ, "proc" | "sysfs") && !bind,
    })
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

/// fstab-style options, sorted.
#[derive(Debug, Default)]
struct Options {
    bind: bool,
    recursive: bool,
    attributes: Attributes,
    recursive_attributes: Attributes,
    data: Vec<FsOption>,
}

/// Option, bits it sets, bits it clears (runtime-spec, config.md, "Linux mount options"); with an
/// `r` before it an option holds for everything below as well.
const ATTRIBUTES: [(&str, u64, u64); 16] = [
    ("ro", mount::RDONLY, 0),
    ("rw", 0, mount::RDONLY),
    ("nosuid", mount::NOSUID, 0),
    ("suid", 0, mount::NOSUID),
    ("nodev", mount::NODEV, 0),
    ("dev", 0, mount::NODEV),
    ("noexec", mount::NOEXEC, 0),
    ("exec", 0, mount::NOEXEC),
    ("nodiratime", mount::NODIRATIME, 0),
    ("diratime", 0, mount::NODIRATIME),
    ("nosymfollow", mount::NOSYMFOLLOW, 0),
    ("symfollow", 0, mount::NOSYMFOLLOW),
    ("noatime", mount::NOATIME, mount::ATIME_MASK),
    ("strictatime", mount::STRICTATIME, mount::ATIME_MASK),
    ("relatime", 0, mount::ATIME_MASK),
    ("atime", 0, mount::ATIME_MASK),
];

const PROPAGATION: [(&str, u64); 4] = [
    ("private", mount::PRIVATE),
    ("slave", mount::SLAVE),
    ("shared", mount::SHARED),
    ("unbindable", mount::UNBINDABLE),
];

impl Options {
    fn add(&mut self, option: &str, field: &str) -> Result<(), PlanError> {
        let recursive = option.strip_prefix('r');
        if let Some((_, set, clear)) = find(&ATTRIBUTES, option, |one| one.0) {
            self.attributes.merge(*set, *clear);
        } else if let Some((_, bits)) = find(&PROPAGATION, option, |one| one.0) {
            self.attributes.propagation = *bits;
        } else if let Some((_, set, clear)) =
            recursive.and_then(|plain| find(&ATTRIBUTES, plain, |one| one.0))
        {
            self.recursive_attributes.merge(*set, *clear);
        } else if let Some((_, bits)) =
            recursive.and_then(|plain| find(&PROPAGATION, plain, |one| one.0))
        {
            self.recursive_attributes.propagation = *bits;
        } else {
            self.add_other(option, field)?;
        }
        Ok(())
    }

    fn add_other(&mut self, option: &str, field: &str) -> Result<(), PlanError> {
        match option {
            "bind" => self.bind = true,
            "rbind" => (self.bind, self.recursive) = (true, true),
            // What a new mount has anyway; and one that mount(8) reads but no kernel.
            "defaults" | "" | "async" | "noiversion" | "nolazytime" | "loud" | "nomand"
            | "norelatime" | "nostrictatime" | "auto" | "noauto" | "nouser" => (),
            "idmap" | "ridmap" | "tmpcopyup" | "remount" | "copy-symlink" => {
                return Err(PlanError::unsupported(
                    field,
                    format!("the option {option:?} is not honoured yet"),
                ));
            }
            data => {
                let (key, value) = match data.split_once('=') {
                    Some((key, value)) => (key, Some(c_string(field, value.as_bytes())?)),
                    None => (data, None),
                };
                self.data.push((c_string(field, key.as_bytes())?, value));
            }
        }
        Ok(())
    }
}

fn find<'a, T>(table: &'a [T], name: &str, key: impl Fn(&T) -> &str) -> Option<&'a T> {
    table.iter().find(|one| key(one) == name)
}

trait Merge {
    fn merge(&mut self, set: u64, clear: u64);
}

impl Merge for Attributes {
    /// A later option wins over an earlier one.
    fn merge(&mut self, set: u64, clear: u64) {
        let atime = (clear & mount::ATIME_MASK) != 0;
        if atime {
            self.set &= !mount::ATIME_MASK;
        }
        self.set = (self.set & !clear) | set;
        self.clear = (self.clear & !set) | clear;
        if atime {
            // One field of several bits: it has to be cleared whole before it is set.
            self.clear |= mount::ATIME_MASK;
        }
    }
}

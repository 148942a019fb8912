//! From specification to plan: every string laid out, every field either understood or refused.

mod devices;
mod hooks;
mod mount_options;
mod mounts;
mod namespaces;
mod net_devices;
mod process;
mod rdt;
pub(crate) mod resources;
mod seccomp;
#[cfg(test)]
mod tests;
mod tuning;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use corten_runtime_cgroup::{CgroupPath, Resources, Unit};
use corten_sys_linux::{clone, mount};
use oci_spec::runtime::{Linux, Spec};

pub(crate) use devices::{DEFAULT_DEVICES, DEV_LINKS, Device};
pub(crate) use hooks::{Hook, Hooks};
pub(crate) use mount_options::all as mount_options;
pub(crate) use mounts::{Mount, MountKind};
pub(crate) use namespaces::{IdMap, Namespaces};
pub(crate) use net_devices::NetDevice;
pub(crate) use process::Process;
pub(crate) use rdt::Rdt;
pub(crate) use seccomp::{Load, Seccomp};
pub(crate) use tuning::Tuning;

use process::environment;

use crate::{ContainerId, PlanError};

/// What the caller adds to the specification.
#[derive(Debug, Clone)]
pub struct PlanOptions<'a> {
    /// The bundle's folder, absolute: relative paths of the specification start there.
    pub bundle: &'a Path,
    /// Move the root mount instead of `pivot_root(2)`: for hosts that run from the initramfs.
    pub no_pivot: bool,
    /// Stay in the caller's session keyring.
    pub no_new_keyring: bool,
    /// How many descriptors from number 3 on the program inherits.
    pub preserve_fds: u32,
    /// A limit whose controller is nowhere available is a warning instead of an error.
    pub allow_missing_controllers: bool,
    /// Have systemd make the cgroup; `linux.cgroupsPath` is then `slice:prefix:name`.
    pub systemd: bool,
}

impl<'a> PlanOptions<'a> {
    /// Nothing but the bundle.
    #[must_use]
    pub fn new(bundle: &'a Path) -> Self {
        Self {
            bundle,
            no_pivot: false,
            no_new_keyring: false,
            preserve_fds: 0,
            allow_missing_controllers: false,
            systemd: false,
        }
    }
}

/// How mounts pass between the container and the host, for its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RootPropagation {
    /// What the detached root, and all below it, gets before it is attached: were it still shared
    /// with the host, every mount in the container would show there.
    pub(crate) before_pivot: u64,
    /// What it gets once it is the root; 0 for nothing.
    pub(crate) after_pivot: u64,
    /// Whether mounts below the root get it as well.
    pub(crate) recursive: bool,
}

/// A container, ready to be made. Opaque: made by [`Plan::new`], used by [`crate::create`].
#[derive(Debug)]
pub struct Plan {
    pub(crate) id: ContainerId,
    pub(crate) oci_version: String,
    pub(crate) bundle: PathBuf,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) rootfs: PathBuf,
    pub(crate) rootfs_text: CString,
    pub(crate) rootfs_readonly: bool,
    pub(crate) root_propagation: RootPropagation,
    pub(crate) no_pivot: bool,
    pub(crate) namespaces: Namespaces,
    pub(crate) hostname: Option<CString>,
    pub(crate) domainname: Option<CString>,
    pub(crate) mounts: Vec<Mount>,
    /// `/dev` is the container's own, so nodes and links are made in it.
    pub(crate) set_up_dev: bool,
    pub(crate) devices: Vec<Device>,
    /// SELinux's label for what is mounted new.
    pub(crate) mount_label: Option<CString>,
    /// Options of the file system behind masked directories.
    pub(crate) mask_options: Vec<mount::FsOption>,
    pub(crate) masked_paths: Vec<CString>,
    pub(crate) readonly_paths: Vec<CString>,
    /// Files below `/proc`, and what is written to them.
    pub(crate) sysctls: Vec<(CString, CString)>,
    pub(crate) net_devices: Vec<NetDevice>,
    pub(crate) rdt: Option<Rdt>,
    pub(crate) cgroup: CgroupPath,
    /// systemd's unit for that cgroup, with its driver.
    pub(crate) unit: Option<Unit>,
    pub(crate) resources: Resources,
    /// A cgroup or a limit is asked for, so that going without would be a lie.
    pub(crate) needs_cgroup: bool,
    /// The user of the host who is to own the cgroup.
    pub(crate) cgroup_owner: Option<u32>,
    pub(crate) seccomp: Option<Seccomp>,
    /// `_ses.<id>`, unless the caller's keyring is kept.
    pub(crate) keyring: Option<CString>,
    pub(crate) process: Process,
    pub(crate) hooks: Hooks,
    /// The hooks that run in later calls, as JSON to be kept; none if there are none.
    pub(crate) later_hooks: Option<Vec<u8>>,
}

impl Plan {
    /// Reads a specification. Makes no system call.
    ///
    /// # Errors
    /// The first field that makes no sense or cannot be honoured, by its JSON path.
    pub fn new(
        id: &ContainerId,
        spec: &Spec,
        options: &PlanOptions<'_>,
    ) -> Result<Self, PlanError> {
        refuse_unsupported(spec)?;
        let linux =
            spec.linux().as_ref().ok_or_else(|| PlanError::invalid("linux", "is missing"))?;
        let root = spec.root().as_ref().ok_or_else(|| PlanError::invalid("root", "is missing"))?;
        let process =
            spec.process().as_ref().ok_or_else(|| PlanError::invalid("process", "is missing"))?;
        if !options.bundle.is_absolute() {
            return Err(PlanError::invalid("the bundle", "must be an absolute path"));
        }
        if root.path().as_os_str().is_empty() {
            return Err(PlanError::invalid("root.path", "is empty"));
        }
        let rootfs = options.bundle.join(root.path());
        let namespaces = Namespaces::new(linux)?;
        let (cgroup, unit) = cgroup_place(id, linux, options.systemd)?;
        let mount_label = linux.mount_label().as_deref().filter(|label| !label.is_empty());
        let mount_label =
            mount_label.map(|label| c_string("linux.mountLabel", label.as_bytes())).transpose()?;
        let mut mounts = mounts::plan(spec, options.bundle)?;
        if let Some(label) = &mount_label {
            mounts.iter_mut().for_each(|mount| mount.label(label));
        }
        let mut process = Process::new(process, "process")?;
        process.preserve_fds = options.preserve_fds;
        process.tuning.add_container(linux)?;
        // These are for what is executed in it later.
        (process.tuning.cpus_initial, process.tuning.cpus_final) = (None, None);
        let keyring = (!options.no_new_keyring)
            .then(|| c_string("container id", format!("_ses.{id}").as_bytes()))
            .transpose()?;
        Ok(Self {
            id: id.clone(),
            oci_version: spec.version().clone(),
            bundle: options.bundle.to_owned(),
            annotations: spec.annotations().clone().unwrap_or_default().into_iter().collect(),
            rootfs_text: c_string("root.path", rootfs.as_os_str().as_bytes())?,
            rootfs,
            rootfs_readonly: root.readonly().unwrap_or(false),
            root_propagation: root_propagation(linux)?,
            no_pivot: options.no_pivot,
            hostname: name(spec.hostname().as_deref(), "hostname", namespaces.own_uts())?,
            domainname: name(spec.domainname().as_deref(), "domainname", namespaces.own_uts())?,
            set_up_dev: !mounts.iter().any(Mount::replaces_dev),
            devices: devices::plan(linux)?,
            mask_options: mount_label
                .iter()
                .map(|label| (c"context".to_owned(), Some(label.clone())))
                .collect(),
            mount_label,
            masked_paths: paths(linux.masked_paths().as_deref(), "linux.maskedPaths")?,
            readonly_paths: paths(linux.readonly_paths().as_deref(), "linux.readonlyPaths")?,
            sysctls: sysctls(linux, &namespaces)?,
            net_devices: net_devices::plan(linux, &namespaces)?,
            rdt: rdt::plan(id, linux)?,
            cgroup,
            unit,
            needs_cgroup: resources::any(linux)
                || linux.cgroups_path().as_ref().is_some_and(|path| !path.as_os_str().is_empty()),
            cgroup_owner: cgroup_owner(&namespaces, &mounts, process.uid.as_raw()),
            resources: resources::plan(linux, options.allow_missing_controllers)?,
            seccomp: Seccomp::new(linux)?,
            mounts,
            namespaces,
            keyring,
            process,
            hooks: Hooks::new(spec.hooks().as_ref())?,
            later_hooks: hooks::later(spec.hooks().as_ref()),
        })
    }
}

/// What is another platform's. A specification that asks for it is not meant for this runtime.
fn refuse_unsupported(spec: &Spec) -> Result<(), PlanError> {
    let why = "this runtime makes Linux containers; remove the field";
    let refuse = |present: bool, field: &str| {
        if present { Err(PlanError::unsupported(field, why)) } else { Ok(()) }
    };
    refuse(spec.solaris().is_some(), "solaris")?;
    refuse(spec.windows().is_some(), "windows")?;
    refuse(spec.vm().is_some(), "vm")?;
    refuse(spec.zos().is_some(), "zos")
}

/// A string of the specification as the kernel takes it.
pub(crate) fn c_string(field: &str, text: &[u8]) -> Result<CString, PlanError> {
    CString::new(text).map_err(|_nul| PlanError::invalid(field, "has a zero byte"))
}

fn name(
    value: Option<&str>,
    field: &str,
    own_namespace: bool,
) -> Result<Option<CString>, PlanError> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
    if !own_namespace {
        return Err(PlanError::invalid(
            field,
            "needs a uts namespace in linux.namespaces: else it would rename the host",
        ));
    }
    // HOST_NAME_MAX (sethostname(2)).
    if value.len() > 64 {
        return Err(PlanError::invalid(field, "is longer than 64 bytes"));
    }
    c_string(field, value.as_bytes()).map(Some)
}

fn paths(list: Option<&[String]>, field: &str) -> Result<Vec<CString>, PlanError> {
    list.unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(index, path)| {
            let field = format!("{field}[{index}]");
            if !path.starts_with('/') {
                return Err(PlanError::invalid(field, "must be an absolute path"));
            }
            c_string(&field, path.as_bytes())
        })
        .collect()
}

fn root_propagation(linux: &Linux) -> Result<RootPropagation, PlanError> {
    let made = |before_pivot, after_pivot, recursive| {
        Ok(RootPropagation { before_pivot, after_pivot, recursive })
    };
    match linux.rootfs_propagation().as_deref().unwrap_or("") {
        "" | "private" => made(mount::PRIVATE, 0, false),
        "rprivate" => made(mount::PRIVATE, 0, true),
        "slave" => made(mount::SLAVE, 0, false),
        "rslave" => made(mount::SLAVE, 0, true),
        // pivot_root refuses a shared root; it becomes shared afterwards.
        "shared" => made(mount::SLAVE, mount::SHARED, false),
        "rshared" => made(mount::SLAVE, mount::SHARED, true),
        "unbindable" => made(mount::PRIVATE, mount::UNBINDABLE, false),
        "runbindable" => made(mount::PRIVATE, mount::UNBINDABLE, true),
        other => Err(PlanError::invalid(
            "linux.rootfsPropagation",
            format!("{other:?} is none of shared, slave, private, unbindable"),
        )),
    }
}

/// Kernel parameters that belong to a namespace; anything else would change the host.
const IPC_SYSCTLS: [&str; 9] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.domainname",
];

fn sysctls(linux: &Linux, namespaces: &Namespaces) -> Result<Vec<(CString, CString)>, PlanError> {
    let mut wanted: Vec<_> = linux.sysctl().iter().flatten().collect();
    wanted.sort();
    wanted
        .into_iter()
        .map(|(key, value)| {
            let field = format!("linux.sysctl.{key}");
            // Both notations are in use; in the one with slashes a dot is part of a name.
            let slashed =
                key.find('/').is_some_and(|slash| key.find('.').is_none_or(|dot| slash < dot));
            let path = if slashed { key.clone() } else { swap_dots(key) };
            let dotted = path.replace('/', ".");
            let valid = !path.split('/').any(|part| part.is_empty() || part == "..");
            let allowed = if dotted.starts_with("net.") {
                namespaces.own_net()
            } else if dotted == "kernel.domainname" || dotted == "kernel.hostname" {
                namespaces.own_uts()
            } else {
                (dotted.starts_with("fs.mqueue.") || IPC_SYSCTLS.contains(&dotted.as_str()))
                    && namespaces.own_ipc()
            };
            if !valid || !allowed {
                return Err(PlanError::invalid(
                    field,
                    "is not a parameter of a namespace that the container has for itself",
                ));
            }
            Ok((
                c_string(&field, format!("sys/{path}").as_bytes())?,
                c_string(&field, value.as_bytes())?,
            ))
        })
        .collect()
}

fn swap_dots(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '.' => '/',
            '/' => '.',
            other => other,
        })
        .collect()
}

/// The container's cgroup is its user's own if it is writable and the root of what is seen there.
fn cgroup_owner(namespaces: &Namespaces, mounts: &[Mount], uid: u32) -> Option<u32> {
    let writable = |mount: &Mount| {
        mount.kind == MountKind::Cgroup && mount.attributes.set & mount::RDONLY == 0
    };
    let own = namespaces.new.contains(clone::Namespaces::CGROUP);
    if !own || !mounts.iter().any(writable) {
        return None;
    }
    namespaces.host_uid(uid)
}

/// Where the container's cgroup is, and which unit that is with the systemd driver.
fn cgroup_place(
    id: &ContainerId,
    linux: &Linux,
    systemd: bool,
) -> Result<(CgroupPath, Option<Unit>), PlanError> {
    const FIELD: &str = "linux.cgroupsPath";
    let given = linux.cgroups_path().as_deref().map(Path::to_string_lossy).unwrap_or_default();
    if systemd {
        let invalid =
            |error: corten_runtime_cgroup::Error| PlanError::invalid(FIELD, error.to_string());
        let unit = Unit::parse(&given, id.as_str()).map_err(invalid)?;
        return Ok((unit.cgroup_path().map_err(invalid)?, Some(unit)));
    }
    if given.contains(':') {
        return Err(PlanError::unsupported(
            FIELD,
            "a slice:prefix:name path needs the systemd driver; give a path from the cgroup root",
        ));
    }
    let path = match given.as_ref() {
        "" => format!("/{id}"),
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        relative => format!("/{relative}"),
    };
    let path =
        CgroupPath::new(&path).map_err(|error| PlanError::invalid(FIELD, error.to_string()))?;
    if path.is_root() {
        return Err(PlanError::invalid(FIELD, "a container cannot have the root cgroup"));
    }
    Ok((path, None))
}

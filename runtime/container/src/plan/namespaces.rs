//! `linux.namespaces` and the id mappings.

use std::ffi::CString;
use std::path::PathBuf;

use corten_sys_linux::clone;
use corten_sys_linux::ns::Kind;
use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType};

use crate::PlanError;

/// A range of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdMap {
    pub(crate) container: u32,
    pub(crate) host: u32,
    pub(crate) size: u32,
}

/// Which namespaces are new, which are joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Namespaces {
    /// Made for the container.
    pub(crate) new: clone::Namespaces,
    /// Joined; never a mount namespace.
    pub(crate) join: Vec<(Kind, PathBuf)>,
    pub(crate) uid_map: Vec<IdMap>,
    pub(crate) gid_map: Vec<IdMap>,
    /// For `timens_offsets` of a new time namespace; `None` for one without offsets.
    pub(crate) time_offsets: Option<CString>,
}

impl Namespaces {
    pub(crate) fn new(linux: &Linux) -> Result<Self, PlanError> {
        let mut new = clone::Namespaces::empty();
        let mut join: Vec<(Kind, PathBuf)> = Vec::new();
        let mut seen = clone::Namespaces::empty();
        for (index, namespace) in linux.namespaces().iter().flatten().enumerate() {
            let field = format!("linux.namespaces[{index}]");
            let kind = kind(namespace.typ());
            if seen.contains(kind.flag()) {
                return Err(PlanError::invalid(
                    field,
                    format!("a second namespace of the kind {}", kind.name()),
                ));
            }
            seen = seen.with(kind.flag());
            match namespace.path() {
                None => new = new.with(kind.flag()),
                Some(path) if path.as_os_str().is_empty() => new = new.with(kind.flag()),
                Some(_path) if kind == Kind::Mount => {
                    return Err(PlanError::unsupported(
                        field,
                        "a container's mount namespace is always its own; remove the path",
                    ));
                }
                Some(path) if !path.is_absolute() => {
                    return Err(PlanError::invalid(field, "path must be absolute"));
                }
                Some(path) => join.push((kind, path.clone())),
            }
        }
        if !new.contains(clone::Namespaces::MOUNT) {
            return Err(PlanError::invalid(
                "linux.namespaces",
                "must hold a mount namespace: else the host's mounts would be changed",
            ));
        }
        let user = Self {
            uid_map: map(linux.uid_mappings().as_deref(), "linux.uidMappings")?,
            gid_map: map(linux.gid_mappings().as_deref(), "linux.gidMappings")?,
            time_offsets: time_offsets(linux, new)?,
            new,
            join,
        };
        user.check_maps()?;
        Ok(user)
    }

    fn check_maps(&self) -> Result<(), PlanError> {
        let new_user = self.new.contains(clone::Namespaces::USER);
        for (map, field) in
            [(&self.uid_map, "linux.uidMappings"), (&self.gid_map, "linux.gidMappings")]
        {
            if new_user && !map.iter().any(|range| range.container == 0 && range.size > 0) {
                return Err(PlanError::invalid(
                    field,
                    "must map container id 0 for a new user namespace",
                ));
            }
            if !self.in_user() && !map.is_empty() {
                return Err(PlanError::invalid(
                    field,
                    "needs a user namespace in linux.namespaces",
                ));
            }
        }
        Ok(())
    }

    fn own(&self, kind: Kind) -> bool {
        self.new.contains(kind.flag()) || self.join.iter().any(|(joined, _)| *joined == kind)
    }

    /// Which user of the host an id is, by the mapping of a new user namespace.
    pub(crate) fn host_uid(&self, uid: u32) -> Option<u32> {
        self.uid_map.iter().find_map(|range| {
            let offset = uid.checked_sub(range.container)?;
            (offset < range.size).then(|| range.host.checked_add(offset))?
        })
    }

    /// Whether the container is in a user namespace that is not the caller's.
    pub(crate) fn in_user(&self) -> bool {
        self.own(Kind::User)
    }

    /// Whether the new namespaces have to be made by a process that has first joined others: they
    /// belong to the user namespace that their maker is in, and who has left for a new user
    /// namespace may not join what belongs to the one before.
    pub(crate) fn in_two_steps(&self) -> bool {
        let joins = |kind: &dyn Fn(Kind) -> bool| self.join.iter().any(|(one, _)| kind(*one));
        joins(&|kind| kind == Kind::User)
            || self.new.contains(clone::Namespaces::USER) && joins(&|kind| kind != Kind::Pid)
    }

    /// All kinds that are not simply the caller's.
    pub(crate) fn own_kinds(&self) -> clone::Namespaces {
        self.join.iter().fold(self.new, |all, (kind, _)| all.with(kind.flag()))
    }

    pub(crate) fn own_uts(&self) -> bool {
        self.own(Kind::Uts)
    }

    pub(crate) fn own_net(&self) -> bool {
        self.own(Kind::Net)
    }

    pub(crate) fn own_ipc(&self) -> bool {
        self.own(Kind::Ipc)
    }

    /// The names of all kinds that are not simply the caller's.
    pub(crate) fn own_names(&self) -> Vec<String> {
        Kind::ALL.iter().filter(|kind| self.own(**kind)).map(|kind| kind.name().into()).collect()
    }
}

fn kind(typ: LinuxNamespaceType) -> Kind {
    match typ {
        LinuxNamespaceType::Mount => Kind::Mount,
        LinuxNamespaceType::Cgroup => Kind::Cgroup,
        LinuxNamespaceType::Uts => Kind::Uts,
        LinuxNamespaceType::Ipc => Kind::Ipc,
        LinuxNamespaceType::User => Kind::User,
        LinuxNamespaceType::Pid => Kind::Pid,
        LinuxNamespaceType::Network => Kind::Net,
        LinuxNamespaceType::Time => Kind::Time,
    }
}

/// As `timens_offsets` takes them, one clock a line (time_namespaces(7)).
fn time_offsets(linux: &Linux, new: clone::Namespaces) -> Result<Option<CString>, PlanError> {
    const FIELD: &str = "linux.timeOffsets";
    let given = linux.time_offsets().iter().flatten().filter(|(_, offset)| {
        offset.secs().is_some_and(|secs| secs != 0) || offset.nanosecs().is_some_and(|n| n != 0)
    });
    let mut lines = Vec::new();
    for (clock, offset) in given {
        if clock != "monotonic" && clock != "boottime" {
            let field = format!("{FIELD}.{clock}");
            return Err(PlanError::invalid(field, "is neither monotonic nor boottime"));
        }
        let (secs, nanos) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        if nanos >= 1_000_000_000 {
            let field = format!("{FIELD}.{clock}.nanosecs");
            return Err(PlanError::invalid(field, "is not below one second"));
        }
        lines.push(format!("{clock} {secs} {nanos}\n"));
    }
    if lines.is_empty() {
        return Ok(None);
    }
    if !new.contains(clone::Namespaces::TIME) {
        return Err(PlanError::invalid(FIELD, "needs a new time namespace in linux.namespaces"));
    }
    lines.sort();
    super::c_string(FIELD, lines.concat().as_bytes()).map(Some)
}

pub(super) fn map(list: Option<&[LinuxIdMapping]>, field: &str) -> Result<Vec<IdMap>, PlanError> {
    // The kernel's own limit (user_namespaces(7)).
    const RANGES_MAX: usize = 340;
    let list = list.unwrap_or_default();
    if list.len() > RANGES_MAX {
        return Err(PlanError::invalid(field, "has more than 340 ranges"));
    }
    Ok(list
        .iter()
        .map(|range| IdMap {
            container: range.container_id(),
            host: range.host_id(),
            size: range.size(),
        })
        .collect())
}

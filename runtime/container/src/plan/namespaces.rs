//! `linux.namespaces` and the id mappings.

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
    /// Joined; never a mount or user namespace.
    pub(crate) join: Vec<(Kind, PathBuf)>,
    pub(crate) uid_map: Vec<IdMap>,
    pub(crate) gid_map: Vec<IdMap>,
}

impl Namespaces {
    pub(crate) fn new(linux: &Linux) -> Result<Self, PlanError> {
        let mut new = clone::Namespaces::empty();
        let mut join: Vec<(Kind, PathBuf)> = Vec::new();
        let mut seen = clone::Namespaces::empty();
        for (index, namespace) in linux.namespaces().iter().flatten().enumerate() {
            let field = format!("linux.namespaces[{index}]");
            let kind = kind(namespace.typ()).ok_or_else(|| {
                PlanError::unsupported(&field, "time namespaces are not honoured yet")
            })?;
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
                Some(_path) if kind == Kind::User => {
                    return Err(PlanError::unsupported(
                        field,
                        "joining a user namespace is not honoured yet; remove the path",
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
            if !new_user && !map.is_empty() {
                return Err(PlanError::invalid(
                    field,
                    "needs a new user namespace in linux.namespaces",
                ));
            }
        }
        Ok(())
    }

    fn own(&self, kind: Kind) -> bool {
        self.new.contains(kind.flag()) || self.join.iter().any(|(joined, _)| *joined == kind)
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

fn kind(typ: LinuxNamespaceType) -> Option<Kind> {
    Some(match typ {
        LinuxNamespaceType::Mount => Kind::Mount,
        LinuxNamespaceType::Cgroup => Kind::Cgroup,
        LinuxNamespaceType::Uts => Kind::Uts,
        LinuxNamespaceType::Ipc => Kind::Ipc,
        LinuxNamespaceType::User => Kind::User,
        LinuxNamespaceType::Pid => Kind::Pid,
        LinuxNamespaceType::Network => Kind::Net,
        LinuxNamespaceType::Time => return None,
    })
}

fn map(list: Option<&[LinuxIdMapping]>, field: &str) -> Result<Vec<IdMap>, PlanError> {
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

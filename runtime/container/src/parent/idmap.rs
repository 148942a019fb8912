//! Id-mapped mounts. The kernel takes a mapping in the shape of a user namespace only, so one is
//! made for each mapping, by a child that does nothing else.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use corten_sys_linux::clone::{CloneArgs, Namespaces, clone3};
use corten_sys_linux::ns::{self, Kind};
use corten_sys_linux::pidfd::Pidfd;
use corten_sys_linux::procfs::ProcFs;
use corten_sys_linux::{SysError, mount};

use super::ids;
use crate::CreateError;
use crate::plan::{IdMap, Mount, Plan};

/// A mapping, and the namespace that stands for it.
type Made = ((Vec<IdMap>, Vec<IdMap>), OwnedFd);

/// The user namespaces of one container's mounts.
pub(super) struct IdMaps<'a> {
    plan: &'a Plan,
    joined: Option<BorrowedFd<'a>>,
    made: Vec<Made>,
}

impl<'a> IdMaps<'a> {
    pub(super) fn new(plan: &'a Plan, join: &'a [(Kind, OwnedFd)]) -> Self {
        let joined = join.iter().find(|(kind, _)| *kind == Kind::User).map(|(_, fd)| fd.as_fd());
        Self { plan, joined, made: Vec::new() }
    }

    /// Maps a detached mount, if it is to be.
    pub(super) fn apply(&mut self, tree: &OwnedFd, mount: &Mount) -> Result<(), CreateError> {
        let Some(wanted) = &mount.idmap else { return Ok(()) };
        let field = || format!("{}.uidMappings", mount.field);
        let error = |source| CreateError::Prepare { field: field(), source };
        let ids = match (&wanted.ids, self.joined) {
            (Some(ids), _) => ids.clone(),
            (None, Some(joined)) => {
                return set(tree, wanted.recursive, joined).map_err(error);
            }
            (None, None) => {
                let own = &self.plan.namespaces;
                (own.uid_map.clone(), own.gid_map.clone())
            }
        };
        if ids.0.is_empty() || ids.1.is_empty() {
            return Err(crate::PlanError::Invalid {
                field: field(),
                reason: "is missing, and the container has no user namespace to take it from"
                    .to_owned(),
            }
            .into());
        }
        let at = match self.made.iter().position(|(known, _)| *known == ids) {
            Some(at) => at,
            None => {
                let namespace = namespace(&ids.0, &ids.1).map_err(error)?;
                self.made.push((ids, namespace));
                self.made.len() - 1
            }
        };
        set(tree, wanted.recursive, self.made[at].1.as_fd()).map_err(error)
    }
}

fn set(tree: &OwnedFd, recursive: bool, namespace: BorrowedFd<'_>) -> Result<(), SysError> {
    mount::set_id_map(tree.as_fd(), recursive, namespace)
        .map_err(SysError::of("mount_setattr", || "MOUNT_ATTR_IDMAP"))
}

/// A user namespace of that mapping.
fn namespace(uids: &[IdMap], gids: &[IdMap]) -> Result<OwnedFd, SysError> {
    let args = CloneArgs { namespaces: Namespaces::USER, ..CloneArgs::default() };
    let child = clone3(&args, || {
        rustix::event::pause();
        0
    })?;
    let pid = child.pid.as_raw_nonzero();
    let child = EndOnDrop(Pidfd::from(child.pidfd));
    let proc = ProcFs::open().map_err(SysError::of("fsopen", || "proc"))?;
    proc.set(&format!("{pid}/uid_map"), &ids::lines(uids))?;
    proc.set(&format!("{pid}/gid_map"), &ids::lines(gids))?;
    let namespace = ns::open(std::path::Path::new(&format!("/proc/{pid}/ns/user")));
    drop(child);
    namespace
}

struct EndOnDrop(Pidfd);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        // It is this process's own child, so it is there until it is reaped here.
        drop(self.0.send_signal(9));
        drop(self.0.wait());
    }
}

//! Removal of a cgroup with all below it.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, unlinkat};
use rustix::io::Errno;

use crate::file::open_dir;
use crate::hierarchy::Hierarchy;
use crate::{Cgroup, CgroupPath, Error, Hierarchies};

const REMOVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Cgroups removed in one go, in one hierarchy; a container with a delegated subtree may make many.
const REMOVALS_MAX: usize = 100_000;

/// How far a removal came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// All gone.
    Done,
    /// Processes are still on their way out; try again later.
    Busy,
}

impl Cgroup {
    /// Removes the cgroup and all below it in every hierarchy. Processes that are still dying keep a
    /// cgroup busy for a moment: tries for up to five seconds.
    ///
    /// # Errors
    /// [`Error::Busy`] when processes are left; what else the kernel says.
    pub fn remove(self) -> Result<(), Error> {
        Self::remove_at(self.hierarchies(), self.path())
    }

    /// As [`Cgroup::remove`], for a cgroup that may be missing in some hierarchies, or in all.
    ///
    /// # Errors
    /// As [`Cgroup::remove`].
    pub fn remove_at(hierarchies: &Hierarchies, path: &CgroupPath) -> Result<(), Error> {
        let start = Instant::now();
        let mut pause = Duration::from_micros(500);
        loop {
            match try_remove(hierarchies, path)? {
                Removal::Done => return Ok(()),
                Removal::Busy if start.elapsed() > REMOVE_TIMEOUT => {
                    return Err(Error::Busy {
                        path: path.as_str().into(),
                        waited_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
                    });
                }
                Removal::Busy => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(50));
                }
            }
        }
    }

    /// As [`Cgroup::remove`], without waiting: for callers with a loop of their own.
    ///
    /// # Errors
    /// What the kernel says, `EBUSY` apart.
    pub fn try_remove(&self) -> Result<Removal, Error> {
        try_remove(self.hierarchies(), self.path())
    }
}

fn try_remove(hierarchies: &Hierarchies, path: &CgroupPath) -> Result<Removal, Error> {
    if path.is_root() {
        return Err(Error::InvalidPath {
            path: path.to_string(),
            reason: "the root cgroup cannot be removed",
        });
    }
    let mut outcome = Removal::Done;
    for hierarchy in hierarchies.all() {
        if remove_in(hierarchy, path.relative())? == Removal::Busy {
            outcome = Removal::Busy;
        }
    }
    Ok(outcome)
}

fn remove_in(hierarchy: &Hierarchy, relative: &str) -> Result<Removal, Error> {
    let path = hierarchy.mount().join(relative);
    let failed = |call, source| Error::File { call, path: path.clone(), source };
    for _removal in 0..REMOVALS_MAX {
        match unlinkat(hierarchy.root(), relative, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(Removal::Done),
            Err(Errno::BUSY) => {}
            Err(source) => return Err(failed("rmdir", source)),
        }
        // Busy: with processes, or with cgroups below it. Go down to one that has none below, with
        // two folders open at a time, however deep it is.
        let mut above: OwnedFd = match open_dir(hierarchy.root(), relative) {
            Ok(top) => top,
            Err(Errno::NOENT) => return Ok(Removal::Done),
            Err(source) => return Err(failed("open", source)),
        };
        let Some(mut name) = first_child(&above).map_err(|source| failed("readdir", source))?
        else {
            return Ok(Removal::Busy);
        };
        loop {
            let below = match open_dir(above.as_fd(), &*name) {
                Ok(below) => below,
                Err(Errno::NOENT) => break,
                Err(source) => return Err(failed("open", source)),
            };
            match first_child(&below).map_err(|source| failed("readdir", source))? {
                Some(deeper) => {
                    above = below;
                    name = deeper;
                }
                None => break,
            }
        }
        match unlinkat(&above, &*name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::BUSY) => return Ok(Removal::Busy),
            Err(source) => return Err(failed("rmdir", source)),
        }
    }
    Err(Error::TooLarge { path })
}

fn first_child(dir: &OwnedFd) -> Result<Option<CString>, Errno> {
    for entry in Dir::read_from(dir)? {
        let entry = match entry {
            Ok(entry) => entry,
            // Removed under our hands.
            Err(Errno::NOENT | Errno::NODEV) => return Ok(None),
            Err(error) => return Err(error),
        };
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && !matches!(name.to_bytes(), b"." | b"..") {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

//! One cgroup in every hierarchy.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::controller::{self, cpu, cpuset, hugetlb, memory, pids};
use crate::file::{Files, open_dir};
use crate::hierarchy::Hierarchy;
use crate::resources::Missing;
use crate::{
    CgroupPath, Details, Error, Hierarchies, OomWatch, Resources, Stats, Version, Warning, details,
    kill,
};

/// One path in every hierarchy, held open.
#[derive(Debug)]
pub struct Cgroup {
    hierarchies: Hierarchies,
    path: CgroupPath,
    /// In the order of the hierarchies; all of one cgroup's.
    handles: Vec<Files>,
}

/// A file that a thread joins a v1 cgroup by: it writes `0`.
#[derive(Debug)]
pub struct TasksFile {
    /// Open for writing.
    pub file: OwnedFd,
    /// What it is called, for an error.
    pub path: CString,
}

impl Cgroup {
    /// Makes the cgroup where it is not there yet, and those above it; enables, on v2, every
    /// controller on the way down to it.
    ///
    /// On v2 a cgroup with processes of its own cannot hand controllers to its children (the rule
    /// of no internal processes); then the cgroup is made without them, and [`Cgroup::apply`] says
    /// which limit does not hold.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn create(hierarchies: &Hierarchies, path: &CgroupPath) -> Result<Self, Error> {
        let mut handles = Vec::with_capacity(hierarchies.all().len());
        for hierarchy in hierarchies.all() {
            let mut files = open_in(hierarchy, &CgroupPath::new("/")?)?;
            let mut at = CgroupPath::new("/")?;
            for component in path.components() {
                if hierarchy.version() == Version::V2 {
                    enable_controllers(&files)?;
                }
                at = at.join(component)?;
                match rustix::fs::mkdirat(files.dir(), component, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(source) => {
                        let path = files.path().join(component);
                        return Err(Error::File { call: "mkdir", path, source });
                    }
                }
                let child = open_in(hierarchy, &at)?;
                if hierarchy.version() == Version::V1 && hierarchy.has(cpuset::NAME) {
                    cpuset::inherit_v1(&files, &child)?;
                }
                files = child;
            }
            handles.push(files);
        }
        Ok(Self { hierarchies: hierarchies.clone(), path: path.clone(), handles })
    }

    /// Opens a cgroup that is there.
    ///
    /// # Errors
    /// When it is missing in any hierarchy.
    pub fn open(hierarchies: &Hierarchies, path: &CgroupPath) -> Result<Self, Error> {
        let handles =
            hierarchies.all().iter().map(|one| open_in(one, path)).collect::<Result<_, _>>()?;
        Ok(Self { hierarchies: hierarchies.clone(), path: path.clone(), handles })
    }

    /// Where it is, from each hierarchy's root.
    #[must_use]
    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    /// The machine's hierarchies.
    #[must_use]
    pub fn hierarchies(&self) -> &Hierarchies {
        &self.hierarchies
    }

    /// Sets limits; what is not named stays as it is.
    ///
    /// # Errors
    /// What the kernel refuses, and a limit that no controller here can hold, unless
    /// [`Resources::allow_missing`] is set; limits before it stay set.
    pub fn apply(&self, resources: &Resources) -> Result<Vec<Warning>, Error> {
        let mut missing = Missing::new(resources.allow_missing);
        for apply in controller::ALL {
            apply(self, resources, &mut missing)?;
        }
        Ok(missing.warnings)
    }

    /// What it uses, with all below it.
    ///
    /// # Errors
    /// When a file cannot be read, as after the cgroup's removal.
    pub fn stats(&self) -> Result<Stats, Error> {
        Ok(Stats {
            cpu: cpu::stats(self)?,
            memory: memory::stats(self)?,
            pids: pids::stats(self)?,
            hugepages: hugetlb::stats(self)?,
        })
    }

    /// All that is counted.
    ///
    /// # Errors
    /// As [`Cgroup::stats`].
    pub fn details(&self) -> Result<Details, Error> {
        details::of(self)
    }

    /// Moves a process, with all its threads, into the cgroup of every hierarchy. Children that it
    /// already has stay where they are.
    ///
    /// # Errors
    /// `ESRCH` when it is gone; `EBUSY` on v2 when this cgroup's children have controllers.
    pub fn add(&self, pid: Pid) -> Result<(), Error> {
        self.add_text(&pid.as_raw_nonzero().to_string())
    }

    /// Moves the calling process into the cgroup of every hierarchy.
    ///
    /// # Errors
    /// As [`Cgroup::add`].
    pub fn add_self(&self) -> Result<(), Error> {
        self.add_text("0")
    }

    fn add_text(&self, pid: &str) -> Result<(), Error> {
        self.handles.iter().try_for_each(|files| files.write("cgroup.procs", pid))
    }

    /// The files that a process writes `0` to, in order to join every hierarchy but the one of
    /// [`Cgroup::clone_into_fd`]: for a child with one thread, before it executes anything foreign.
    ///
    /// `tasks` and not `cgroup.procs`: for a thread that moves itself the kernel needs no lock on
    /// all thread groups, whose writer waits for a grace period of RCU (10 ms and more).
    ///
    /// # Errors
    /// When one cannot be opened.
    pub fn tasks_to_join(&self) -> Result<Vec<TasksFile>, Error> {
        self.handles
            .iter()
            .filter(|files| files.version() == Version::V1)
            .map(|files| {
                let path = files.path().join("tasks").into_os_string().into_vec();
                // A path that has been opened has no zero byte.
                let path = CString::new(path).unwrap_or_default();
                Ok(TasksFile { file: files.open("tasks", OFlags::WRONLY)?, path })
            })
            .collect()
    }

    /// For `clone3` with `CLONE_INTO_CGROUP`: v2's folder, if there is a v2 hierarchy. The v1 ones
    /// are joined by the child itself ([`Cgroup::tasks_to_join`]).
    #[must_use]
    pub fn clone_into_fd(&self) -> Option<BorrowedFd<'_>> {
        self.unified().map(Files::dir)
    }

    /// Tells of processes that the OOM killer takes.
    ///
    /// # Errors
    /// Without a memory controller, and when the watch cannot be set up.
    pub fn oom_events(&self) -> Result<OomWatch, Error> {
        let Some(files) = self.controller(memory::NAME) else {
            return Err(Error::ControllerMissing {
                controller: memory::NAME.to_owned(),
                field: "oomEvents".to_owned(),
                reason: "no hierarchy has it".to_owned(),
            });
        };
        OomWatch::new(files)
    }

    /// Stops all processes, here and below, where they are; returns when they have stopped.
    ///
    /// # Errors
    /// When there is no freezer, or they have not stopped within two seconds (they are then let go
    /// again).
    pub fn freeze(&self) -> Result<(), Error> {
        kill::freeze(self)
    }

    /// Lets stopped processes go on.
    ///
    /// # Errors
    /// When there is no freezer.
    pub fn thaw(&self) -> Result<(), Error> {
        kill::thaw(self)
    }

    /// Whether the cgroup is frozen.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn frozen(&self) -> Result<bool, Error> {
        kill::frozen(self)
    }

    /// Sends SIGKILL to all processes here and below, in every hierarchy, frozen ones and those that
    /// fork meanwhile included. They have not necessarily gone when this returns.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn kill(&self) -> Result<(), Error> {
        kill::kill(self)
    }

    /// All processes here and below, in any order.
    ///
    /// # Errors
    /// When a file cannot be read, or the tree of cgroups is absurdly large.
    pub fn pids(&self) -> Result<Vec<Pid>, Error> {
        self.handles.first().map_or(Ok(Vec::new()), kill::pids_in)
    }

    /// The v2 cgroup, if there is a v2 hierarchy.
    pub(crate) fn unified(&self) -> Option<&Files> {
        self.handles.iter().find(|files| files.version() == Version::V2)
    }

    pub(crate) fn controller(&self, name: &str) -> Option<&Files> {
        self.handles.get(self.hierarchies.index_of(name)?)
    }

    pub(crate) fn handles(&self) -> &[Files] {
        &self.handles
    }
}

fn open_in(hierarchy: &Hierarchy, path: &CgroupPath) -> Result<Files, Error> {
    let full = hierarchy.mount().join(path.relative());
    match open_dir(hierarchy.root(), path.relative()) {
        Ok(dir) => Ok(Files::new(dir, full, hierarchy.version())),
        Err(source) => Err(Error::File { call: "open", path: full, source }),
    }
}

/// Hands every controller that this v2 cgroup has to its children.
fn enable_controllers(parent: &Files) -> Result<(), Error> {
    let available = parent.read("cgroup.controllers")?;
    let enabled = parent.read("cgroup.subtree_control")?;
    let enabled: Vec<&str> = enabled.split(' ').collect();
    let wanted: Vec<String> = available
        .split_whitespace()
        .filter(|name| !enabled.contains(name))
        .map(|name| format!("+{name}"))
        .collect();
    if wanted.is_empty() || parent.write("cgroup.subtree_control", &wanted.join(" ")).is_ok() {
        return Ok(());
    }
    // All or nothing failed; a controller that cannot be had shows when a limit asks for it.
    for one in &wanted {
        match parent.write("cgroup.subtree_control", one) {
            Ok(()) => {}
            Err(error) => tracing::debug!(%error, controller = &one[1..], "not enabled"),
        }
    }
    Ok(())
}

//! What can go wrong with a cgroup.

use std::path::PathBuf;

use rustix::io::Errno;

/// A failed operation on a cgroup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call on a file or folder of a hierarchy failed.
    #[error("{call} {}", path.display())]
    File {
        /// The call, such as `open` or `mkdir`.
        call: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// The kernel refused a value.
    #[error("write {value:?} to {}", path.display())]
    Write {
        /// The control file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// A limit was asked for that nothing on this machine can hold.
    #[error(
        "{field} needs the cgroup controller {controller:?}, which is not available here: {reason}"
    )]
    ControllerMissing {
        /// The controller, such as `memory`.
        controller: String,
        /// The field that asked for it, such as `memory.high`.
        field: String,
        /// Why it is not available.
        reason: String,
    },
    /// No cgroup file system is mounted.
    #[error("no cgroup hierarchy is mounted: mount cgroup2 at /sys/fs/cgroup")]
    NoHierarchy,
    /// A path that is not a cgroup's.
    #[error("cgroup path {path:?}: {reason}")]
    InvalidPath {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A value that no kernel would take, or that must not reach it.
    #[error("{field}: {value:?}: {reason}")]
    InvalidValue {
        /// The field.
        field: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file of the kernel did not read as its documentation says.
    #[error("{}: {content:?} is not {expected}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What was in it.
        content: String,
        /// What should have been.
        expected: &'static str,
    },
    /// The systemd driver.
    #[error(transparent)]
    Systemd(#[from] crate::systemd::BusError),
    /// Processes are left that did not go away in time.
    #[error("cgroup {} is still busy after {waited_ms} ms", path.display())]
    Busy {
        /// The cgroup.
        path: PathBuf,
        /// How long was waited.
        waited_ms: u64,
    },
    /// A tree of cgroups that is deeper or wider than anything sane.
    #[error("cgroup {} has too many descendants", path.display())]
    TooLarge {
        /// The cgroup at its top.
        path: PathBuf,
    },
}

impl Error {
    /// The errno behind the error, where there is one.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::File { source, .. } | Self::Write { source, .. } => Some(*source),
            Self::ControllerMissing { .. }
            | Self::NoHierarchy
            | Self::InvalidPath { .. }
            | Self::InvalidValue { .. }
            | Self::Parse { .. }
            | Self::Systemd(_)
            | Self::Busy { .. }
            | Self::TooLarge { .. } => None,
        }
    }
}

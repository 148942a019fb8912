//! News of the OOM killer.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::controller::memory::oom_file;
use crate::file::{Files, parse_map, read_fd};
use crate::{Error, Version};

/// What to poll an [`OomWatch`] for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OomInterest {
    /// `POLLIN` (v1: an eventfd).
    Readable,
    /// `POLLPRI` (v2: `memory.events`).
    Priority,
}

/// Tells when a memory limit was hit, and counts the processes that the OOM killer took.
///
/// A wake-up may come before the count rises (v1 tells first and kills then), when nothing was
/// killed, and once when the cgroup is removed: so read [`OomWatch::kills`], and read it again when a
/// process has ended by SIGKILL.
#[derive(Debug)]
pub struct OomWatch {
    /// v1's eventfd.
    event: Option<OwnedFd>,
    counter: OwnedFd,
    path: PathBuf,
}

impl OomWatch {
    pub(crate) fn new(files: &Files) -> Result<Self, Error> {
        let name = oom_file(files.version());
        let counter = files.open(name, OFlags::RDONLY)?;
        let path = files.path().join(name);
        let event = match files.version() {
            Version::V2 => None,
            Version::V1 => {
                let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(
                    |source| Error::File { call: "eventfd", path: path.clone(), source },
                )?;
                // "<event_fd> <fd of memory.oom_control>" (cgroup-v1/memory.rst, 10. OOM Control).
                let line = format!(
                    "{} {}",
                    std::os::fd::AsRawFd::as_raw_fd(&event),
                    std::os::fd::AsRawFd::as_raw_fd(&counter)
                );
                files.write("cgroup.event_control", &line)?;
                Some(event)
            }
        };
        let watch = Self { event, counter, path };
        // v2 arms the file by reading it.
        watch.kills()?;
        Ok(watch)
    }

    /// To be polled for [`OomWatch::interest`].
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_ref().unwrap_or(&self.counter).as_fd()
    }

    /// What to poll for.
    #[must_use]
    pub fn interest(&self) -> OomInterest {
        if self.event.is_some() { OomInterest::Readable } else { OomInterest::Priority }
    }

    /// Takes the wake-up away, and says how many processes were killed so far. After the cgroup's
    /// removal: none.
    ///
    /// # Errors
    /// When the counter cannot be read.
    pub fn acknowledge(&self) -> Result<Option<u64>, Error> {
        if let Some(event) = &self.event {
            let mut count = [0_u8; 8];
            match rustix::io::read(event, &mut count) {
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(source) => {
                    return Err(Error::File { call: "read", path: self.path.clone(), source });
                }
            }
        }
        match self.kills() {
            Ok(kills) => Ok(Some(kills)),
            Err(error) if error.errno() == Some(Errno::NODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How many processes, here and below, the OOM killer took so far.
    ///
    /// # Errors
    /// `ENODEV` after the cgroup's removal.
    pub fn kills(&self) -> Result<u64, Error> {
        let content = read_fd(self.counter.as_fd(), &self.path)?;
        Ok(parse_map(&content).get("oom_kill").copied().unwrap_or(0))
    }
}

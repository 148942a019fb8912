//! Processes by descriptor: no id can be reused under the holder.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use crate::SysError;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// The shell's number: the status, or 128 and the signal.
    #[must_use]
    pub fn status(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// A process.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl From<OwnedFd> for Pidfd {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<Pidfd> for OwnedFd {
    fn from(pidfd: Pidfd) -> Self {
        pidfd.0
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Pidfd {
    /// The process that has this id now. Unless it is this process's own child, the caller checks
    /// after this (start time) that it is the one meant.
    ///
    /// # Errors
    /// `ESRCH` when there is none.
    pub fn open(pid: Pid) -> Result<Self, SysError> {
        pidfd_open(pid, PidfdFlags::empty())
            .map(Self)
            .map_err(SysError::of("pidfd_open", || pid.as_raw_nonzero().to_string()))
    }

    /// Its id, as this process sees it (`pidfd_open(2)`: in `/proc/self/fdinfo`).
    ///
    /// # Errors
    /// `ESRCH` when it has been reaped, or is out of sight from here.
    pub fn pid(&self) -> Result<Pid, SysError> {
        use std::os::fd::AsRawFd as _;
        let path = format!("/proc/self/fdinfo/{}", self.0.as_raw_fd());
        std::fs::read_to_string(&path)
            .ok()
            .and_then(|text| {
                text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
            })
            .and_then(|raw: i32| if raw > 0 { Pid::from_raw(raw) } else { None })
            .ok_or(Errno::SRCH)
            .map_err(SysError::of("read", || path))
    }

    /// Sends a signal; 0 only asks whether it could be sent.
    ///
    /// # Errors
    /// `ESRCH` when the process is gone, `EINVAL` for a number that is no signal.
    pub fn send_signal(&self, signal: i32) -> Result<(), SysError> {
        crate::signal::pidfd_send(self.0.as_fd(), signal)
            .map_err(SysError::of("pidfd_send_signal", || signal.to_string()))
    }

    /// Waits for this process's child to end, and reaps it.
    ///
    /// # Errors
    /// `ECHILD` when it is not this process's child.
    pub fn wait(&self) -> Result<Exit, SysError> {
        rustix::io::retry_on_intr(|| self.waitid(WaitIdOptions::EXITED))
            .and_then(|exit| exit.ok_or(Errno::CHILD))
            .map_err(SysError::of("waitid", || "pidfd"))
    }

    /// Reaps the child if it has ended.
    ///
    /// # Errors
    /// `ECHILD` when it is not this process's child.
    pub fn try_wait(&self) -> Result<Option<Exit>, SysError> {
        self.waitid(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
            .map_err(SysError::of("waitid", || "pidfd"))
    }

    /// Waits until the process (a child or not) has ended; `false` when the time is up first.
    ///
    /// # Errors
    /// What `poll(2)` says.
    pub fn wait_ended(&self, timeout: Duration) -> Result<bool, SysError> {
        let deadline = std::time::Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let timespec = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
            match poll(&mut fds, Some(&timespec)) {
                Ok(0) => return Ok(false),
                Ok(_ended) => return Ok(true),
                Err(Errno::INTR) => (),
                Err(errno) => return Err(SysError::of("poll", || "pidfd")(errno)),
            }
        }
    }

    fn waitid(&self, options: WaitIdOptions) -> rustix::io::Result<Option<Exit>> {
        let Some(status) = waitid(WaitId::PidFd(self.0.as_fd()), options)? else { return Ok(None) };
        Ok(status
            .exit_status()
            .map(Exit::Code)
            .or_else(|| status.terminating_signal().map(Exit::Signal)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clone::{CloneArgs, clone3};

    #[test]
    fn a_signalled_child_says_so() {
        let child = clone3(&CloneArgs::default(), || {
            rustix::event::pause();
            0
        })
        .unwrap();
        let pidfd = Pidfd::from(child.pidfd);
        assert_eq!(pidfd.try_wait().unwrap(), None);
        pidfd.send_signal(libc::SIGKILL).unwrap();
        assert!(pidfd.wait_ended(Duration::from_secs(30)).unwrap());
        assert_eq!(pidfd.wait().unwrap(), Exit::Signal(libc::SIGKILL));
        assert_eq!(pidfd.send_signal(0).unwrap_err().errno, Errno::SRCH);
        assert_eq!(Exit::Signal(9).status(), 137);
    }

    #[test]
    fn waiting_for_a_foreign_process_is_echild() {
        let child = clone3(&CloneArgs::default(), || 0).unwrap();
        let parent = Pidfd::open(Pid::INIT).unwrap();
        assert_eq!(parent.wait().unwrap_err().errno, Errno::CHILD);
        Pidfd::from(child.pidfd).wait().unwrap();
    }
}

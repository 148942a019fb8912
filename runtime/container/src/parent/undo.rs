//! What has been made so far, and goes again unless all went well.

use std::os::fd::OwnedFd;
use std::time::Duration;

use corten_runtime_cgroup::{Cgroup, CgroupPath, Hierarchies};
use corten_sys_linux::clone::Cloned;
use corten_sys_linux::pidfd::Pidfd;

use super::Parenthood;
use crate::hooks::Poststop;
use crate::{ContainerId, StateDir};

/// How long a killed child may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Removes, in reverse order, what it was told of.
#[derive(Debug, Default)]
pub(super) struct Undo<'a> {
    state: Option<(&'a StateDir, ContainerId)>,
    cgroup: Option<(Hierarchies, CgroupPath)>,
    process: Option<(OwnedFd, Parenthood)>,
    hooks: Option<Poststop>,
}

impl<'a> Undo<'a> {
    /// Of a container whose id has been taken.
    pub(super) fn new(states: &'a StateDir, id: &ContainerId) -> Self {
        Self { state: Some((states, id.clone())), cgroup: None, process: None, hooks: None }
    }

    /// Its cgroup has been made.
    pub(super) fn cgroup(&mut self, group: &Cgroup) {
        self.cgroup = Some((group.hierarchies().clone(), group.path().clone()));
    }

    /// Its process has been made. Should the handle not be copied, the process sees the end of its
    /// socket and ends by itself.
    pub(super) fn process(&mut self, cloned: &Cloned, parenthood: Parenthood) {
        self.process = cloned.pidfd.try_clone().ok().map(|pidfd| (pidfd, parenthood));
    }

    /// Hooks are about to run; those of the end will have to.
    pub(super) fn hooks(&mut self, poststop: Poststop) {
        self.hooks = Some(poststop);
    }

    /// All went well.
    pub(super) fn keep(&mut self) {
        (self.state, self.cgroup, self.process, self.hooks) = (None, None, None, None);
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        // Every step is tried; the failure that led here is the one that is told, so these are only
        // logged.
        if let Some((pidfd, parenthood)) = self.process.take() {
            end(pidfd, parenthood);
        }
        if let Some((hierarchies, path)) = self.cgroup.take()
            && let Err(error) = Cgroup::open(&hierarchies, &path).and_then(|group| {
                group.kill()?;
                group.remove()
            })
        {
            tracing::warn!(cgroup = path.as_str(), %error, "cgroup left behind");
        }
        if let Some((states, id)) = self.state.take()
            && let Err(error) = states.remove(&id)
        {
            tracing::warn!(container = id.as_str(), %error, "state left behind");
        }
        if let Some(poststop) = self.hooks.take() {
            poststop.run();
        }
    }
}

fn end(pidfd: OwnedFd, parenthood: Parenthood) {
    let pidfd = Pidfd::from(pidfd);
    // ESRCH: it has ended already, and perhaps been reaped.
    drop(pidfd.send_signal(9));
    match pidfd.wait_ended(END_TIMEOUT) {
        Ok(true) => (),
        Ok(false) => tracing::warn!("a process has not ended {END_TIMEOUT:?} after SIGKILL"),
        Err(error) => tracing::warn!(%error, "cannot wait for a process to end"),
    }
    // A sibling is reaped by the parent that both have; a child that was reaped already is ECHILD.
    if parenthood == Parenthood::Caller {
        drop(pidfd.try_wait());
    }
}

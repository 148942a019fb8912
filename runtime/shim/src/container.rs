//! What the shim knows of one container.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use corten_runtime_cgroup::OomWatch;
use corten_sys_linux::pidfd::Pidfd;

use crate::crilog::{LineCutter, LogFile};
use crate::poller::{DeadlineKey, Token};
use crate::protocol::{ContainerState, ContainerStatus, EXECS_KEPT_MAX, Exited};

/// Who is to be answered: a connection and the id of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) connection: Token,
    pub(crate) request: u64,
}

/// A process that is the shim's child.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) pidfd: Pidfd,
    pub(crate) token: Token,
}

/// Where a process is in its life.
#[derive(Debug)]
pub(crate) enum Life {
    /// A job is making it.
    Making,
    /// It lives, and is the shim's to reap.
    Alive(Process),
    /// It has ended.
    Ended(Exited),
}

/// One stream of output.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) fd: OwnedFd,
    pub(crate) token: Token,
    pub(crate) cutter: LineCutter,
}

/// Standard input.
#[derive(Debug)]
pub(crate) struct Stdin {
    /// Kept open so that the container sees no end of file when a writer leaves. A terminal is
    /// written to instead.
    pub(crate) hold: Option<OwnedFd>,
    /// The FIFO's.
    pub(crate) path: Option<std::path::PathBuf>,
    /// Its first end is its last.
    pub(crate) once: bool,
    /// It has been ended.
    pub(crate) ended: bool,
}

/// A client that gets copies of what a container writes.
#[derive(Debug)]
pub(crate) struct Attached {
    /// Is told when it is over.
    pub(crate) asker: Asker,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
}

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) created_at_ns: u64,
    pub(crate) started_at_ns: Option<u64>,
    pub(crate) life: Life,
    /// The socket on which the made container waits for its start.
    pub(crate) gate: Option<OwnedFd>,
    /// Who asked for the start, until it is known to have gone well.
    pub(crate) starting: Option<Starting>,
    pub(crate) cgroup: Option<String>,
    pub(crate) log: Option<LogFile>,
    pub(crate) outputs: Vec<Output>,
    /// The terminal's other end, for its size.
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) stdin: Option<Stdin>,
    pub(crate) attached: Vec<Attached>,
    pub(crate) oom: Option<(OomWatch, Token)>,
    pub(crate) oom_kills: u64,
    pub(crate) execs: BTreeMap<String, Exec>,
    pub(crate) waiters: Vec<Asker>,
    pub(crate) deleting: bool,
}

/// A start that is under way.
#[derive(Debug)]
pub(crate) struct Starting {
    pub(crate) asker: Asker,
    pub(crate) token: Token,
}

/// One more process in a container.
#[derive(Debug)]
pub(crate) struct Exec {
    /// Ever higher, so that the oldest can be told.
    pub(crate) number: u64,
    pub(crate) life: Life,
    pub(crate) timed_out: bool,
    /// When its time is up.
    pub(crate) timer: Option<DeadlineKey>,
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) waiters: Vec<Asker>,
}

impl Container {
    pub(crate) fn new(id: &str, created_at_ns: u64) -> Self {
        Self {
            id: id.to_owned(),
            created_at_ns,
            started_at_ns: None,
            life: Life::Making,
            gate: None,
            starting: None,
            cgroup: None,
            log: None,
            outputs: Vec::new(),
            terminal: None,
            stdin: None,
            attached: Vec::new(),
            oom: None,
            oom_kills: 0,
            execs: BTreeMap::new(),
            waiters: Vec::new(),
            deleting: false,
        }
    }

    pub(crate) fn status(&self) -> ContainerStatus {
        match (&self.life, self.started_at_ns) {
            (Life::Making, _) => ContainerStatus::Creating,
            (Life::Alive(_), None) => ContainerStatus::Created,
            (Life::Alive(_), Some(_)) => ContainerStatus::Running,
            (Life::Ended(_), _) => ContainerStatus::Stopped,
        }
    }

    pub(crate) fn state(&self) -> ContainerState {
        let (pid, exited) = match &self.life {
            Life::Making => (None, None),
            Life::Alive(process) => (Some(process.pid), None),
            Life::Ended(exited) => (None, Some(*exited)),
        };
        ContainerState {
            id: self.id.clone(),
            pid,
            status: self.status(),
            created_at_ns: self.created_at_ns,
            started_at_ns: self.started_at_ns,
            exited,
        }
    }

    /// Forgets the oldest of the execs that have ended, if there are too many.
    pub(crate) fn trim_execs(&mut self) {
        let ended = |exec: &Exec| matches!(exec.life, Life::Ended(_));
        while self.execs.values().filter(|exec| ended(exec)).count() > EXECS_KEPT_MAX {
            let oldest = self
                .execs
                .iter()
                .filter(|(_, exec)| ended(exec))
                .min_by_key(|(_, exec)| exec.number)
                .map(|(id, _)| id.clone());
            match oldest {
                Some(id) => drop(self.execs.remove(&id)),
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_ended_execs_are_kept() {
        let mut container = Container::new("c", 0);
        let exited =
            Exited { code: 0, signal: None, at_ns: 0, oom_killed: false, timed_out: false };
        for number in 0..200_u64 {
            let life = if number == 0 { Life::Making } else { Life::Ended(exited) };
            let exec = Exec {
                number,
                life,
                timed_out: false,
                timer: None,
                terminal: None,
                waiters: Vec::new(),
            };
            container.execs.insert(format!("e{number}"), exec);
            container.trim_execs();
        }
        assert_eq!(container.execs.len(), EXECS_KEPT_MAX + 1);
        assert!(container.execs.contains_key("e0"), "one that has not ended stays");
        assert!(container.execs.contains_key("e199"));
        assert!(!container.execs.contains_key("e1"));
    }
}

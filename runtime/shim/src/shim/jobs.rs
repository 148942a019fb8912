//! What may block, or needs memory that the shim should not keep, is done in a forked child: it
//! parses the bundle's `config.json`, makes the container (which is born as the shim's child, not
//! its own), reports and ends.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use corten_sys_linux::clone::{CloneArgs, clone3};
use corten_sys_linux::fdpass;
use corten_sys_linux::pidfd::Pidfd;
use serde::{Deserialize, Serialize};

use super::{Due, Shim, Source};
use crate::builder::{self, Made};
use crate::container::{Asker, Life, Output, Process};
use crate::crilog::{LineCutter, Stream};
use crate::fault::{errno, internal, invalid, sys};
use crate::poller::{DeadlineKey, READ, Token};
use crate::protocol::{Answer, Fault};
use crate::sandbox::pair;

/// A job that takes longer is killed.
const JOB_TIMEOUT: Duration = Duration::from_secs(120);
const REPORT_BYTES_MAX: usize = 64 << 10;

/// A child at work.
#[derive(Debug)]
pub(super) struct Job {
    kind: JobKind,
    asker: Option<Asker>,
    socket: OwnedFd,
    pub(super) pid: i32,
    child: Pidfd,
    timeout: DeadlineKey,
}

impl Job {
    /// It may yet report a process that has ended already.
    pub(super) fn makes_a_process(&self) -> bool {
        match self.kind {
            JobKind::Create { .. } | JobKind::Exec { .. } => true,
            JobKind::Poststart { .. } | JobKind::Delete { .. } => false,
        }
    }
}

/// What a job does.
#[derive(Debug, Clone)]
pub(super) enum JobKind {
    Create { container: String },
    Exec { container: String, exec: String, timeout: Option<Duration> },
    Poststart { container: String, at_ns: u64 },
    Delete { container: String },
}

/// What a child says before it ends. The pidfd, and the terminal's other end if there is one, come
/// with it.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    result: Result<Option<MadeProcess>, Fault>,
}

#[derive(Debug, Serialize, Deserialize)]
struct MadeProcess {
    pid: i32,
    cgroup: String,
    warnings: Vec<String>,
}

/// A process that a job made, with what came along.
#[derive(Debug)]
struct Delivered {
    pid: i32,
    cgroup: String,
    pidfd: Pidfd,
    terminal: Option<OwnedFd>,
    warnings: Vec<String>,
}

impl Shim {
    /// Starts a job. `work` runs in the child.
    pub(super) fn start_job(
        &mut self,
        kind: JobKind,
        asker: Option<Asker>,
        work: impl FnOnce() -> Result<Option<Made>, Fault>,
    ) -> Result<(), Fault> {
        let (ours, theirs) = pair()?;
        let child = clone3(&CloneArgs::default(), || {
            self.forget_descriptors();
            builder::restore_oom_score_adj(&self.oom_score_adj);
            report(&theirs, work())
        })
        .map_err(|error| sys("fork", &error))?;
        drop(theirs);
        let pid = child.pid.as_raw_nonzero().get();
        let child = Pidfd::from(child.pidfd);
        let token = self.watch(&child, READ, Source::Job)?;
        let timeout = self.deadlines.add(Instant::now() + JOB_TIMEOUT, Due::JobTimeout { token });
        self.jobs.insert(token, Job { kind, asker, socket: ours, pid, child, timeout });
        Ok(())
    }

    /// In the child: containers that are made here wait for their start with copies of whatever is
    /// open, and would keep connections and pipes from ending.
    fn forget_descriptors(&mut self) {
        self.connections.clear();
        self.containers.clear();
        self.jobs.clear();
        self.listener = None;
    }

    pub(super) fn on_job_timeout(&mut self, token: Token) {
        if let Some(job) = self.jobs.get(&token) {
            let line = format!("{:?} takes too long and is killed", job.kind);
            // ESRCH: it has just ended by itself.
            job.child.send_signal(9).unwrap_or_default();
            self.journal.note(&line);
        }
    }

    pub(super) fn on_job_end(&mut self, token: Token) {
        let Some(job) = self.jobs.remove(&token) else { return };
        self.unwatch(&job.child, token);
        self.deadlines.cancel(job.timeout);
        let outcome = receive_report(&job);
        if let Ok(Some(made)) = &outcome {
            for warning in &made.warnings {
                self.journal.note(&format!("{:?}: {warning}", job.kind));
            }
        }
        match job.kind {
            JobKind::Create { container } => self.created(&container, job.asker, outcome),
            JobKind::Exec { container, exec, timeout } => {
                self.execed(&container, &exec, timeout, job.asker, outcome);
            }
            JobKind::Poststart { container, at_ns } => {
                let result = outcome.map(|_nothing| Answer::Started { at_ns });
                if let Err(fault) = &result {
                    self.note(&format!("poststart of {container}"), fault);
                }
                if let Some(asker) = job.asker {
                    self.answer(asker, result);
                }
            }
            JobKind::Delete { container } => {
                self.deleted(&container, job.asker, outcome.map(drop));
            }
        }
    }

    fn created(
        &mut self,
        id: &str,
        asker: Option<Asker>,
        outcome: Result<Option<Delivered>, Fault>,
    ) {
        let attached = outcome
            .and_then(|made| made.ok_or_else(|| invalid("create", id, "nothing was made")))
            .and_then(|made| self.attach(id, made));
        let result = match attached {
            Ok(pid) => {
                self.watch_oom(id);
                Ok(Answer::Created { pid, fds: 0 })
            }
            Err(fault) => {
                self.note("create", &fault);
                self.forget_container(id);
                Err(fault)
            }
        };
        if let Some(asker) = asker {
            self.answer(asker, result);
        }
    }

    /// Takes charge of a container's new process.
    fn attach(&mut self, id: &str, made: Delivered) -> Result<i32, Fault> {
        let source = Source::Process { container: id.to_owned(), exec: None };
        let token = self.watch(&made.pidfd, READ, source)?;
        let mut terminal = None;
        if let Some(master) = made.terminal {
            let failed = |cause| errno("set up terminal", id, cause);
            let reader = rustix::io::fcntl_dupfd_cloexec(&master, 3).map_err(failed)?;
            set_nonblocking(&reader)?;
            let source = Source::Output { container: id.to_owned() };
            let token = self.watch(&reader, READ, source)?;
            let cutter = LineCutter::new(Stream::Stdout);
            terminal = Some((Output { fd: reader, token, cutter }, master));
        }
        let Some(container) = self.containers.get_mut(id) else {
            return Err(super::processes::no_container("create", id));
        };
        container.cgroup = Some(made.cgroup);
        if let Some((output, master)) = terminal {
            container.outputs.push(output);
            container.terminal = Some(master);
        }
        container.life = Life::Alive(Process { pid: made.pid, pidfd: made.pidfd, token });
        Ok(made.pid)
    }

    fn execed(
        &mut self,
        id: &str,
        exec_id: &str,
        timeout: Option<Duration>,
        asker: Option<Asker>,
        outcome: Result<Option<Delivered>, Fault>,
    ) {
        let made = outcome
            .and_then(|made| made.ok_or_else(|| invalid("exec", exec_id, "nothing was made")))
            .and_then(|made| {
                let source =
                    Source::Process { container: id.to_owned(), exec: Some(exec_id.to_owned()) };
                let token = self.watch(&made.pidfd, READ, source)?;
                Ok((made, token))
            });
        let exec = self.containers.get_mut(id).and_then(|one| one.execs.get_mut(exec_id));
        let (result, fds) = match (made, exec) {
            (Ok((made, token)), Some(exec_process)) => {
                let number = exec_process.number;
                exec_process.life =
                    Life::Alive(Process { pid: made.pid, pidfd: made.pidfd, token });
                let mut fds = Vec::new();
                if let Some(master) = made.terminal {
                    // Shared with the client; without a copy here, only its size cannot be set.
                    exec_process.terminal = rustix::io::fcntl_dupfd_cloexec(&master, 3).ok();
                    fds.push(master);
                }
                if let Some(timeout) = timeout {
                    let (container, exec) = (id.to_owned(), exec_id.to_owned());
                    let due = Due::ExecTimeout { container, exec, number };
                    exec_process.timer = Some(self.deadlines.add(Instant::now() + timeout, due));
                }
                let count = u8::try_from(fds.len()).unwrap_or(0);
                (Ok(Answer::Created { pid: made.pid, fds: count }), fds)
            }
            (Ok((made, token)), None) => {
                // The container was removed meanwhile, and the process with it.
                self.unwatch(&made.pidfd, token);
                kill_and_reap(&made.pidfd);
                (Err(super::processes::no_container("exec", id)), Vec::new())
            }
            (Err(fault), _) => {
                let waiters = self
                    .containers
                    .get_mut(id)
                    .and_then(|container| container.execs.remove(exec_id))
                    .map(|exec| exec.waiters)
                    .unwrap_or_default();
                for waiter in waiters {
                    self.answer(waiter, Err(fault.clone()));
                }
                (Err(fault), Vec::new())
            }
        };
        if let Some(asker) = asker {
            self.answer_with(asker, result, fds);
        }
    }

    fn deleted(&mut self, id: &str, asker: Option<Asker>, outcome: Result<(), Fault>) {
        let result = match outcome {
            Ok(()) => {
                self.forget_container(id);
                Ok(Answer::Done)
            }
            Err(fault) => {
                self.note("delete", &fault);
                if let Some(container) = self.containers.get_mut(id) {
                    container.deleting = false;
                }
                if self.ending.is_some() {
                    // There will be no other try.
                    self.forget_container(id);
                }
                Err(fault)
            }
        };
        if let Some(asker) = asker {
            self.answer(asker, result);
        }
    }

    /// Drops all that the shim has of a container that is no more.
    fn forget_container(&mut self, id: &str) {
        self.unwatch_oom(id);
        self.close_outputs(id);
        let Some(container) = self.containers.remove(id) else { return };
        for exec in container.execs.into_values() {
            if let Life::Alive(process) = exec.life {
                self.unwatch(&process.pidfd, process.token);
                kill_and_reap(&process.pidfd);
            }
        }
        for asker in container.waiters {
            self.answer(asker, Err(super::processes::no_container("wait", id)));
        }
        if let Some(stdin) = container.stdin {
            std::fs::remove_file(&stdin.path).unwrap_or_default();
        }
        if let Err(fault) = self.records.remove(id) {
            self.note("record of exit", &fault);
        }
    }
}

/// For a process whose cgroup is gone: it has ended, or is about to.
fn kill_and_reap(pidfd: &Pidfd) {
    pidfd.send_signal(9).unwrap_or_default();
    if let Ok(true) = pidfd.wait_ended(Duration::from_secs(1)) {
        drop(pidfd.try_wait());
    }
}

pub(super) fn set_nonblocking(fd: &OwnedFd) -> Result<(), Fault> {
    let failed = |cause| errno("fcntl", "O_NONBLOCK", cause);
    let flags = rustix::fs::fcntl_getfl(fd).map_err(failed)?;
    rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK).map_err(failed)
}

/// In the child.
fn report(socket: &OwnedFd, outcome: Result<Option<Made>, Fault>) -> i32 {
    let (result, fds) = match outcome {
        Ok(Some(made)) => {
            let fds = [Some(made.pidfd), made.terminal];
            (
                Ok(Some(MadeProcess {
                    pid: made.pid,
                    cgroup: made.cgroup,
                    warnings: made.warnings,
                })),
                fds,
            )
        }
        Ok(None) => (Ok(None), [None, None]),
        Err(fault) => (Err(fault), [None, None]),
    };
    let fds: Vec<_> = fds.iter().flatten().map(OwnedFd::as_fd).collect();
    let Ok(line) = serde_json::to_vec(&Report { result }) else { return 1 };
    match fdpass::send(socket, &line, &fds) {
        Ok(_) => 0,
        Err(_) => 1,
    }
}

/// What a child that has ended said.
fn receive_report(job: &Job) -> Result<Option<Delivered>, Fault> {
    let exit = job.child.wait().map_err(|error| sys("wait for a job", &error))?;
    let mut buffer = vec![0; REPORT_BYTES_MAX];
    // It has ended: this does not block.
    let received =
        fdpass::receive(&job.socket, &mut buffer).map_err(|error| sys("hear of a job", &error))?;
    if received.bytes == 0 {
        let message = format!("it ended with {exit:?} and said nothing");
        return Err(internal("job", format!("{:?}", job.kind), &std::io::Error::other(message)));
    }
    let report: Report = serde_json::from_slice(&buffer[..received.bytes])
        .map_err(|error| internal("job", format!("{:?}", job.kind), &error))?;
    let Some(made) = report.result? else { return Ok(None) };
    let mut fds = received.fds.into_iter();
    let pidfd = fds.next().ok_or_else(|| invalid("job", "report", "it has no pidfd"))?;
    Ok(Some(Delivered {
        pid: made.pid,
        cgroup: made.cgroup,
        pidfd: Pidfd::from(pidfd),
        terminal: fds.next(),
        warnings: made.warnings,
    }))
}

//! The ends of processes, and what the OOM killer does.

use std::time::{Duration, Instant};

use corten_runtime_cgroup::{Cgroup, CgroupPath, Error as CgroupError, OomInterest};
use corten_sys_linux::fdpass;
use corten_sys_linux::pidfd::Exit;
use rustix::io::Errno;

use super::jobs::JobKind;
use super::{Due, Shim, Source, now_ns};
use crate::builder;
use crate::container::{Asker, Life, Starting};
use crate::fault::internal;
use crate::poller::{PRIORITY, READ};
use crate::protocol::{Answer, Event, Exited, Fault, FaultCode};

/// Until the OOM killer's count has surely risen.
const OOM_CHECK_AFTER: Duration = Duration::from_millis(200);
const SIGKILL: i32 = 9;

impl Shim {
    /// A container's first process has ended.
    pub(super) fn on_container_end(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Life::Alive(process) = &container.life else { return };
        let exit = match process.pidfd.try_wait() {
            Ok(Some(exit)) => exit,
            Ok(None) => return,
            Err(error) => {
                // Reaped by somebody else: that it ended is all that can be told.
                self.journal.note(&format!("wait for {id}: {error}"));
                Exit::Code(255)
            }
        };
        let at_ns = now_ns();
        self.finish_start(id, true);
        // Without a pid namespace of its own a container leaves processes behind.
        self.kill_cgroup(id);
        self.check_oom(id);
        self.drain_outputs(id);
        let Some(container) = self.containers.get_mut(id) else { return };
        let exited = exited(exit, at_ns, container.oom_kills > 0);
        let Life::Alive(process) = std::mem::replace(&mut container.life, Life::Ended(exited))
        else {
            return;
        };
        container.gate = None;
        container.terminal = None;
        let waiters = std::mem::take(&mut container.waiters);
        self.unwatch(&process.pidfd, process.token);
        // On disk first: whoever hears of it may rely on it.
        if let Err(fault) = self.records.write(id, &exited) {
            self.note("record of exit", &fault);
        }
        for asker in waiters {
            self.answer(asker, Ok(Answer::Exited(exited)));
        }
        self.publish(&Event::Exit { container_id: id.to_owned(), exec_id: None, exited });
    }

    pub(super) fn on_exec_end(&mut self, id: &str, exec_id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Some(exec) = container.execs.get_mut(exec_id) else { return };
        let Life::Alive(process) = &exec.life else { return };
        let exit = match process.pidfd.try_wait() {
            Ok(Some(exit)) => exit,
            Ok(None) => return,
            Err(error) => {
                self.journal.note(&format!("wait for exec {exec_id} in {id}: {error}"));
                Exit::Code(255)
            }
        };
        let killed = exit == Exit::Signal(SIGKILL);
        let at_ns = now_ns();
        let timed_out = exec.timed_out;
        let before = container.oom_kills;
        if killed && !timed_out {
            self.check_oom(id);
        }
        let Some(container) = self.containers.get_mut(id) else { return };
        let mut exited = exited(exit, at_ns, container.oom_kills > before);
        exited.timed_out = timed_out;
        let Some(exec) = container.execs.get_mut(exec_id) else { return };
        let Life::Alive(process) = std::mem::replace(&mut exec.life, Life::Ended(exited)) else {
            return;
        };
        exec.terminal = None;
        if let Some(timer) = exec.timer.take() {
            self.deadlines.cancel(timer);
        }
        let waiters = std::mem::take(&mut exec.waiters);
        container.trim_execs();
        self.unwatch(&process.pidfd, process.token);
        for asker in waiters {
            self.answer(asker, Ok(Answer::Exited(exited)));
        }
        let exec_id = Some(exec_id.to_owned());
        self.publish(&Event::Exit { container_id: id.to_owned(), exec_id, exited });
    }

    pub(super) fn on_exec_timeout(&mut self, id: &str, exec_id: &str, number: u64) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Some(exec) = container.execs.get_mut(exec_id) else { return };
        // The id may have been used again.
        if exec.number != number {
            return;
        }
        let Life::Alive(process) = &exec.life else { return };
        exec.timed_out = true;
        // It leads its process group; not reaped yet, so its id is nobody else's.
        if let Some(group) = rustix::process::Pid::from_raw(process.pid) {
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL)
                .unwrap_or_default();
        }
        // ESRCH: it has just ended by itself.
        process.pidfd.send_signal(SIGKILL).unwrap_or_default();
    }

    /// The gate of a container that was told to start: closed when its program runs, else what went
    /// wrong comes through it.
    pub(super) fn on_gate(&mut self, id: &str) {
        self.finish_start(id, false);
    }

    /// `last`: there is nothing to wait for any more.
    fn finish_start(&mut self, id: &str, last: bool) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let (Some(Starting { .. }), Some(gate)) = (&container.starting, &container.gate) else {
            return;
        };
        let mut message = vec![0; 4096];
        let received = fdpass::receive(gate, &mut message);
        if !last && received.as_ref().is_err_and(|error| error.errno == Errno::AGAIN) {
            return;
        }
        let Some(Starting { asker, token }) = container.starting.take() else { return };
        let Some(gate) = container.gate.take() else { return };
        let result = match received {
            Ok(received) if received.bytes == 0 => {
                let at_ns = now_ns();
                container.started_at_ns = Some(at_ns);
                if let Err(fault) = builder::mark_started(&self.spec.state_dir, id) {
                    self.journal.note(&format!("start: {fault}"));
                }
                if builder::has_poststart(&self.spec.state_dir, id) {
                    self.unwatch(&gate, token);
                    return self.poststart(asker, id, at_ns);
                }
                Ok(Answer::Started { at_ns })
            }
            Ok(received) => {
                message.truncate(received.bytes);
                Err(builder::start_failure(id, &message))
            }
            Err(error) => Err(internal("start", id, &error)),
        };
        self.unwatch(&gate, token);
        self.answer(asker, result);
    }

    /// Runs what a start must run before it is answered.
    fn poststart(&mut self, asker: Asker, id: &str, at_ns: u64) {
        let (state_dir, name) = (self.spec.state_dir.clone(), id.to_owned());
        let kind = JobKind::Poststart { container: id.to_owned(), at_ns };
        let started = self.start_job(kind, Some(asker), move || {
            builder::poststart(&state_dir, &name).map(|()| None)
        });
        if let Err(fault) = started {
            self.note("poststart", &fault);
            self.answer(asker, Err(fault));
        }
    }

    /// Reaps children that nobody will ask about: processes that a job made and gave up. As a zombie
    /// one of them would keep its container's pid namespace, and so the container, from ending.
    pub(super) fn reap_strays(&mut self) {
        if self.jobs.values().any(super::jobs::Job::makes_a_process) {
            // One of them may be about to be reported. The job's end comes here again.
            return;
        }
        self.strays = false;
        let alive = |life: &Life| match life {
            Life::Alive(process) => Some(process.pid),
            Life::Making | Life::Ended(_) => None,
        };
        let known: Vec<i32> = self
            .containers
            .values()
            .flat_map(|one| {
                std::iter::once(&one.life).chain(one.execs.values().map(|exec| &exec.life))
            })
            .filter_map(alive)
            .chain(self.jobs.values().map(|job| job.pid))
            .collect();
        let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
        for pid in children.split_whitespace().filter_map(|word| word.parse::<i32>().ok()) {
            if known.contains(&pid) {
                continue;
            }
            let Some(stray) = rustix::process::Pid::from_raw(pid) else { continue };
            // Only if it has ended; how does not matter to anybody.
            match rustix::process::waitpid(Some(stray), rustix::process::WaitOptions::NOHANG) {
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Sets up the watch on a container's memory; without a memory controller there is none.
    pub(super) fn watch_oom(&mut self, id: &str) {
        let Some(container) = self.containers.get(id) else { return };
        let Some(group) = container.cgroup.as_deref() else { return };
        let watch = CgroupPath::new(group)
            .and_then(|path| Cgroup::open(&self.sandbox.hierarchies, &path))
            .and_then(|group| group.oom_events());
        let watched = match watch {
            Ok(watch) => {
                let interest = match watch.interest() {
                    OomInterest::Readable => READ,
                    OomInterest::Priority => PRIORITY,
                };
                let source = Source::Oom { container: id.to_owned() };
                self.watch(watch.fd(), interest, source).map(|token| (watch, token))
            }
            Err(CgroupError::ControllerMissing { .. }) => return,
            Err(error) => Err(internal("watch for OOM", id, &error)),
        };
        match watched {
            Ok(watched) => {
                if let Some(container) = self.containers.get_mut(id) {
                    container.oom = Some(watched);
                }
            }
            Err(fault) => self.note("container", &fault),
        }
    }

    pub(super) fn on_oom(&mut self, id: &str) {
        self.check_oom(id);
        if self.containers.contains_key(id) {
            let due = Due::OomCheck { container: id.to_owned() };
            self.deadlines.add(Instant::now() + OOM_CHECK_AFTER, due);
        }
    }

    /// Reads the OOM killer's count, and tells if it has risen.
    pub(super) fn check_oom(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Some((watch, _)) = &container.oom else { return };
        match watch.acknowledge() {
            Ok(Some(kills)) if kills > container.oom_kills => {
                container.oom_kills = kills;
                self.publish(&Event::Oom { container_id: id.to_owned() });
            }
            Ok(Some(_)) => {}
            // The cgroup is gone.
            Ok(None) => self.unwatch_oom(id),
            Err(error) => {
                let fault = internal("read OOM count", id, &error);
                self.unwatch_oom(id);
                self.note("container", &fault);
            }
        }
    }

    pub(super) fn unwatch_oom(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        if let Some((watch, token)) = container.oom.take() {
            self.unwatch(watch.fd(), token);
        }
    }

    /// Kills all processes in a container's cgroup.
    pub(super) fn kill_cgroup(&mut self, id: &str) {
        let outcome = self
            .with_cgroup(id, |group| if group.pids()?.is_empty() { Ok(()) } else { group.kill() });
        if let Err(fault) = outcome {
            self.note("kill what is left", &fault);
        }
    }

    /// Does something with a container's cgroup, if it is there.
    pub(super) fn with_cgroup(
        &self,
        id: &str,
        action: impl FnOnce(&Cgroup) -> Result<(), CgroupError>,
    ) -> Result<(), Fault> {
        let group = self.containers.get(id).and_then(|container| container.cgroup.as_deref());
        let Some(group) = group else { return Ok(()) };
        let opened =
            CgroupPath::new(group).and_then(|path| Cgroup::open(&self.sandbox.hierarchies, &path));
        match opened.and_then(|group| action(&group)) {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::NODEV)) => Ok(()),
            Err(error) => Err(internal("cgroup", group, &error)),
        }
    }
}

/// The OOM killer uses SIGKILL; a shell passes that on as 137.
fn exited(exit: Exit, at_ns: u64, oom_kills: bool) -> Exited {
    let code = exit.status();
    let signal = match exit {
        Exit::Code(_) => None,
        Exit::Signal(signal) => Some(signal),
    };
    Exited { code, signal, at_ns, oom_killed: oom_kills && code == 128 + SIGKILL, timed_out: false }
}

/// There is no such container.
pub(super) fn no_container(step: &str, id: &str) -> Fault {
    Fault::new(FaultCode::NotFound, step, id, "there is no such container in this sandbox")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kill_is_the_oom_killers() {
        assert!(exited(Exit::Signal(9), 1, true).oom_killed);
        assert!(exited(Exit::Code(137), 1, true).oom_killed);
        assert!(!exited(Exit::Signal(9), 1, false).oom_killed);
        assert!(!exited(Exit::Code(1), 1, true).oom_killed);
        assert_eq!(exited(Exit::Signal(15), 1, false).code, 143);
    }
}

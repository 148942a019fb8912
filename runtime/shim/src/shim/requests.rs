//! What clients ask for.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use super::Shim;
use super::jobs::JobKind;
use super::making::{CreateOptions, EXEC_TIMEOUT_MAX};
use super::processes::no_container;
use crate::builder;
use crate::container::{Asker, Container, Life};
use crate::fault::{internal, invalid, sys};
use crate::protocol::{Answer, ContainerStatus, Fault, FaultCode, Op, VERSION};

const SIGKILL: i32 = 9;
/// Requests that wait for one process.
const WAITERS_MAX: usize = 1024;

impl Shim {
    pub(super) fn on_request(&mut self, asker: Asker, op: Op, fds: Vec<OwnedFd>) {
        // What is answered later gives nothing here.
        let result = match op {
            Op::Hello => Ok(Some(Answer::Hello {
                version: VERSION,
                pid: rustix::process::getpid().as_raw_nonzero().get(),
                sandbox_id: self.spec.sandbox_id.clone(),
            })),
            Op::Create { container_id, bundle, log_path, terminal, stdin, stdin_once } => {
                let options = CreateOptions { bundle, log_path, terminal, stdin, stdin_once };
                self.create(asker, &container_id, options).map(|()| None)
            }
            Op::Start { container_id } => self.start_container(asker, &container_id).map(|()| None),
            Op::Exec { container_id, exec_id, process, stdio, timeout_ms } => {
                let timeout = timeout_ms
                    .map(Duration::from_millis)
                    .map(|timeout| timeout.min(EXEC_TIMEOUT_MAX));
                self.exec(asker, (&container_id, &exec_id), process, (stdio, fds), timeout)
                    .map(|()| None)
            }
            Op::Kill { container_id, exec_id, signal, all } => {
                self.kill(&container_id, exec_id.as_deref(), signal, all).map(Some)
            }
            Op::Wait { container_id, exec_id } => {
                self.wait(asker, &container_id, exec_id.as_deref())
            }
            Op::State => Ok(Some(self.state())),
            Op::Delete { container_id } => self.delete(asker, &container_id).map(|()| None),
            Op::ReopenLog { container_id } => self.reopen_log(&container_id).map(Some),
            Op::Resize { container_id, exec_id, width, height } => {
                self.resize(&container_id, exec_id.as_deref(), width, height).map(Some)
            }
            Op::Attach { container_id, stdout, stderr } => {
                self.attach_client(asker, &container_id, (stdout, stderr), fds).map(|()| None)
            }
            Op::OpenStdin { container_id } => self.open_stdin(&container_id).map(|writer| {
                self.answer_with(asker, Ok(Answer::Stdin { fds: 1 }), vec![writer]);
                None
            }),
            Op::CloseStdin { container_id } => self.close_stdin(&container_id).map(Some),
            Op::Subscribe => {
                if let Some(connection) = self.connections.get_mut(&asker.connection) {
                    connection.subscribed = true;
                }
                Ok(Some(Answer::Done))
            }
            Op::Shutdown { force } => self.shutdown(asker, force).map(|()| None),
        };
        match result {
            Ok(Some(answer)) => self.answer(asker, Ok(answer)),
            Ok(None) => {}
            Err(fault) => self.answer(asker, Err(fault)),
        }
    }

    fn kill(
        &mut self,
        id: &str,
        exec_id: Option<&str>,
        signal: i32,
        all: bool,
    ) -> Result<Answer, Fault> {
        if !(0..=corten_sys_linux::signal::LAST).contains(&signal) {
            return Err(invalid("kill", "signal", format!("{signal} is no signal")));
        }
        let Some(container) = self.containers.get(id) else { return Err(no_container("kill", id)) };
        if all {
            if exec_id.is_some() {
                return Err(invalid("kill", "all", "is for a container, not for an exec"));
            }
            return self
                .with_cgroup(id, |group| builder::signal_all(group, signal))
                .map(|()| Answer::Done);
        }
        let life = match exec_id {
            None => &container.life,
            Some(exec_id) => match container.execs.get(exec_id) {
                Some(exec) => &exec.life,
                None => return Err(no_exec("kill", exec_id)),
            },
        };
        let Life::Alive(process) = life else {
            return Err(wrong_state("kill", exec_id.unwrap_or(id), "has no process"));
        };
        process.pidfd.send_signal(signal).map_err(|error| {
            if error.errno == rustix::io::Errno::SRCH {
                wrong_state("kill", exec_id.unwrap_or(id), "has ended")
            } else {
                sys("kill", &error)
            }
        })?;
        if signal == SIGKILL && exec_id.is_none() {
            // A frozen container dies only once it is thawed.
            if let Err(fault) = self.with_cgroup(id, corten_runtime_cgroup::Cgroup::thaw) {
                self.note("thaw", &fault);
            }
        }
        Ok(Answer::Done)
    }

    fn wait(
        &mut self,
        asker: Asker,
        id: &str,
        exec_id: Option<&str>,
    ) -> Result<Option<Answer>, Fault> {
        let Some(container) = self.containers.get_mut(id) else {
            return Err(no_container("wait", id));
        };
        let (life, waiters) = match exec_id {
            None => (&container.life, &mut container.waiters),
            Some(exec_id) => match container.execs.get_mut(exec_id) {
                Some(exec) => (&exec.life, &mut exec.waiters),
                None => return Err(no_exec("wait", exec_id)),
            },
        };
        if let Life::Ended(exited) = life {
            return Ok(Some(Answer::Exited(*exited)));
        }
        if waiters.len() >= WAITERS_MAX {
            return Err(wrong_state("wait", exec_id.unwrap_or(id), "too many wait for it already"));
        }
        waiters.push(asker);
        Ok(None)
    }

    fn state(&self) -> Answer {
        let mut containers: Vec<_> = self.containers.values().map(Container::state).collect();
        containers.sort_by_key(|container| container.created_at_ns);
        Answer::State { containers }
    }

    fn delete(&mut self, asker: Asker, id: &str) -> Result<(), Fault> {
        let Some(container) = self.containers.get(id) else {
            return Err(no_container("delete", id));
        };
        let status = container.status();
        if status != ContainerStatus::Stopped {
            return Err(wrong_state("delete", id, &format!("is {status:?}, not Stopped")));
        }
        if container.deleting {
            return Err(wrong_state("delete", id, "is being deleted"));
        }
        self.start_delete(id, Some(asker))
    }

    pub(super) fn start_delete(&mut self, id: &str, asker: Option<Asker>) -> Result<(), Fault> {
        let (state_dir, name) = (self.spec.state_dir.clone(), id.to_owned());
        self.start_job(JobKind::Delete { container: id.to_owned() }, asker, move || {
            builder::delete(&state_dir, &name).map(|()| None)
        })?;
        if let Some(container) = self.containers.get_mut(id) {
            container.deleting = true;
        }
        Ok(())
    }

    fn reopen_log(&mut self, id: &str) -> Result<Answer, Fault> {
        let Some(container) = self.containers.get_mut(id) else {
            return Err(no_container("reopen log", id));
        };
        match &mut container.log {
            Some(log) => log.reopen().map(|()| Answer::Done),
            None => Err(wrong_state("reopen log", id, "has no log file")),
        }
    }

    fn resize(
        &mut self,
        id: &str,
        exec_id: Option<&str>,
        width: u16,
        height: u16,
    ) -> Result<Answer, Fault> {
        let Some(container) = self.containers.get(id) else {
            return Err(no_container("resize", id));
        };
        let terminal = match exec_id {
            None => &container.terminal,
            Some(exec_id) => match container.execs.get(exec_id) {
                Some(exec) => &exec.terminal,
                None => return Err(no_exec("resize", exec_id)),
            },
        };
        let Some(terminal) = terminal else {
            return Err(wrong_state("resize", exec_id.unwrap_or(id), "has no terminal"));
        };
        let size =
            rustix::termios::Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(terminal.as_fd(), size)
            .map(|()| Answer::Done)
            .map_err(|cause| internal("resize", id, &cause))
    }

    fn close_stdin(&mut self, id: &str) -> Result<Answer, Fault> {
        let Some(container) = self.containers.get_mut(id) else {
            return Err(no_container("close stdin", id));
        };
        let Some(stdin) = &mut container.stdin else {
            return Err(wrong_state("close stdin", id, "has no standard input"));
        };
        stdin.hold = None;
        stdin.ended = true;
        if let (true, Some(path)) = (stdin.once, &stdin.path) {
            // Nobody can write to it again.
            std::fs::remove_file(path).unwrap_or_default();
        }
        Ok(Answer::Done)
    }
}

pub(super) fn wrong_state(step: &str, object: &str, message: &str) -> Fault {
    Fault::new(FaultCode::State, step, object, message)
}

fn no_exec(step: &str, exec_id: &str) -> Fault {
    Fault::new(FaultCode::NotFound, step, exec_id, "there is no such exec in this container")
}

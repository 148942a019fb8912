//! What clients ask for.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags};

use super::jobs::{JobKind, set_nonblocking};
use super::processes::no_container;
use super::{Shim, Source, now_ns};
use crate::builder::{self, ChildStdio};
use crate::container::{Asker, Container, Exec, Life, Output, Starting, Stdin};
use crate::crilog::{LineCutter, LogFile, Stream};
use crate::fault::{errno, internal, invalid, io, sys};
use crate::id;
use crate::poller::READ;
use crate::protocol::{Answer, ContainerStatus, Fault, FaultCode, Op, VERSION};
use crate::sandbox::pair;

const SIGKILL: i32 = 9;
/// A pod has a handful; this only bounds what a client gone wild can cost.
const CONTAINERS_MAX: usize = 512;
/// Processes executed at a time in one container.
const EXECS_ALIVE_MAX: usize = 256;
/// Requests that wait for one process.
const WAITERS_MAX: usize = 1024;
/// An exec's longest time; more is as good as none.
const EXEC_TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// What [`Op::Create`] says.
struct CreateOptions {
    bundle: PathBuf,
    log_path: Option<PathBuf>,
    terminal: bool,
    stdin: bool,
    stdin_once: bool,
}

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

    fn create(&mut self, asker: Asker, id: &str, options: CreateOptions) -> Result<(), Fault> {
        self.refuse_while_ending("create", id)?;
        id::check("container_id", id)?;
        if self.containers.contains_key(id) {
            return Err(Fault::new(FaultCode::Exists, "create", id, "there is one of this id"));
        }
        if self.containers.len() >= CONTAINERS_MAX {
            return Err(Fault::new(
                FaultCode::State,
                "create",
                id,
                "there are too many containers",
            ));
        }
        if !options.bundle.is_absolute() {
            return Err(invalid("create", "bundle", "is not an absolute path"));
        }
        if options.terminal && options.stdin {
            return Err(invalid(
                "create",
                "stdin",
                "a container's terminal takes no input yet: leave stdin out, or terminal",
            ));
        }
        let mut container = Container::new(id, now_ns());
        if let Some(path) = &options.log_path {
            container.log = Some(LogFile::open(path)?);
        }
        let stdio = if options.terminal {
            ChildStdio::Terminal
        } else {
            self.streams(&mut container, options.stdin, options.stdin_once)?
        };
        let (gate, theirs) = pair()?;
        set_nonblocking(&gate)?;
        container.gate = Some(gate);
        self.containers.insert(id.to_owned(), container);
        let (state_dir, name) = (self.spec.state_dir.clone(), id.to_owned());
        let started =
            self.start_job(JobKind::Create { container: id.to_owned() }, Some(asker), move || {
                builder::create(&state_dir, &name, &options.bundle, stdio, theirs).map(Some)
            });
        if started.is_err() {
            self.close_outputs(id);
            self.containers.remove(id);
        }
        started
    }

    /// Pipes for a container's output, and something for its input.
    fn streams(
        &mut self,
        container: &mut Container,
        stdin: bool,
        stdin_once: bool,
    ) -> Result<ChildStdio, Fault> {
        let input = if stdin {
            let (reader, stdin) = self.stdin_fifo(&container.id, stdin_once)?;
            container.stdin = Some(stdin);
            reader
        } else {
            dev_null()?
        };
        let mut writers = Vec::new();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
                .map_err(|cause| errno("pipe", container.id.as_str(), cause))?;
            set_nonblocking(&reader)?;
            let source = Source::Output { container: container.id.clone() };
            let token = self.watch(&reader, READ, source)?;
            container.outputs.push(Output { fd: reader, token, cutter: LineCutter::new(stream) });
            writers.push(writer);
        }
        let mut writers = writers.into_iter();
        match (writers.next(), writers.next()) {
            (Some(stdout), Some(stderr)) => Ok(ChildStdio::Fds { stdin: input, stdout, stderr }),
            _ => Err(invalid("create", container.id.as_str(), "has no streams")),
        }
    }

    /// A FIFO that clients write to. The shim holds it open for writing, so that the container sees
    /// the end only when it is told to.
    fn stdin_fifo(&self, id: &str, once: bool) -> Result<(OwnedFd, Stdin), Fault> {
        let dir = self.stdin_dir();
        match std::fs::create_dir(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(io("mkdir", &dir, &error));
            }
            Ok(()) | Err(_) => {}
        }
        let path = dir.join(id);
        let failed = |step: &str, cause| errno(step, path.display().to_string(), cause);
        std::fs::remove_file(&path).unwrap_or_default();
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .map_err(|cause| failed("mkfifo", cause))?;
        let flags = OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let reader = rustix::fs::openat(CWD, &path, flags | OFlags::RDONLY, Mode::empty())
            .map_err(|cause| failed("open", cause))?;
        let hold = rustix::fs::openat(CWD, &path, flags | OFlags::WRONLY, Mode::empty())
            .map_err(|cause| failed("open", cause))?;
        // The container expects to block.
        rustix::fs::fcntl_setfl(&reader, OFlags::RDONLY).map_err(|cause| failed("fcntl", cause))?;
        Ok((reader, Stdin { hold: Some(hold), path, once }))
    }

    fn start_container(&mut self, asker: Asker, id: &str) -> Result<(), Fault> {
        let Some(container) = self.containers.get_mut(id) else {
            return Err(no_container("start", id));
        };
        let status = container.status();
        let (ContainerStatus::Created, None, Some(gate)) =
            (status, &container.starting, &container.gate)
        else {
            return Err(wrong_state("start", id, &format!("is {status:?} or being started")));
        };
        builder::release(gate, id)?;
        let source = Source::Gate { container: id.to_owned() };
        let token = self.poller.add(gate, READ)?;
        self.sources.insert(token, source);
        container.starting = Some(Starting { asker, token });
        Ok(())
    }

    fn exec(
        &mut self,
        asker: Asker,
        (id, exec_id): (&str, &str),
        process: serde_json::Value,
        (stdio, fds): (u8, Vec<OwnedFd>),
        timeout: Option<Duration>,
    ) -> Result<(), Fault> {
        self.refuse_while_ending("exec", id)?;
        id::check("exec_id", exec_id)?;
        let terminal = process.get("terminal").and_then(serde_json::Value::as_bool) == Some(true);
        let mut fds = fds.into_iter();
        let stdio = match (stdio, terminal, fds.next(), fds.next(), fds.next()) {
            (3, false, Some(stdin), Some(stdout), Some(stderr)) => {
                ChildStdio::Fds { stdin, stdout, stderr }
            }
            (0, true, ..) => ChildStdio::Terminal,
            (0, false, ..) => {
                ChildStdio::Fds { stdin: dev_null()?, stdout: dev_null()?, stderr: dev_null()? }
            }
            _ => {
                let message = "must be 3, or 0; with a terminal it must be 0";
                return Err(invalid("exec", "stdio", message));
            }
        };
        let number = self.next_exec;
        let Some(container) = self.containers.get_mut(id) else {
            return Err(no_container("exec", id));
        };
        let status = container.status();
        if status != ContainerStatus::Running || container.deleting {
            return Err(wrong_state("exec", id, &format!("is {status:?}, not Running")));
        }
        if container.execs.contains_key(exec_id) {
            return Err(Fault::new(FaultCode::Exists, "exec", exec_id, "there is one of this id"));
        }
        let alive = container.execs.values().filter(|exec| !matches!(exec.life, Life::Ended(_)));
        if alive.count() >= EXECS_ALIVE_MAX {
            return Err(wrong_state("exec", id, "has too many processes executed in it already"));
        }
        let exec = Exec {
            number,
            life: Life::Making,
            timed_out: false,
            timer: None,
            terminal: None,
            waiters: Vec::new(),
        };
        container.execs.insert(exec_id.to_owned(), exec);
        self.next_exec += 1;
        let (state_dir, name) = (self.spec.state_dir.clone(), id.to_owned());
        let (container, exec) = (id.to_owned(), exec_id.to_owned());
        let kind = JobKind::Exec { container, exec, timeout };
        let started = self.start_job(kind, Some(asker), move || {
            builder::exec(&state_dir, &name, &process, stdio).map(Some)
        });
        if started.is_err()
            && let Some(container) = self.containers.get_mut(id)
        {
            container.execs.remove(exec_id);
        }
        started
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
        if stdin.once {
            // Nobody can write to it again.
            std::fs::remove_file(&stdin.path).unwrap_or_default();
        }
        Ok(Answer::Done)
    }

    fn refuse_while_ending(&self, step: &str, id: &str) -> Result<(), Fault> {
        if self.ending.is_some() {
            return Err(wrong_state(step, id, "the sandbox is being shut down"));
        }
        Ok(())
    }
}

fn wrong_state(step: &str, object: &str, message: &str) -> Fault {
    Fault::new(FaultCode::State, step, object, message)
}

fn no_exec(step: &str, exec_id: &str) -> Fault {
    Fault::new(FaultCode::NotFound, step, exec_id, "there is no such exec in this container")
}

/// The host's, checked to be it.
fn dev_null() -> Result<OwnedFd, Fault> {
    let failed = |cause| errno("open", "/dev/null", cause);
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(CWD, c"/dev/null", flags, Mode::empty()).map_err(failed)?;
    match corten_sys_linux::path::is_dev_null(file.as_fd()) {
        Ok(true) => Ok(file),
        Ok(false) => Err(invalid("open", "/dev/null", "is not the null device")),
        Err(cause) => Err(failed(cause)),
    }
}

//! New processes: containers, and what is executed in them.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags};

use super::jobs::{JobKind, set_nonblocking};
use super::processes::no_container;
use super::requests::wrong_state;
use super::{Shim, Source, now_ns};
use crate::builder::{self, ChildStdio};
use crate::container::{Asker, Container, Exec, Life, Output, Starting, Stdin};
use crate::crilog::{LineCutter, LogFile, Stream};
use crate::fault::{errno, invalid, io};
use crate::id;
use crate::poller::READ;
use crate::protocol::{ContainerStatus, Fault, FaultCode};
use crate::sandbox::pair;

/// A pod has a handful; this only bounds what a client gone wild can cost.
const CONTAINERS_MAX: usize = 512;
/// Processes executed at a time in one container.
const EXECS_ALIVE_MAX: usize = 256;
/// An exec's longest time; more is as good as none.
pub(super) const EXEC_TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// What [`Op::Create`] says.
pub(super) struct CreateOptions {
    pub(super) bundle: PathBuf,
    pub(super) log_path: Option<PathBuf>,
    pub(super) terminal: bool,
    pub(super) stdin: bool,
    pub(super) stdin_once: bool,
}

impl Shim {
    pub(super) fn create(
        &mut self,
        asker: Asker,
        id: &str,
        options: CreateOptions,
    ) -> Result<(), Fault> {
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
        let mut container = Container::new(id, now_ns());
        if let Some(path) = &options.log_path {
            container.log = Some(LogFile::open(path)?);
        }
        let stdio = if options.terminal {
            if options.stdin {
                let once = options.stdin_once;
                container.stdin = Some(Stdin { hold: None, path: None, once, ended: false });
            }
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
        Ok((reader, Stdin { hold: Some(hold), path: Some(path), once, ended: false }))
    }

    pub(super) fn start_container(&mut self, asker: Asker, id: &str) -> Result<(), Fault> {
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

    pub(super) fn exec(
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

    fn refuse_while_ending(&self, step: &str, id: &str) -> Result<(), Fault> {
        if self.ending.is_some() {
            return Err(wrong_state(step, id, "the sandbox is being shut down"));
        }
        Ok(())
    }
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

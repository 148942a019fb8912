//! Running a command in a container and waiting for it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use corten_api_cri::v1::ExecSyncResponse;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use super::start::need_sandbox;
use super::{Container, bundle};
use crate::error::{Kind, OperationError, Outcome};
use crate::service::Service;
use crate::shim::{Exited, Shim, ShimError};
use crate::spec;
use crate::store::ContainerPhase;

/// Both streams together stay below what a client takes in one message.
const OUTPUT_BYTES_MAX: usize = corten_api_cri::MESSAGE_BYTES_MAX / 2 - 64 * 1024;
/// What the command left behind may hold its output open: how long more of it is waited for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// More than anyone means.
const LIMIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The shim ends a command whose time is up; how much longer it is waited for.
const LIMIT_GRACE: Duration = Duration::from_secs(10);

/// Runs `command`, for at most `timeout_seconds` if that is not zero. Output past the bound is
/// read and dropped, so that the command goes on.
pub(crate) async fn exec_sync(
    service: &Arc<Service>,
    container: &Arc<Container>,
    command: Vec<String>,
    timeout_seconds: i64,
) -> Outcome<ExecSyncResponse> {
    if command.is_empty() {
        return Err(OperationError::invalid("cmd", "empty"));
    }
    let limit = match u64::try_from(timeout_seconds) {
        Ok(0) => None,
        Ok(seconds) => Some(Duration::from_secs(seconds).min(LIMIT_MAX)),
        Err(_negative) => return Err(OperationError::invalid("timeout", "negative")),
    };
    let (shim, process) = command_process(service, container, &command, false).await?;
    let (stdio, streams) = pipes().map_err(|source| OperationError::Internal {
        doing: "making pipes",
        source: Box::new(source),
    })?;
    let exec_id = service.parts.ids.next();
    let failed = |source| shim_error(container, source);
    shim.exec(&container.id, &exec_id, process, stdio, limit).await.map_err(failed)?;
    let mut reading = Reading::new(streams);
    let exited = {
        let wait = shim.wait_exec(&container.id, &exec_id);
        tokio::pin!(wait);
        let patience = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit + LIMIT_GRACE).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(patience);
        loop {
            tokio::select! {
                exited = &mut wait => break exited.map_err(failed)?,
                () = reading.step(), if reading.open() => {}
                () = &mut patience => return Err(too_long(container, &command, limit)),
            }
        }
    };
    if exited.timed_out {
        return Err(too_long(container, &command, limit));
    }
    // An error here only means that something else still holds the pipe.
    drop(tokio::time::timeout(DRAIN_TIMEOUT, reading.drain()).await);
    Ok(reading.response(exited))
}

/// What the shim is to run for a command in a running container, and the shim.
pub(crate) async fn command_process(
    service: &Service,
    container: &Container,
    command: &[String],
    terminal: bool,
) -> Outcome<(Arc<dyn Shim>, Value)> {
    if container.phase() != ContainerPhase::Running {
        return Err(OperationError::State {
            kind: Kind::Container,
            id: container.id.clone(),
            state: container.phase().as_str(),
            wanted: "commands run only in a running one",
        });
    }
    let shim = need_sandbox(service, container)?.need_shim()?;
    let dir = service.config.bundle_dir(&container.id);
    let config = service.blocking("read a bundle", move |_| bundle::read(&dir)).await??;
    let process = spec::exec_process(&config, command, terminal)
        .ok_or_else(|| OperationError::invalid("container_id", "its bundle has no process"))?;
    Ok((shim, process))
}

pub(crate) fn shim_error(container: &Container, source: ShimError) -> OperationError {
    OperationError::Shim {
        doing: "a command in",
        kind: Kind::Container,
        id: container.id.clone(),
        source,
    }
}

fn too_long(container: &Container, command: &[String], limit: Option<Duration>) -> OperationError {
    OperationError::Timeout {
        doing: format!("command {:?} in container {}", command[0], container.id),
        seconds: limit.unwrap_or_default().as_secs(),
    }
}

/// The command's ends of its streams: no input, and two pipes; and our ends of the pipes.
fn pipes() -> io::Result<([OwnedFd; 3], [pipe::Receiver; 2])> {
    let null = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    let one = || -> io::Result<(OwnedFd, pipe::Receiver)> {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        Ok((writer, pipe::Receiver::from_owned_fd(reader)?))
    };
    let (stdout, out) = one()?;
    let (stderr, err) = one()?;
    Ok(([null, stdout, stderr], [out, err]))
}

/// What was read of both streams so far.
#[derive(Debug)]
struct Reading {
    streams: [Stream; 2],
}

#[derive(Debug)]
struct Stream {
    pipe: Option<pipe::Receiver>,
    kept: Vec<u8>,
    buffer: Vec<u8>,
}

impl Stream {
    /// Reads what is there; safe to be dropped while it waits, as nothing is read then.
    async fn step(&mut self) {
        let Some(pipe) = &mut self.pipe else {
            std::future::pending::<()>().await;
            return;
        };
        match pipe.read(&mut self.buffer).await {
            Ok(0) | Err(_) => self.pipe = None,
            Ok(count) => {
                let room = OUTPUT_BYTES_MAX - self.kept.len();
                self.kept.extend_from_slice(&self.buffer[..count.min(room)]);
            }
        }
    }
}

impl Reading {
    fn new(pipes: [pipe::Receiver; 2]) -> Self {
        let stream =
            |pipe| Stream { pipe: Some(pipe), kept: Vec::new(), buffer: vec![0; 16 * 1024] };
        Self { streams: pipes.map(stream) }
    }

    fn open(&self) -> bool {
        self.streams.iter().any(|stream| stream.pipe.is_some())
    }

    async fn step(&mut self) {
        let [out, err] = &mut self.streams;
        tokio::select! {
            () = out.step() => {}
            () = err.step() => {}
        }
    }

    async fn drain(&mut self) {
        while self.open() {
            self.step().await;
        }
    }

    fn response(self, exited: Exited) -> ExecSyncResponse {
        let [out, err] = self.streams;
        ExecSyncResponse { stdout: out.kept, stderr: err.kept, exit_code: exited.code }
    }
}

//! Exec, attach and port-forward: what is behind the URLs that a client is sent to.

mod attach;
mod device;
mod dial;
mod exec;
mod pass;

use std::sync::Arc;

use corten_api_cri::v1::{AttachRequest, ExecRequest, PortForwardRequest};
use corten_runtime_streaming::{Attach, Backend, Exec, Failure, PortForward, StreamFlags, Streams};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::net::TcpStream;

use crate::container::Container;
use crate::error::{Kind, OperationError, Outcome, chain};
use crate::sandbox::Sandbox;
use crate::service::Service;
use crate::store::{ContainerPhase, SandboxPhase};

/// Ports in one request.
const PORTS_MAX: usize = 32;

/// A URL for a command in a container.
pub(crate) fn exec_url(service: &Service, request: ExecRequest) -> Outcome<String> {
    let ExecRequest { container_id, cmd, tty, stdin, stdout, stderr } = request;
    let container = service.container(&container_id)?;
    need_running(&container)?;
    if cmd.is_empty() {
        return Err(OperationError::invalid("cmd", "empty"));
    }
    let streams = flags(StreamFlags { stdin, stdout, stderr, tty })?;
    let exec = Exec { container_id: container.id.clone(), command: cmd, streams };
    service.urls.exec(exec).map_err(|source| OperationError::TooManyStreams { source })
}

/// A URL for the streams of a container's first process.
pub(crate) fn attach_url(service: &Service, request: AttachRequest) -> Outcome<String> {
    let AttachRequest { container_id, stdin, tty, stdout, stderr } = request;
    let container = service.container(&container_id)?;
    need_running(&container)?;
    let streams = flags(StreamFlags { stdin, stdout, stderr, tty })?;
    let config = container.record().config;
    if stdin && !config.stdin {
        return Err(OperationError::invalid("stdin", "the container was made without"));
    }
    if tty != config.tty {
        let made = if config.tty { "with" } else { "without" };
        return Err(OperationError::invalid("tty", format!("the container was made {made} one")));
    }
    let attach = Attach { container_id: container.id.clone(), streams };
    service.urls.attach(attach).map_err(|source| OperationError::TooManyStreams { source })
}

/// A URL for ports of a sandbox.
pub(crate) fn port_forward_url(service: &Service, request: PortForwardRequest) -> Outcome<String> {
    let PortForwardRequest { pod_sandbox_id, port } = request;
    let sandbox = service.sandbox(&pod_sandbox_id)?;
    need_ready(&sandbox)?;
    if port.len() > PORTS_MAX {
        return Err(OperationError::invalid("port", format!("more than {PORTS_MAX}")));
    }
    let ports = port
        .iter()
        .map(|port| u16::try_from(*port).ok().filter(|port| *port != 0))
        .collect::<Option<Vec<u16>>>()
        .ok_or_else(|| OperationError::invalid("port", "not from 1 to 65535"))?;
    let forward = PortForward { sandbox_id: sandbox.id.clone(), ports };
    service.urls.port_forward(forward).map_err(|source| OperationError::TooManyStreams { source })
}

/// The CRI's rules.
fn flags(flags: StreamFlags) -> Outcome<StreamFlags> {
    if flags.tty && flags.stderr {
        return Err(OperationError::invalid("stderr", "a terminal has one output: stdout"));
    }
    if !flags.stdin && !flags.stdout && !flags.stderr {
        return Err(OperationError::invalid("stdin", "one of stdin, stdout and stderr is needed"));
    }
    Ok(flags)
}

fn need_running(container: &Container) -> Outcome<()> {
    let phase = container.phase();
    if phase == ContainerPhase::Running {
        return Ok(());
    }
    Err(OperationError::State {
        kind: Kind::Container,
        id: container.id.clone(),
        state: phase.as_str(),
        wanted: "streams are had only of a running one",
    })
}

fn need_ready(sandbox: &Sandbox) -> Outcome<()> {
    if sandbox.phase() == SandboxPhase::Ready {
        return Ok(());
    }
    Err(OperationError::State {
        kind: Kind::Sandbox,
        id: sandbox.id.clone(),
        state: "not ready",
        wanted: "ports are forwarded only to one that is",
    })
}

/// The containers of a service, for its streaming server.
#[derive(Debug)]
pub(crate) struct Containers {
    service: Arc<Service>,
}

impl Containers {
    pub(crate) fn new(service: &Arc<Service>) -> Self {
        Self { service: Arc::clone(service) }
    }
}

fn failure(error: &OperationError) -> Failure {
    Failure(chain(error))
}

impl Backend for Containers {
    fn exec<'a>(
        &'a self,
        request: &'a Exec,
        streams: &'a mut Streams,
    ) -> BoxFuture<'a, Result<i32, Failure>> {
        let work = async {
            let container = self.service.container(&request.container_id)?;
            need_running(&container)?;
            exec::run(&self.service, &container, request, streams).await
        };
        work.map(|outcome| outcome.map_err(|error| failure(&error))).boxed()
    }

    fn attach<'a>(
        &'a self,
        request: &'a Attach,
        streams: &'a mut Streams,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        let work = async {
            let container = self.service.container(&request.container_id)?;
            need_running(&container)?;
            attach::run(&self.service, &container, streams).await
        };
        work.map(|outcome| outcome.map_err(|error| failure(&error))).boxed()
    }

    fn dial<'a>(
        &'a self,
        sandbox_id: &'a str,
        port: u16,
    ) -> BoxFuture<'a, Result<TcpStream, Failure>> {
        async move {
            let sandbox = self.service.sandbox(sandbox_id).map_err(|error| failure(&error))?;
            need_ready(&sandbox).map_err(|error| failure(&error))?;
            dial::dial(&self.service, &sandbox, port).await.map_err(|error| Failure(chain(&error)))
        }
        .boxed()
    }
}

//! A command in a container, with a client's streams.

use std::sync::Arc;

use corten_runtime_streaming::{Exec, Resizes, Streams};
use corten_task::CancellationToken;
use tokio::io::AsyncWrite;

use super::device::Device;
use super::pass::{dev_null, no_pipe, pass_on, pipe_from, pipe_to};
use crate::container::{Container, command_process, shim_error};
use crate::error::{Outcome, chain};
use crate::service::Service;
use crate::shim::{Exited, Shim, ShimError};

const SIGHUP: i32 = 1;

/// The process that a command is.
struct Process<'a> {
    shim: Arc<dyn Shim>,
    container: &'a Container,
    exec_id: String,
}

/// Runs the command; its exit status. When the client goes before it ends, its streams are closed,
/// and one on a terminal is told as by any terminal that hangs up.
pub(super) async fn run(
    service: &Arc<Service>,
    container: &Container,
    request: &Exec,
    streams: &mut Streams,
) -> Outcome<i32> {
    let (shim, process) =
        command_process(service, container, &request.command, request.streams.tty).await?;
    let exec_id = service.parts.ids.next();
    let running = Process { shim, container, exec_id };
    if request.streams.tty {
        running.on_terminal(process, streams).await
    } else {
        running.on_pipes(process, streams).await
    }
}

impl Process<'_> {
    async fn on_pipes(&self, process: serde_json::Value, streams: &mut Streams) -> Outcome<i32> {
        let (stdin, to_stdin) = match streams.stdin {
            Some(_) => pipe_to().map(|(reader, writer)| (reader, Some(writer)))?,
            None => (dev_null()?, None),
        };
        let source = |wanted: bool| {
            if wanted {
                pipe_from().map(|(reader, writer)| (Some(reader), writer))
            } else {
                dev_null().map(|null| (None, null))
            }
        };
        let (from_stdout, stdout) = source(streams.stdout.is_some())?;
        let (from_stderr, stderr) = source(streams.stderr.is_some())?;
        let stdio = [stdin, stdout, stderr];
        self.shim
            .exec(&self.container.id, &self.exec_id, process, stdio, None)
            .await
            .map_err(|source| shim_error(self.container, source))?;
        let ended = CancellationToken::new();
        let Streams { stdin, stdout, stderr, gone, .. } = streams;
        let output = async {
            futures::join!(
                self.wait(&ended),
                pass_on(from_stdout, stdout.as_ref(), &ended),
                pass_on(from_stderr, stderr.as_ref(), &ended),
            )
            .0
        };
        let input = feed(stdin, to_stdin);
        tokio::select! {
            exited = output => exited.map(|exited| exited.code),
            () = input => Ok(0),
            () = gone.cancelled() => Ok(0),
        }
    }

    async fn on_terminal(&self, process: serde_json::Value, streams: &mut Streams) -> Outcome<i32> {
        let terminal = self
            .shim
            .exec_terminal(&self.container.id, &self.exec_id, process)
            .await
            .map_err(|source| shim_error(self.container, source))?;
        let terminal = Device::new(terminal).map_err(no_pipe)?;
        let to_terminal = terminal.try_clone().map_err(no_pipe)?;
        let ended = CancellationToken::new();
        let Streams { stdin, stdout, resizes, gone, .. } = streams;
        let output = async {
            futures::join!(self.wait(&ended), pass_on(Some(terminal), stdout.as_ref(), &ended),).0
        };
        let sizes = resize(&*self.shim, &self.container.id, Some(&self.exec_id), resizes);
        tokio::select! {
            exited = output => return exited.map(|exited| exited.code),
            () = feed(stdin, Some(to_terminal)) => {}
            () = sizes => {}
            () = gone.cancelled() => {}
        }
        let hang_up = self.shim.kill(&self.container.id, Some(&self.exec_id), SIGHUP, false).await;
        if let Err(error) = hang_up {
            tracing::debug!(cause = chain(&error), "a command could not be told of a hang-up");
        }
        Ok(0)
    }

    async fn wait(&self, ended: &CancellationToken) -> Outcome<Exited> {
        let exited = self.shim.wait_exec(&self.container.id, &self.exec_id).await;
        ended.cancel();
        exited.map_err(|source: ShimError| shim_error(self.container, source))
    }
}

/// Passes input on, and closes where it goes to when it ends. Never comes back: a command goes on
/// without input.
pub(super) async fn feed(
    input: &mut Option<corten_runtime_streaming::Input>,
    target: Option<impl AsyncWrite + Unpin>,
) {
    if let (Some(input), Some(mut target)) = (input, target)
        && input.copy_to(&mut target).await.is_err()
    {
        // The command reads no more. The rest is dropped, so that the connection goes on.
        drop(target);
        while input.read().await.is_some() {}
    }
    std::future::pending().await
}

/// Passes a terminal's sizes on. Never comes back.
pub(super) async fn resize(
    shim: &dyn Shim,
    container_id: &str,
    exec_id: Option<&str>,
    sizes: &mut Option<Resizes>,
) {
    if let Some(sizes) = sizes {
        while let Some(size) = sizes.next().await {
            let set = shim.resize(container_id, exec_id, (size.width, size.height)).await;
            if let Err(error) = set {
                tracing::debug!(cause = chain(&error), "a terminal could not be resized");
            }
        }
    }
    std::future::pending().await
}

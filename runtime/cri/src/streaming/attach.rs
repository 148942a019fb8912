//! A client at the streams of a container's first process.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use corten_runtime_streaming::{Input, Streams};
use corten_task::CancellationToken;
use tokio::net::unix::pipe;

use super::device::Device;
use super::exec::resize;
use super::pass::{no_pipe, pass_on, pipe_from};
use crate::container::{Container, sandbox_of, shim_error};
use crate::error::{Kind, OperationError, Outcome};
use crate::service::Service;
use crate::shim::Shim;

/// How much a client may be behind before it is cut off: what pipe(7) allows without privilege.
const BEHIND_BYTES_MAX: usize = 1 << 20;
/// Looked again after so long, should nothing be heard.
const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);

/// Joins, until the container has ended or the client has gone.
pub(super) async fn run(
    service: &Arc<Service>,
    container: &Container,
    streams: &mut Streams,
) -> Outcome<()> {
    let sandbox = sandbox_of(service, container)
        .ok_or_else(|| OperationError::not_found(Kind::Sandbox, &container.sandbox_id))?;
    let shim = sandbox.need_shim()?;
    let config = container.record().config;
    let Streams { stdin, stdout, stderr, resizes, gone } = streams;
    let source = |wanted: bool| -> Outcome<_> {
        if !wanted {
            return Ok((None, None));
        }
        let (reader, writer) = wide_pipe()?;
        Ok((Some(reader), Some(writer)))
    };
    let (from_stdout, to_us) = source(stdout.is_some())?;
    let (from_stderr, errors_to_us) = source(stderr.is_some())?;
    let to_container = match stdin {
        Some(_) => {
            let opened = shim.open_stdin(&container.id).await;
            let opened = opened.map_err(|source| shim_error(container, source))?;
            Some(Device::new(opened).map_err(no_pipe)?)
        }
        None => None,
    };
    // The pipes end by themselves when there is no more.
    let never = CancellationToken::new();
    let output = async {
        let watched = async {
            if to_us.is_none() && errors_to_us.is_none() {
                while !container.ended_within(LOOK_AGAIN).await {}
                return Ok(false);
            }
            shim.attach(&container.id, to_us, errors_to_us).await
        };
        let (watched, (), ()) = futures::join!(
            watched,
            pass_on(from_stdout, stdout.as_ref(), &never),
            pass_on(from_stderr, stderr.as_ref(), &never),
        );
        watched
    };
    let input = feed(&*shim, container, (stdin, to_container), config.stdin_once);
    let sizes = resize(&*shim, &container.id, None, resizes);
    let cut_off = tokio::select! {
        watched = output => watched.map_err(|source| shim_error(container, source))?,
        () = input => false,
        () = sizes => false,
        () = gone.cancelled() => false,
    };
    if gone.is_cancelled() && config.stdin_once && stdin.is_some() {
        end_stdin(&*shim, container).await;
    }
    if cut_off {
        return Err(OperationError::TooSlow { id: container.id.clone() });
    }
    Ok(())
}

/// Passes input on. A container whose input is to be had once has its end when the client's ends.
/// Never comes back: the client still hears what the container writes.
async fn feed(
    shim: &dyn Shim,
    container: &Container,
    (input, target): (&mut Option<Input>, Option<Device>),
    once: bool,
) {
    if let (Some(input), Some(mut target)) = (input, target) {
        let copied = input.copy_to(&mut target).await;
        drop(target);
        if once {
            end_stdin(shim, container).await;
        }
        if copied.is_err() {
            // The container reads no more. The rest is dropped, so that the connection goes on.
            while input.read().await.is_some() {}
        }
    }
    std::future::pending().await
}

async fn end_stdin(shim: &dyn Shim, container: &Container) {
    if let Err(error) = shim.close_stdin(&container.id).await {
        tracing::debug!(%error, container = container.id, "standard input could not be ended");
    }
}

/// A pipe that holds what a slow client is behind.
fn wide_pipe() -> Outcome<(pipe::Receiver, OwnedFd)> {
    let (reader, writer) = pipe_from()?;
    // Without it the client is merely cut off sooner.
    if let Err(error) = rustix::pipe::fcntl_setpipe_size(writer.as_fd(), BEHIND_BYTES_MAX) {
        tracing::debug!(%error, "a pipe could not be made wider");
    }
    Ok((reader, writer))
}

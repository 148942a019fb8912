//! From a process's output to a client.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;
use corten_runtime_streaming::Output;
use corten_task::CancellationToken;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::unix::pipe;

use crate::error::OperationError;

const CHUNK_BYTES: usize = 16 << 10;
/// What a process left behind may hold its output open: how long more of it is waited for, …
const DRAIN_WITHIN: Duration = Duration::from_secs(2);
/// … and how much of it is passed on: more than a pipe holds.
const DRAIN_BYTES_MAX: usize = 2 << 20;

/// Passes on what comes out of `source`, until it ends, or the client has gone, or the process has
/// `ended` and what it wrote has been passed on. Without an output it is read and dropped.
pub(super) async fn pass_on(
    source: Option<impl AsyncRead + Unpin>,
    output: Option<&Output>,
    ended: &CancellationToken,
) {
    let Some(mut source) = source else { return };
    let mut buffer = vec![0; CHUNK_BYTES];
    let patience = async {
        ended.cancelled().await;
        tokio::time::sleep(DRAIN_WITHIN).await;
    };
    tokio::pin!(patience);
    let mut late_bytes = 0;
    while late_bytes < DRAIN_BYTES_MAX {
        let count = tokio::select! {
            biased;
            read = source.read(&mut buffer) => match read {
                // EIO: nobody has a terminal's other end open any more.
                Ok(0) | Err(_) => return,
                Ok(count) => count,
            },
            () = &mut patience => return,
        };
        if ended.is_cancelled() {
            late_bytes += count;
        }
        if let Some(output) = output
            && output.write(Bytes::copy_from_slice(&buffer[..count])).await.is_err()
        {
            return;
        }
    }
}

/// A pipe whose reading end is ours.
pub(super) fn pipe_from() -> Result<(pipe::Receiver, OwnedFd), OperationError> {
    let one = || -> io::Result<(pipe::Receiver, OwnedFd)> {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        Ok((pipe::Receiver::from_owned_fd(reader)?, writer))
    };
    one().map_err(no_pipe)
}

/// A pipe whose writing end is ours.
pub(super) fn pipe_to() -> Result<(OwnedFd, pipe::Sender), OperationError> {
    let one = || -> io::Result<(OwnedFd, pipe::Sender)> {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&writer, true)?;
        Ok((reader, pipe::Sender::from_owned_fd(writer)?))
    };
    one().map_err(no_pipe)
}

/// The null device.
pub(super) fn dev_null() -> Result<OwnedFd, OperationError> {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty())
        .map_err(|errno| no_pipe(errno.into()))
}

pub(super) fn no_pipe(source: io::Error) -> OperationError {
    OperationError::Internal { doing: "setting up streams", source: Box::new(source) }
}

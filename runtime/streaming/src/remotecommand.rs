//! Exec and attach: up to five streams beside each other. The names and versions of the protocols,
//! and how a client asks for them, are as in Kubernetes' `remotecommand`.

mod spdy;
mod status;
mod websocket;

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use corten_task::CancellationToken;
use serde::Deserialize;

use crate::backend::{Backend, Failure};
use crate::channel::{Input, Output};
use crate::request::{Attach, Exec, StreamFlags};

pub(crate) use spdy::{PROTOCOLS as SPDY_PROTOCOLS, serve as serve_spdy};
pub(crate) use websocket::{PROTOCOLS as WEBSOCKET_PROTOCOLS, serve as serve_websocket};

/// How long a client may take to open its streams.
const STREAMS_WITHIN: Duration = Duration::from_secs(30);
/// A message about a terminal's size has some tens of bytes.
const RESIZE_BYTES_MAX: usize = 4096;

/// The streams of a command.
#[derive(Debug)]
pub struct Streams {
    /// Standard input, if it was asked for.
    pub stdin: Option<Input>,
    /// Standard output, if it was asked for.
    pub stdout: Option<Output>,
    /// Standard error, if it was asked for.
    pub stderr: Option<Output>,
    /// The terminal's sizes, if there is a terminal.
    pub resizes: Option<Resizes>,
    /// Cancelled when the client has gone.
    pub gone: CancellationToken,
}

/// The sizes that a terminal is to have, one after the other.
#[derive(Debug)]
pub struct Resizes {
    input: Input,
    buffer: BytesMut,
}

/// A terminal's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

impl Resizes {
    pub(crate) fn new(input: Input) -> Self {
        Self { input, buffer: BytesMut::new() }
    }

    /// The next size; none when the client has no more, or says something else. Safe to be dropped
    /// while it waits.
    pub async fn next(&mut self) -> Option<TerminalSize> {
        loop {
            match self.parse() {
                Ok(Some(size)) => return Some(size),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "a terminal's size that is none");
                    return None;
                }
            }
            let bytes = self.input.read().await?;
            if self.buffer.len() + bytes.len() > RESIZE_BYTES_MAX {
                return None;
            }
            self.buffer.extend_from_slice(&bytes);
        }
    }

    fn parse(&mut self) -> serde_json::Result<Option<TerminalSize>> {
        let mut values = serde_json::Deserializer::from_slice(&self.buffer).into_iter();
        match values.next() {
            None => Ok(None),
            Some(Ok(size)) => {
                let taken = values.byte_offset();
                self.buffer.advance(taken);
                Ok(Some(size))
            }
            Some(Err(error)) if error.is_eof() => Ok(None),
            Some(Err(error)) => Err(error),
        }
    }
}

/// What to do with the streams, once they are there.
#[derive(Debug)]
pub(crate) enum Command {
    Exec(Exec),
    Attach(Attach),
}

impl Command {
    pub(crate) fn flags(&self) -> StreamFlags {
        match self {
            Self::Exec(exec) => exec.streams,
            Self::Attach(attach) => attach.streams,
        }
    }

    async fn run(&self, backend: &dyn Backend, streams: &mut Streams) -> Result<i32, Failure> {
        match self {
            Self::Exec(exec) => backend.exec(exec, streams).await,
            Self::Attach(attach) => backend.attach(attach, streams).await.map(|()| 0),
        }
    }
}

/// Does it, and tells the client how it went. The status is the last word: when a client has it,
/// it has all output.
async fn conduct(
    backend: &dyn Backend,
    command: &Command,
    mut streams: Streams,
    error: Output,
    write_status: fn(&Result<i32, Failure>) -> Bytes,
) {
    let outcome = command.run(backend, &mut streams).await;
    for output in [streams.stdout.take(), streams.stderr.take()].into_iter().flatten() {
        output.end().await;
    }
    let status = write_status(&outcome);
    if !status.is_empty() {
        // A client that has gone does not need it.
        drop(error.write(status).await);
    }
    error.end().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Link;

    #[tokio::test]
    async fn sizes_are_read_however_they_are_cut() {
        let (link, _queue) = Link::new();
        let (sender, input) = link.input(4);
        let mut resizes = Resizes::new(input);
        for piece in ["{\"Width\":80,\"Hei", "ght\":24}\n{\"Width\":1,\"Height\":2}", "\n"] {
            sender.send(Bytes::from(piece)).await.unwrap();
        }
        assert_eq!(resizes.next().await, Some(TerminalSize { width: 80, height: 24 }));
        assert_eq!(resizes.next().await, Some(TerminalSize { width: 1, height: 2 }));
        sender.send(Bytes::from_static(b"wide")).await.unwrap();
        assert_eq!(resizes.next().await, None);
    }

    #[tokio::test]
    async fn what_is_no_size_is_not_collected() {
        let (link, _queue) = Link::new();
        let (sender, input) = link.input(4);
        let mut resizes = Resizes::new(input);
        let long = format!("{{\"Width\":{}", " ".repeat(RESIZE_BYTES_MAX));
        sender.send(Bytes::from(long)).await.unwrap();
        assert_eq!(resizes.next().await, None);
    }
}

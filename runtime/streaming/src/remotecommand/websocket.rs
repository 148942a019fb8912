//! Over WebSocket: a channel each, with fixed numbers.

use bytes::Bytes;
use corten_task::Tasks;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;

use super::{Command, Resizes, Streams, conduct, status};
use crate::backend::{Backend, Failure};
use crate::websocket::{Codec, start};

const STDIN: usize = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
const ERROR: u32 = 3;
const RESIZE: usize = 4;

/// A client that names none means the last but one.
pub(crate) const PROTOCOLS: &[&str] = &[
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
];

/// Leads the conversation to its end.
pub(crate) async fn serve<T>(
    websocket: WebSocketStream<T>,
    protocol: Option<&str>,
    (backend, tasks): (&dyn Backend, &Tasks),
    command: &Command,
) where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let codec = match protocol {
        Some("v5.channel.k8s.io") => Codec::WithClose,
        Some("v4.base64.channel.k8s.io" | "base64.channel.k8s.io") => Codec::Base64,
        Some(_) | None => Codec::Binary,
    };
    let with_status = protocol.is_some_and(|name| name.starts_with('v'));
    let write_status: fn(&Result<i32, Failure>) -> Bytes =
        if with_status { status::status } else { status::text };
    let flags = command.flags();
    let readable = [flags.stdin, false, false, false, flags.tty];
    let mut channels = start(websocket, codec, &readable, tasks);
    let output = |wanted: bool, channel| wanted.then(|| channels.link.output(channel));
    let (stdout, stderr) = (output(flags.stdout, STDOUT), output(flags.stderr, STDERR));
    let error = channels.link.output(ERROR);
    // Some clients take an empty message for the sign that the connection is there.
    let first = stdout.as_ref().or(stderr.as_ref()).unwrap_or(&error);
    if first.write(Bytes::new()).await.is_ok() {
        let streams = Streams {
            stdin: channels.take_input(STDIN),
            stdout,
            stderr,
            resizes: channels.take_input(RESIZE).map(Resizes::new),
            gone: channels.link.gone.clone(),
        };
        conduct(backend, command, streams, error, write_status).await;
    }
    channels.close().await;
}

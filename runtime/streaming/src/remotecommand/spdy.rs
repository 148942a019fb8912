//! Over SPDY: a stream each, which the client opens and names by a header.

use bytes::Bytes;

use super::{Command, Resizes, STREAMS_WITHIN, Streams, conduct, status};
use crate::backend::{Backend, Failure};
use crate::channel::{Input, Output};
use crate::session::Session;

const STREAM_TYPE: &str = "streamtype";

/// As they are negotiated in `X-Stream-Protocol-Version`; a client that names none means the last.
/// 2 and 3 end what 1 leaves open, 3 has sizes of terminals, 4 a status that can be read by
/// programs, 5 is 4 but over WebSocket.
pub(crate) const PROTOCOLS: &[&str] = &[
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
];

/// Leads the conversation to its end.
pub(crate) async fn serve(
    mut session: Session,
    protocol: &str,
    backend: &dyn Backend,
    command: &Command,
) {
    let with_status = matches!(protocol, "v5.channel.k8s.io" | "v4.channel.k8s.io");
    let with_sizes = with_status || protocol == "v3.channel.k8s.io";
    let write_status: fn(&Result<i32, Failure>) -> Bytes =
        if with_status { status::status } else { status::text };
    let collected =
        tokio::time::timeout(STREAMS_WITHIN, collect(&mut session, command, with_sizes)).await;
    match collected {
        Ok(Some((streams, error))) => {
            conduct(backend, command, streams, error, write_status).await;
        }
        Ok(None) => tracing::debug!("a client left, or opened a stream that does not belong here"),
        Err(_elapsed) => tracing::debug!("a client did not open its streams in time"),
    }
    session.close().await;
}

/// The streams that were asked for, once the client has opened them all.
async fn collect(
    session: &mut Session,
    command: &Command,
    with_sizes: bool,
) -> Option<(Streams, Output)> {
    let flags = command.flags();
    let (mut error, mut stdin, mut stdout, mut stderr, mut resize) = (None, None, None, None, None);
    let wanted = 1 + [flags.stdin, flags.stdout, flags.stderr, flags.tty && with_sizes]
        .into_iter()
        .filter(|wanted| *wanted)
        .count();
    for _ in 0..wanted {
        let opened = session.next().await?;
        let slot: &mut Option<(Input, Output)> =
            match opened.headers.get(STREAM_TYPE).unwrap_or_default() {
                "error" => &mut error,
                "stdin" if flags.stdin => &mut stdin,
                "stdout" if flags.stdout => &mut stdout,
                "stderr" if flags.stderr => &mut stderr,
                "resize" if flags.tty && with_sizes => &mut resize,
                _ => return None,
            };
        if slot.is_some() {
            return None;
        }
        *slot = Some(opened.accept().await.ok()?);
    }
    let (_, error) = error?;
    let streams = Streams {
        stdin: stdin.map(|(input, _)| input),
        stdout: stdout.map(|(_, output)| output),
        stderr: stderr.map(|(_, output)| output),
        resizes: resize.map(|(input, _)| Resizes::new(input)),
        gone: session.gone(),
    };
    Some((streams, error))
}

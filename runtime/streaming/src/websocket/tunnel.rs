//! A WebSocket whose messages are, one after the other, the bytes of another protocol.

use bytes::Bytes;
use corten_task::Tasks;
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::channel::{CHUNK_BYTES, LINGER};

/// On their way between the two.
const BUFFER_BYTES: usize = 64 << 10;

/// The inner protocol's side of the connection.
pub(crate) fn tunnel<T>(websocket: WebSocketStream<T>, tasks: &Tasks) -> DuplexStream
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (inner, outer) = tokio::io::duplex(BUFFER_BYTES);
    tasks.spawn("WebSocket tunnel", async move {
        if let Err(cause) = run(websocket, outer).await {
            tracing::debug!(%cause, "a WebSocket tunnel ends");
        }
    });
    inner
}

async fn run<T: AsyncRead + AsyncWrite + Unpin>(
    websocket: WebSocketStream<T>,
    outer: DuplexStream,
) -> Result<(), Box<Error>> {
    let (mut sink, mut source) = websocket.split();
    let (mut reader, mut writer) = tokio::io::split(outer);
    let out = async {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let count = reader.read(&mut buffer).await.map_err(Error::from)?;
            if count == 0 {
                return sink.close().await;
            }
            let bytes = Bytes::copy_from_slice(&buffer[..count]);
            sink.send(Message::Binary(bytes)).await?;
        }
    };
    let into = async {
        while let Some(message) = source.next().await {
            let bytes = match message? {
                Message::Binary(bytes) => bytes,
                Message::Text(text) => text.into(),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
                Message::Close(_) => break,
            };
            if writer.write_all(&bytes).await.is_err() {
                // The inner protocol has ended; what the client still sends is not needed.
                break;
            }
        }
        Ok::<(), Error>(())
    };
    tokio::pin!(out, into);
    tokio::select! {
        // The inner protocol has said its last word: the client's good-bye is waited for.
        ended = &mut out => {
            ended?;
            match tokio::time::timeout(LINGER, &mut into).await {
                Ok(ended) => ended?,
                Err(_elapsed) => {}
            }
        }
        ended = &mut into => ended?,
    }
    Ok(())
}

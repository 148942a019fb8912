//! Over WebSocket, without SPDY within: two channels for each port that the request named, and so
//! one connection each. Both channels begin with the port's number, little endian.

use std::time::Duration;

use bytes::Bytes;
use corten_task::Tasks;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;

use super::forward;
use crate::backend::Backend;
use crate::request::PortForward;
use crate::websocket::{Codec, start};

/// A client that names none means the first.
pub(crate) const PROTOCOLS: &[&str] =
    &["v4.channel.k8s.io", "v4.base64.channel.k8s.io", "portforward.k8s.io"];

/// Forwards until all connections have ended.
pub(crate) async fn serve<T>(
    websocket: WebSocketStream<T>,
    protocol: Option<&str>,
    request: &PortForward,
    (backend, tasks): (&dyn Backend, &Tasks),
) where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let codec = match protocol {
        Some("v4.base64.channel.k8s.io") => Codec::Base64,
        Some(_) | None => Codec::Binary,
    };
    let readable: Vec<bool> = request.ports.iter().flat_map(|_| [true, false]).collect();
    let mut channels = start(websocket, codec, &readable, tasks);
    let mut connections = Vec::new();
    for (at, port) in (0_u32..).zip(&request.ports) {
        let (data, error) = (2 * at, 2 * at + 1);
        let Some(input) = channels.take_input(data as usize) else { continue };
        let (output, error) = (channels.link.output(data), channels.link.output(error));
        let number = Bytes::copy_from_slice(&port.to_le_bytes());
        connections.push(async move {
            let told = (output.write(number.clone()).await, error.write(number).await);
            if let (Ok(()), Ok(())) = told {
                let target = (&*request.sandbox_id, *port);
                // These clients cannot end one direction: they wait for the connection's end.
                forward(backend, target, (input, output), error, Duration::ZERO).await;
            }
        });
    }
    let gone = channels.link.gone.clone();
    let _ended = gone.run_until_cancelled(futures::future::join_all(connections)).await;
    channels.close().await;
}

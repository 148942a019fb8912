//! Upgrading connections, from the client's side.

use std::collections::BTreeMap;

use bytes::Bytes;
use corten_task::Tasks;
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

fn address(url: &str) -> &str {
    url.strip_prefix("http://").unwrap().split('/').next().unwrap()
}

/// The upgraded connection, and the protocol that the server chose.
pub(crate) async fn upgrade_spdy(url: &str, protocol: &str) -> (TcpStream, Option<String>) {
    let mut stream = TcpStream::connect(address(url)).await.unwrap();
    let path = url.strip_prefix("http://").unwrap().split_once('/').unwrap().1;
    let version = if protocol.is_empty() {
        String::new()
    } else {
        format!("X-Stream-Protocol-Version: {protocol}\r\n")
    };
    let request = format!(
        "POST /{path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
         {version}Content-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    let chosen = head
        .lines()
        .find_map(|line| line.strip_prefix("x-stream-protocol-version: "))
        .map(str::to_owned);
    (stream, chosen)
}

pub(crate) fn frame(channel: u8, bytes: &[u8]) -> Vec<u8> {
    [&[channel], bytes].concat()
}

#[derive(Debug)]
pub(crate) struct WebSocket(WebSocketStream<TcpStream>);

pub(crate) async fn upgrade_websocket(url: &str, protocol: &'static str) -> WebSocket {
    WebSocket::try_upgrade(url, protocol).await.unwrap()
}

impl WebSocket {
    /// Or the HTTP status of the refusal.
    pub(crate) async fn try_upgrade(url: &str, protocol: &'static str) -> Result<Self, u16> {
        let stream = TcpStream::connect(address(url)).await.unwrap();
        let mut request = url.replace("http://", "ws://").into_client_request().unwrap();
        let value = http::HeaderValue::from_static(protocol);
        request.headers_mut().insert("sec-websocket-protocol", value);
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, response)) => {
                assert_eq!(response.headers()["sec-websocket-protocol"], protocol);
                Ok(Self(socket))
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    pub(crate) async fn send(&mut self, bytes: Vec<u8>) {
        self.0.send(Message::Binary(bytes.into())).await.unwrap();
    }

    /// All that comes on each channel until the server closes.
    pub(crate) async fn collect(mut self) -> BTreeMap<u8, Vec<u8>> {
        let mut streams: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        while let Some(message) = self.0.next().await {
            match message.unwrap() {
                Message::Binary(bytes) => {
                    streams.entry(bytes[0]).or_default().extend_from_slice(&bytes[1..]);
                }
                Message::Close(frame) => assert_eq!(u16::from(frame.unwrap().code), 1000),
                other @ (Message::Text(_)
                | Message::Ping(_)
                | Message::Pong(_)
                | Message::Frame(_)) => panic!("{other:?}"),
            }
        }
        streams
    }

    /// The bytes of all messages, as a stream.
    pub(crate) fn into_stream(self, tasks: &Tasks) -> DuplexStream {
        let (near, far) = tokio::io::duplex(1 << 16);
        let (mut sink, mut source) = self.0.split();
        let (mut reader, mut writer) = tokio::io::split(far);
        tasks.spawn("to the server", async move {
            let mut buffer = vec![0; 1000];
            while let Ok(count @ 1..) = reader.read(&mut buffer).await {
                let bytes = Bytes::copy_from_slice(&buffer[..count]);
                sink.send(Message::Binary(bytes)).await.unwrap();
            }
        });
        tasks.spawn("from the server", async move {
            while let Some(Ok(Message::Binary(bytes))) = source.next().await {
                writer.write_all(&bytes).await.unwrap();
            }
        });
        near
    }
}

//! WebSocket as Kubernetes uses it: several channels on one connection, each message beginning
//! with its channel's number; or a tunnel for the bytes of another protocol.

mod channels;
mod tunnel;

use http::header::{SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION};
use http::{HeaderMap, HeaderValue};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

pub(crate) use channels::{Codec, start};
pub(crate) use tunnel::tunnel;

/// Longer messages are refused; clients send some tens of kilobytes.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// A request to upgrade that is in order, and what to answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    pub(crate) accept: HeaderValue,
    /// The one chosen; none if the client named none.
    pub(crate) protocol: Option<&'static str>,
}

/// Checks a client's request: RFC 6455, section 4.2.1. Of the client's protocols the first that is
/// `supported` is chosen; a client that names none gets the one without a name.
pub(crate) fn handshake(
    headers: &HeaderMap,
    supported: &[&'static str],
) -> Result<Handshake, String> {
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err("Sec-WebSocket-Version must be 13".to_owned());
    }
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY) else {
        return Err("Sec-WebSocket-Key is missing".to_owned());
    };
    let Ok(accept) = HeaderValue::try_from(derive_accept_key(key.as_bytes())) else {
        return Err("Sec-WebSocket-Key is malformed".to_owned());
    };
    let mut offered = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .peekable();
    if offered.peek().is_none() {
        return Ok(Handshake { accept, protocol: None });
    }
    let names: Vec<&str> = offered.collect();
    let chosen = names.iter().find_map(|name| supported.iter().find(|known| *known == name));
    match chosen {
        Some(protocol) => Ok(Handshake { accept, protocol: Some(protocol) }),
        None => Err(format!(
            "none of the protocols {} is spoken here; {} are",
            names.join(", "),
            supported.join(", ")
        )),
    }
}

/// The server's end of an upgraded connection.
pub(crate) async fn stream<T: AsyncRead + AsyncWrite + Unpin>(io: T) -> WebSocketStream<T> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .max_write_buffer_size(2 * MESSAGE_BYTES_MAX);
    WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(protocols: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        // RFC 6455's example.
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        for protocol in protocols {
            headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        headers
    }

    #[test]
    fn the_clients_first_protocol_that_is_known_is_chosen() {
        let known = ["v4.channel.k8s.io", "v5.channel.k8s.io"];
        let chosen = |offered: &[&'static str]| {
            handshake(&headers(offered), &known).map(|handshake| handshake.protocol)
        };
        assert_eq!(chosen(&["v9, v5.channel.k8s.io", "v4.channel.k8s.io"]), Ok(Some(known[1])));
        assert_eq!(chosen(&[]), Ok(None));
        let refused = chosen(&["soap"]).unwrap_err();
        assert!(refused.contains("soap") && refused.contains("v5.channel.k8s.io"), "{refused}");
        let accept = handshake(&headers(&[]), &known).unwrap().accept;
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_request_that_lacks_something_is_told_what() {
        let mut without_key = headers(&[]);
        without_key.remove(SEC_WEBSOCKET_KEY);
        assert_eq!(handshake(&without_key, &[]).unwrap_err(), "Sec-WebSocket-Key is missing");
        let mut old = headers(&[]);
        old.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8"));
        assert_eq!(handshake(&old, &[]).unwrap_err(), "Sec-WebSocket-Version must be 13");
    }
}

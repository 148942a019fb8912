//! Which protocol a connection is upgraded to.

use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::{port_forward, remotecommand, websocket};

const SPDY: &str = "SPDY/3.1";
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const ACCEPTED_PROTOCOLS: HeaderName =
    HeaderName::from_static("x-accepted-stream-protocol-versions");

/// What is spoken, with the chosen protocol's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Spdy(&'static str),
    WebSocket(Option<&'static str>),
    /// SPDY within a WebSocket.
    Tunnel,
}

/// Why none is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

type Chosen = Result<(Transport, HeaderMap), Refusal>;

/// For exec and attach.
pub(crate) fn remotecommand(headers: &HeaderMap) -> Chosen {
    choose(headers, remotecommand::SPDY_PROTOCOLS, "channel.k8s.io", |headers| {
        websocket(headers, remotecommand::WEBSOCKET_PROTOCOLS)
    })
}

/// For port-forward.
pub(crate) fn port_forward(headers: &HeaderMap) -> Chosen {
    let protocol = port_forward::SPDY_PROTOCOL;
    choose(headers, &[protocol], protocol, |headers| {
        let mut known = vec![port_forward::TUNNEL_PROTOCOL];
        known.extend(port_forward::WEBSOCKET_PROTOCOLS);
        websocket(headers, &known)
    })
}

fn choose(
    headers: &HeaderMap,
    spdy_known: &[&'static str],
    spdy_default: &'static str,
    websocket: impl FnOnce(&HeaderMap) -> Chosen,
) -> Chosen {
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(bad("this URL needs a request to upgrade: SPDY/3.1 or websocket\n"));
    }
    if has_token(headers, &UPGRADE, "websocket") {
        websocket(headers)
    } else if has_token(headers, &UPGRADE, SPDY) {
        spdy(headers, spdy_known, spdy_default)
    } else {
        Err(bad("only upgrades to SPDY/3.1 and websocket are served\n"))
    }
}

fn bad(text: impl Into<String>) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, text: text.into() }
}

fn spdy(headers: &HeaderMap, known: &[&'static str], default: &'static str) -> Chosen {
    // Each in a header of its own, or several in one.
    let offered: Vec<&str> = headers
        .get_all(STREAM_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    let mut answer = upgrade_to(HeaderValue::from_static(SPDY));
    if offered.is_empty() {
        return Ok((Transport::Spdy(default), answer));
    }
    let chosen = offered.iter().find_map(|name| known.iter().find(|one| *one == name));
    let Some(protocol) = chosen else {
        let accepted = known.join(", ");
        return Err(Refusal {
            status: StatusCode::FORBIDDEN,
            text: format!(
                "none of the protocols {} is spoken here; {ACCEPTED_PROTOCOLS} are {accepted}\n",
                offered.join(", ")
            ),
        });
    };
    answer.insert(STREAM_PROTOCOL, HeaderValue::from_static(protocol));
    Ok((Transport::Spdy(protocol), answer))
}

fn websocket(headers: &HeaderMap, known: &[&'static str]) -> Chosen {
    let handshake = websocket::handshake(headers, known).map_err(|text| bad(text + "\n"))?;
    let mut answer = upgrade_to(HeaderValue::from_static("websocket"));
    answer.insert(SEC_WEBSOCKET_ACCEPT, handshake.accept);
    if let Some(protocol) = handshake.protocol {
        answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    let transport = if handshake.protocol == Some(port_forward::TUNNEL_PROTOCOL) {
        Transport::Tunnel
    } else {
        Transport::WebSocket(handshake.protocol)
    };
    Ok((transport, answer))
}

fn upgrade_to(protocol: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, protocol);
    headers
}

/// Whether one of the header's values, between commas, is this.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn spdy_is_negotiated_as_kubernetes_does() {
        let request = |versions: &[&'static str]| {
            let mut request = headers(&[("connection", "Upgrade"), ("upgrade", "SPDY/3.1")]);
            for version in versions {
                request.append("x-stream-protocol-version", HeaderValue::from_static(version));
            }
            remotecommand(&request)
        };
        let (transport, answer) = request(&["v9", "v4.channel.k8s.io", "channel.k8s.io"]).unwrap();
        assert_eq!(transport, Transport::Spdy("v4.channel.k8s.io"));
        assert_eq!(answer[&STREAM_PROTOCOL], "v4.channel.k8s.io");
        assert_eq!(answer[UPGRADE], "SPDY/3.1");
        // Kubernetes' oldest client.
        let (transport, answer) = request(&[]).unwrap();
        assert_eq!(transport, Transport::Spdy("channel.k8s.io"));
        assert!(!answer.contains_key(&STREAM_PROTOCOL));
        assert_eq!(request(&["v9"]).unwrap_err().status, StatusCode::FORBIDDEN);
    }

    #[test]
    fn ports_are_forwarded_over_any_of_three() {
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let version = ("sec-websocket-version", "13");
        let connection = ("connection", "keep-alive, Upgrade");
        let upgrade = ("upgrade", "WebSocket");
        let websocket = |protocol| {
            let protocol = ("sec-websocket-protocol", protocol);
            let request = headers(&[key, version, connection, upgrade, protocol]);
            port_forward(&request).unwrap().0
        };
        assert_eq!(websocket("SPDY/3.1+portforward.k8s.io"), Transport::Tunnel);
        let raw = websocket("v4.channel.k8s.io");
        assert_eq!(raw, Transport::WebSocket(Some("v4.channel.k8s.io")));
        let spdy = headers(&[
            connection,
            ("upgrade", "SPDY/3.1"),
            ("x-stream-protocol-version", "portforward.k8s.io"),
        ]);
        assert_eq!(port_forward(&spdy).unwrap().0, Transport::Spdy("portforward.k8s.io"));
    }

    #[test]
    fn what_is_no_upgrade_is_told_so() {
        assert_eq!(remotecommand(&HeaderMap::new()).unwrap_err().status, StatusCode::BAD_REQUEST);
        let h2c = headers(&[("connection", "upgrade"), ("upgrade", "h2c")]);
        assert_eq!(remotecommand(&h2c).unwrap_err().status, StatusCode::BAD_REQUEST);
    }
}

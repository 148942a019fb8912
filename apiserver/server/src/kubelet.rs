//! Requests to kubelets: TLS both ways, one connection each.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corten_api_k8s::status::{self, Reason, Status};
use corten_task::{CancellationToken, Tasks};
use futures::StreamExt as _;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::body::Body;
use crate::config::{KubeletConfig, ServeError};

const PORT_DEFAULT: u16 = 10_250;
/// How long connecting and the head of the answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How much of a kubelet's error text is passed on.
const ERROR_BYTES_MAX: usize = 8 << 10;

/// The way to kubelets.
#[derive(Clone)]
pub(crate) struct Kubelet {
    connector: TlsConnector,
    tasks: Tasks,
}

#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("the node has no address")]
    NoAddress,
    #[error("{address} is no usable address")]
    Address { address: String },
    #[error("cannot connect to {address}: {source}")]
    Connect { address: String, source: std::io::Error },
    #[error("{address} does not answer: {source}")]
    Call { address: String, source: hyper::Error },
    #[error("the request is malformed: {0}")]
    Request(http::Error),
    #[error("{address} did not answer within {ANSWER_WITHIN:?}")]
    Timeout { address: String },
}

impl Kubelet {
    pub(crate) fn new(config: &KubeletConfig, tasks: Tasks) -> Result<Self, ServeError> {
        let wrong = |problem: String| ServeError::KubeletTls { problem };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(config.ca_pem.as_bytes()) {
            let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
            roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
        }
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(config.client.certificate_pem.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(|e| wrong(e.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(config.client.key_pem.as_bytes())
            .map_err(|e| wrong(e.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| wrong(e.to_string()))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|e| wrong(e.to_string()))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(tls)), tasks })
    }

    /// Asks the kubelet of `node` and hands its answer on as it comes.
    pub(crate) async fn get(
        &self,
        node: &Value,
        path: &str,
        stop: &CancellationToken,
    ) -> Result<Response<Body>, Status> {
        let answer = self.call(node, path).await.map_err(|error| {
            let node = corten_api_k8s::meta::name(node);
            status::internal(&format!("the kubelet of node {node}: {error}"))
        })?;
        let (head, body) = answer.into_parts();
        if head.status != StatusCode::OK {
            return Err(refused(head.status, body).await);
        }
        let stop = stop.clone();
        // An error in the middle ends the stream: the status has been sent already.
        let pieces = body
            .into_data_stream()
            .take_while(|piece| std::future::ready(piece.is_ok()))
            .filter_map(|piece| std::future::ready(piece.ok()))
            .take_until(stop.cancelled_owned());
        let mut response = Response::new(Body::pieces(pieces));
        let media = head.headers.get(CONTENT_TYPE).cloned();
        let media = media.unwrap_or(HeaderValue::from_static("text/plain"));
        response.headers_mut().insert(CONTENT_TYPE, media);
        Ok(response)
    }

    async fn call(&self, node: &Value, path: &str) -> Result<Response<Incoming>, CallError> {
        let (host, port) = address(node).ok_or(CallError::NoAddress)?;
        let target =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let work = self.exchange(&host, &target, path);
        match tokio::time::timeout(ANSWER_WITHIN, work).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(CallError::Timeout { address: target }),
        }
    }

    async fn exchange(
        &self,
        host: &str,
        target: &str,
        path: &str,
    ) -> Result<Response<Incoming>, CallError> {
        let address = || target.to_owned();
        let connect = |source| CallError::Connect { address: address(), source };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_no_name| CallError::Address { address: address() })?;
        let tcp = TcpStream::connect(target).await.map_err(connect)?;
        let tls = self.connector.connect(name, tcp).await.map_err(connect)?;
        let call = |source| CallError::Call { address: address(), source };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.map_err(call)?;
        self.tasks.spawn("kubelet connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(cause = %error, "the connection to a kubelet broke");
            }
        });
        let request = Request::get(path)
            .header(HOST, target)
            .body(Empty::<Bytes>::new())
            .map_err(CallError::Request)?;
        sender.send_request(request).await.map_err(call)
    }
}

impl std::fmt::Debug for Kubelet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubelet").finish_non_exhaustive()
    }
}

/// Where a node's kubelet listens.
fn address(node: &Value) -> Option<(String, u16)> {
    let addresses = node.pointer("/status/addresses")?.as_array()?;
    let host = ["InternalIP", "ExternalIP", "Hostname"].iter().find_map(|wanted| {
        let found =
            addresses.iter().find(|a| a.get("type").and_then(Value::as_str) == Some(wanted));
        found?.get("address")?.as_str()
    })?;
    let port = node.pointer("/status/daemonEndpoints/kubeletEndpoint/Port");
    let port = port.and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    Some((host.to_owned(), port.filter(|port| *port != 0).unwrap_or(PORT_DEFAULT)))
}

/// What the kubelet says against a request, as it says it.
async fn refused(code: StatusCode, body: Incoming) -> Status {
    let text = match Limited::new(body, ERROR_BYTES_MAX).collect().await {
        Ok(collected) => String::from_utf8_lossy(&collected.to_bytes()).trim().to_owned(),
        Err(_unreadable) => String::new(),
    };
    let reason = match code {
        StatusCode::NOT_FOUND => Reason::NotFound,
        StatusCode::BAD_REQUEST => Reason::BadRequest,
        StatusCode::SERVICE_UNAVAILABLE => Reason::ServiceUnavailable,
        _ => return status::internal(&format!("the kubelet answered {code}: {text}")),
    };
    let text = if text.is_empty() { format!("the kubelet answered {code}") } else { text };
    Status::failure(reason, text)
}

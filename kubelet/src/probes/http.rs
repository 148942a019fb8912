//! `httpGet`: healthy if the answer's status is 200 to 399.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, LOCATION};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::HTTPGetAction;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Outcome;

/// Redirects to the same host that are followed.
const REDIRECTS_MAX: usize = 10;

type Fault = Box<dyn std::error::Error + Send + Sync>;

struct Target {
    https: bool,
    host: String,
    port: u16,
    path: String,
}

impl Target {
    fn url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.path)
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Where a redirect leads, if to the same host.
    fn redirected(&self, location: &str) -> Option<Self> {
        let uri: Uri = location.parse().ok()?;
        let https = uri.scheme_str().map_or(self.https, |scheme| scheme == "https");
        if uri.host().is_some_and(|host| host.trim_matches(['[', ']']) != self.host) {
            return None;
        }
        let default = if https { 443 } else { 80 };
        let port = match (uri.port_u16(), uri.host()) {
            (Some(port), _) => port,
            (None, Some(_)) => default,
            (None, None) => self.port,
        };
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        Some(Self { https, host: self.host.clone(), port, path })
    }
}

pub(super) async fn probe(
    action: &HTTPGetAction,
    host: &str,
    port: u16,
    timeout: Duration,
) -> Outcome {
    let path = action.path.as_deref().unwrap_or_default();
    let mut target = Target {
        https: action.scheme.as_deref() == Some("HTTPS"),
        host: host.to_owned(),
        port,
        path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
    };
    let first = target.url();
    let exchange = async {
        for _ in 0..=REDIRECTS_MAX {
            let answer = get(&target, action).await?;
            let location = answer.headers().get(LOCATION).and_then(|l| l.to_str().ok());
            let next = location.filter(|_| answer.status().is_redirection());
            match next.and_then(|location| target.redirected(location)) {
                Some(next) => target = next,
                None => return Ok(answer.status()),
            }
        }
        Err(Fault::from(format!("stopped after {REDIRECTS_MAX} redirects")))
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(Ok(status)) if is_healthy(status) => Outcome::Success,
        Ok(Ok(status)) => {
            Outcome::Failure(format!("HTTP probe failed with statuscode: {}", status.as_u16()))
        }
        Ok(Err(fault)) => Outcome::Failure(format!("Get \"{first}\": {}", text(&*fault))),
        Err(_elapsed) => Outcome::Failure(format!(
            "Get \"{first}\": context deadline exceeded (Client.Timeout exceeded while awaiting \
             headers)"
        )),
    }
}

fn text(fault: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    crate::error::chain(fault)
}

fn is_healthy(status: StatusCode) -> bool {
    (200..400).contains(&status.as_u16())
}

fn request(target: &Target, action: &HTTPGetAction) -> Result<Request<Empty<Bytes>>, Fault> {
    let mut request = Request::get(target.path.as_str()).body(Empty::new())?;
    let headers = request.headers_mut();
    headers.insert("user-agent", HeaderValue::from_static("kube-probe/1.36"));
    headers.insert("accept", HeaderValue::from_static("*/*"));
    headers.insert("connection", HeaderValue::from_static("close"));
    headers.insert("host", HeaderValue::from_str(&target.authority())?);
    for header in action.http_headers.iter().flatten() {
        let name = HeaderName::from_bytes(header.name.as_bytes())?;
        let value = HeaderValue::from_str(&header.value)?;
        // An empty value takes one of the headers above away.
        if value.is_empty() {
            headers.remove(&name);
        } else {
            headers.insert(name, value);
        }
    }
    Ok(request)
}

async fn get(target: &Target, action: &HTTPGetAction) -> Result<Response<Incoming>, Fault> {
    let request = request(target, action)?;
    let stream = TcpStream::connect((target.host.as_str(), target.port))
        .await
        .map_err(|error| Fault::from(format!("dial tcp {}: {error}", target.authority())))?;
    if !target.https {
        return exchange(stream, request).await;
    }
    let name = ServerName::try_from(target.host.clone())?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(any_certificate()?));
    exchange(connector.connect(name, stream).await?, request).await
}

/// The connection is driven beside the request until the answer's head is there; the body is
/// nobody's concern.
async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    match futures::future::select(answer, connection).await {
        futures::future::Either::Left((answer, _)) => Ok(answer?),
        futures::future::Either::Right((_, answer)) => Ok(answer.await?),
    }
}

/// A probe's TLS only asks whether the server answers: its certificate is the pod's own affair,
/// as upstream has it.
fn any_certificate() -> Result<ClientConfig, Fault> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    async fn probed(answer: &'static str) -> (Outcome, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let length = stream.read(&mut head).await.unwrap();
            assert!(head[..length].starts_with(b"GET /healthz HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let action = HTTPGetAction { path: Some("/healthz".to_owned()), ..Default::default() };
        let timeout = Duration::from_secs(5);
        let (outcome, ()) = tokio::join!(probe(&action, "127.0.0.1", port, timeout), serve);
        (outcome, port)
    }

    #[tokio::test]
    async fn the_status_decides() {
        let (outcome, _) = probed("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(outcome, Outcome::Success);
        let (outcome, _) = probed("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n").await;
        let message = "HTTP probe failed with statuscode: 503".to_owned();
        assert_eq!(outcome, Outcome::Failure(message));
        let elsewhere =
            "HTTP/1.1 302 X\r\nlocation: http://192.0.2.1/\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(probed(elsewhere).await.0, Outcome::Success);
    }

    #[tokio::test]
    async fn a_refused_connection_is_a_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let action = HTTPGetAction::default();
        let outcome = probe(&action, "127.0.0.1", port, Duration::from_secs(5)).await;
        let Outcome::Failure(message) = outcome else { panic!("{outcome:?}") };
        assert!(
            message.starts_with(&format!("Get \"http://127.0.0.1:{port}/\": dial tcp")),
            "{message}"
        );
    }
}

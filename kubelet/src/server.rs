//! The kubelet's own API on port 10250: container logs, the pods of the node, health.
//!
//! Only the API server and administrators may call it, known by a client certificate of the
//! cluster's authority; everything that is not served yet is answered with 404.

mod logs;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corten_client::Informer;
use corten_pki::client_subject;
use futures::Stream;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::Pod;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::error::{Error, chain};
use crate::host::Host;

/// Connections at one time; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Who may call beside the group below.
const API_SERVER: &str = "kube-apiserver-kubelet-client";
const MASTERS: &str = "system:masters";

type Body = BoxBody<Bytes, std::io::Error>;

/// The kubelet's API, listening but not yet answering.
pub(crate) struct Server {
    host: Arc<Host>,
    pods: Informer<Pod>,
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Server {
    /// Reads the certificates and takes the port.
    pub(crate) async fn bind(host: Arc<Host>, pods: Informer<Pod>) -> Result<Self, Error> {
        let config = &host.config;
        let read = |path: &std::path::PathBuf| {
            std::fs::read_to_string(path)
                .map_err(|source| Error::File { path: path.clone(), source })
        };
        let authority = read(&config.client_ca)?;
        let certificate = read(&config.server_certificate)?;
        let key = read(&config.server_key)?;
        let tls = corten_pki::server_config(&certificate, &key, Some(&authority))?;
        let address = config.listen;
        let listener =
            TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
        Ok(Self { host, pods, listener, acceptor: TlsAcceptor::from(Arc::new(tls)) })
    }

    /// Answers until cancelled.
    pub(crate) async fn run(self) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let service = Arc::new(Service { host: Arc::clone(&self.host), pods: self.pods });
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: others will be closed meanwhile.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (acceptor, service) = (self.acceptor.clone(), Arc::clone(&service));
            self.host.tasks.spawn("kubelet connection", async move {
                serve(stream, &acceptor, service).await;
                drop(slot);
            });
        }
    }
}

async fn serve(stream: TcpStream, acceptor: &TlsAcceptor, service: Arc<Service>) {
    let stream = match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_elapsed) => return tracing::debug!("TLS handshake took too long"),
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let allowed = certificates.and_then(|list| list.first()).is_some_and(|leaf| {
        client_subject(leaf.as_ref()).is_ok_and(|subject| {
            subject.common_name == API_SERVER || subject.organizations.iter().any(|o| o == MASTERS)
        })
    });
    let handler = hyper::service::service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.answer(&request, allowed).await) }
    });
    let connection = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    if let Err(error) =
        connection.serve_connection_with_upgrades(TokioIo::new(stream), handler).await
    {
        tracing::debug!(%error, "connection to the kubelet ended badly");
    }
}

struct Service {
    host: Arc<Host>,
    pods: Informer<Pod>,
}

fn full(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static(kind));
    response
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    full(status, "text/plain; charset=utf-8", text.into())
}

fn stream(
    lines: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + Sync + 'static,
) -> Response<Body> {
    use futures::StreamExt as _;
    let body = StreamBody::new(lines.map(|chunk| chunk.map(Frame::data)));
    let mut response = Response::new(BodyExt::boxed(body));
    let kind = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert("content-type", kind);
    response
}

impl Service {
    async fn answer(&self, request: &Request<Incoming>, allowed: bool) -> Response<Body> {
        let path = request.uri().path();
        if path == "/healthz" {
            return plain(StatusCode::OK, "ok");
        }
        if !allowed {
            let text = "Unauthorized: a client certificate of the API server or of system:masters \
                        is needed\n";
            return plain(StatusCode::UNAUTHORIZED, text);
        }
        if request.method() != Method::GET {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is served\n");
        }
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            ["pods"] => self.list_pods(),
            ["containerLogs", namespace, pod, container] => {
                let query = request.uri().query().unwrap_or_default();
                self.logs(namespace, pod, container, query).await
            }
            _ => plain(StatusCode::NOT_FOUND, format!("{path} is not served by this kubelet\n")),
        }
    }

    fn list_pods(&self) -> Response<Body> {
        let items: Vec<Arc<Pod>> = self.pods.store().state();
        let items: Vec<&Pod> = items.iter().map(AsRef::as_ref).collect();
        let list = serde_json::json!({
            "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items,
        });
        full(StatusCode::OK, "application/json", list.to_string())
    }

    async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        query: &str,
    ) -> Response<Body> {
        let options = match logs::Options::parse(query) {
            Ok(options) => options,
            Err(message) => return plain(StatusCode::BAD_REQUEST, message),
        };
        let Some(object) = self.pods.object(Some(namespace), pod) else {
            let text = format!("pod \"{namespace}/{pod}\" not found\n");
            return plain(StatusCode::NOT_FOUND, text);
        };
        match logs::find(&self.host, &object, container, options.previous).await {
            Ok(place) => {
                stream(logs::stream(place, options, self.host.cri.clone(), &self.host.tasks))
            }
            Err(logs::LogError::NotFound(message)) => plain(StatusCode::NOT_FOUND, message),
            Err(logs::LogError::NotYet(message)) => plain(StatusCode::BAD_REQUEST, message),
            Err(logs::LogError::Unreadable(message)) => {
                plain(StatusCode::INTERNAL_SERVER_ERROR, message)
            }
            Err(logs::LogError::Cri(error)) => {
                plain(StatusCode::INTERNAL_SERVER_ERROR, chain(&error))
            }
        }
    }
}

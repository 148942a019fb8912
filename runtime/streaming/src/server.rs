//! The HTTP server that URLs lead to.

mod negotiate;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corten_task::Tasks;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::backend::Backend;
use crate::port_forward;
use crate::remotecommand::{self, Command};
use crate::request::{PortForward, Request};
use crate::session::{Role, Session};
use crate::tokens::Urls;
use crate::websocket;

use negotiate::{Refusal, Transport};

/// Connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;
/// How long a client may take to send its request.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);
/// How long the connection may take to change its protocol once both agree.
const UPGRADE_WITHIN: Duration = Duration::from_secs(30);

/// Where the server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Loopback by default: only the kubelet and local clients come here.
    pub address: IpAddr,
    /// 0, the default, for any that is free.
    pub port: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), port: 0 }
    }
}

/// The server, listening but not yet answering.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    urls: Urls,
}

/// Takes the address.
///
/// # Errors
/// When it is not to be had.
pub async fn bind(config: Config) -> io::Result<(Urls, Listener)> {
    let listener = TcpListener::bind(SocketAddr::from((config.address, config.port))).await?;
    let urls = Urls::new(listener.local_addr()?);
    Ok((urls.clone(), Listener { listener, urls }))
}

impl Listener {
    /// Answers until `tasks` is cancelled.
    pub fn serve(self, backend: Arc<dyn Backend>, tasks: &Tasks) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let ours = tasks.clone();
        tasks.spawn("streaming server", async move {
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
                let server = Server {
                    urls: self.urls.clone(),
                    backend: Arc::clone(&backend),
                    tasks: ours.clone(),
                    _slot: Arc::new(slot),
                };
                ours.spawn("streaming connection", connection(stream, server));
            }
        });
    }
}

/// What a connection needs.
#[derive(Debug, Clone)]
struct Server {
    urls: Urls,
    backend: Arc<dyn Backend>,
    tasks: Tasks,
    /// Kept until the connection, and what it was upgraded to, has ended.
    _slot: Arc<tokio::sync::OwnedSemaphorePermit>,
}

type Response = http::Response<Full<Bytes>>;

async fn connection(stream: TcpStream, server: Server) {
    // Keystrokes are not to wait for each other.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let service = hyper::service::service_fn(|request| {
        let server = server.clone();
        async move { Ok::<_, Infallible>(server.answer(request)) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a streaming connection ended badly");
    }
}

impl Server {
    fn answer(&self, mut request: http::Request<Incoming>) -> Response {
        if request.method() != Method::GET && request.method() != Method::POST {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and POST are served\n");
        }
        let Some(wanted) = self.urls.take(request.uri().path()) else {
            let text = "this URL was used already, is older than a minute, or never was one\n";
            return plain(StatusCode::NOT_FOUND, text);
        };
        let chosen = match &wanted {
            Request::Exec(_) | Request::Attach(_) => negotiate::remotecommand(request.headers()),
            Request::PortForward(_) => negotiate::port_forward(request.headers()),
        };
        let (transport, headers) = match chosen {
            Ok(chosen) => chosen,
            Err(Refusal { status, text }) => return plain(status, text),
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let server = self.clone();
        self.tasks.spawn("stream", async move { server.lead(wanted, transport, upgrade).await });
        switching(headers)
    }

    /// Leads the conversation, once the connection has been upgraded.
    async fn lead(self, request: Request, transport: Transport, upgrade: OnUpgrade) {
        let upgraded = match tokio::time::timeout(UPGRADE_WITHIN, upgrade).await {
            Ok(Ok(upgraded)) => TokioIo::new(upgraded),
            Ok(Err(error)) => return tracing::debug!(%error, "a connection was not upgraded"),
            Err(_elapsed) => return tracing::debug!("upgrading a connection took too long"),
        };
        let (backend, tasks) = (&self.backend, &self.tasks);
        match (request, transport) {
            (Request::Exec(exec), transport) => {
                self.command(&Command::Exec(exec), transport, upgraded).await;
            }
            (Request::Attach(attach), transport) => {
                self.command(&Command::Attach(attach), transport, upgraded).await;
            }
            (Request::PortForward(PortForward { sandbox_id, .. }), Transport::Spdy(_)) => {
                let session = Session::start(upgraded, Role::Server, tasks);
                port_forward::serve_spdy(session, &sandbox_id, backend, tasks).await;
            }
            (Request::PortForward(PortForward { sandbox_id, .. }), Transport::Tunnel) => {
                let inner = websocket::tunnel(websocket::stream(upgraded).await, tasks);
                let session = Session::start(inner, Role::Server, tasks);
                port_forward::serve_spdy(session, &sandbox_id, backend, tasks).await;
            }
            (Request::PortForward(request), Transport::WebSocket(protocol)) => {
                let stream = websocket::stream(upgraded).await;
                port_forward::serve_websocket(stream, protocol, &request, (&**backend, tasks))
                    .await;
            }
        }
    }

    async fn command(
        &self,
        command: &Command,
        transport: Transport,
        upgraded: TokioIo<hyper::upgrade::Upgraded>,
    ) {
        let (backend, tasks) = (&*self.backend, &self.tasks);
        match transport {
            Transport::Spdy(protocol) => {
                let session = Session::start(upgraded, Role::Server, tasks);
                remotecommand::serve_spdy(session, protocol, backend, command).await;
            }
            Transport::WebSocket(protocol) => {
                let stream = websocket::stream(upgraded).await;
                remotecommand::serve_websocket(stream, protocol, (backend, tasks), command).await;
            }
            // Never chosen for commands.
            Transport::Tunnel => {}
        }
    }
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response {
    let mut response = Response::new(Full::new(text.into().into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn switching(headers: HeaderMap) -> Response {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}

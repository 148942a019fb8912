//! Connections: TLS, HTTP/1.1 and HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use corten_task::Tasks;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::authn;
use crate::config::{Config, ServeError};
use crate::dispatch::dispatch;
use crate::state::Api;
use crate::user::User;

/// How long a handshake or the head of a request may take.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long connections may go on when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Pause after a failed accept, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Requests under way on one HTTP/2 connection. A busy client has a watch for each kind.
const STREAMS_MAX: u32 = 250;
const HEADER_BYTES_MAX: u32 = 64 << 10;

/// Listens, and answers until the tasks are cancelled.
pub(crate) async fn listen(
    config: &Config,
    api: Api,
    tasks: &Tasks,
) -> Result<SocketAddr, ServeError> {
    let mut tls = corten_pki::server_config(
        &config.serving.certificate_pem,
        &config.serving.key_pem,
        Some(&config.client_ca_pem),
    )
    .map_err(ServeError::Tls)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let failed = |source| ServeError::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let room = Arc::new(Semaphore::new(config.connections_max));
    let connections = tasks.clone();
    tasks.spawn("api listener", async move {
        accept_all(listener, acceptor, api, room, connections).await;
    });
    Ok(address)
}

async fn accept_all(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    api: Api,
    room: Arc<Semaphore>,
    tasks: Tasks,
) {
    // Without room for another connection none is accepted: they wait in the kernel's queue.
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _peer)) => stream,
            Err(error) => {
                tracing::warn!(cause = %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (acceptor, api, token) = (acceptor.clone(), api.clone(), tasks.token());
        tasks.spawn_graceful("api connection", async move {
            let _room = permit;
            if let Some((stream, user)) = handshake(stream, &acceptor).await {
                serve(stream, user, api, token).await;
            }
        });
    }
}

type Tls = tokio_rustls::server::TlsStream<TcpStream>;

async fn handshake(stream: TcpStream, acceptor: &TlsAcceptor) -> Option<(Tls, Option<User>)> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(cause = %error, "a connection is already gone");
        return None;
    }
    let stream = match tokio::time::timeout(HEAD_WITHIN, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(cause = %error, "TLS handshake failed");
            return None;
        }
        Err(_elapsed) => return None,
    };
    // The chain has been verified: its first certificate is the client's own.
    let certificates = stream.get_ref().1.peer_certificates();
    let user = certificates.and_then(<[_]>::first).and_then(authn::certificate_user);
    Some((stream, user))
}

async fn serve(stream: Tls, user: Option<User>, api: Api, stop: corten_task::CancellationToken) {
    let user = Arc::new(user);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (api, user) = (api.clone(), Arc::clone(&user));
        async move { Ok::<_, Infallible>(dispatch(&api, user.as_ref().as_ref(), request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(STOP_GRACE, connection).await {
                Ok(outcome) => outcome,
                Err(_elapsed) => return,
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(cause = %error, "a connection broke");
    }
}

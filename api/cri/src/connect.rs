//! A client's way to a runtime's socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

/// A runtime's socket answers at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// No runtime could be reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to the container runtime at {}: is it running?", socket.display())]
pub struct ConnectError {
    /// The socket that was tried.
    pub socket: PathBuf,
    /// What the transport said.
    #[source]
    pub source: Box<tonic::transport::Error>,
}

/// Connects to the runtime that listens on the unix socket `socket`. The channel reconnects by
/// itself when the runtime is restarted; clones share the connection.
///
/// # Errors
/// [`ConnectError`] when nothing listens there.
pub async fn connect(socket: &Path) -> Result<Channel, ConnectError> {
    let path = socket.to_owned();
    let dial = service_fn(move |_: Uri| {
        let path = path.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
    });
    // The authority is a placeholder: the connector ignores it.
    Endpoint::from_static("http://localhost")
        .connect_timeout(CONNECT_TIMEOUT)
        .connect_with_connector(dial)
        .await
        .map_err(|source| ConnectError { socket: socket.to_owned(), source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[tokio::test]
    async fn a_missing_socket_is_named() {
        let error = connect(Path::new("/nonexistent/cri.sock")).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot connect to the container runtime at /nonexistent/cri.sock: is it running?"
        );
        assert!(error.source().is_some());
    }
}

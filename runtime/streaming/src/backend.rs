//! What the server needs from whoever owns the containers.

use std::fmt;

use futures::future::BoxFuture;
use tokio::net::TcpStream;

use crate::remotecommand::Streams;
use crate::request::{Attach, Exec};

/// Reaches containers. Calls run until they are done, or the future is dropped because the server
/// ends; a client that has gone is seen in [`Streams::gone`].
pub trait Backend: Send + Sync + fmt::Debug + 'static {
    /// Runs a command; its exit status.
    fn exec<'a>(
        &'a self,
        request: &'a Exec,
        streams: &'a mut Streams,
    ) -> BoxFuture<'a, Result<i32, Failure>>;

    /// Joins the streams of a container's first process, until it ends.
    fn attach<'a>(
        &'a self,
        request: &'a Attach,
        streams: &'a mut Streams,
    ) -> BoxFuture<'a, Result<(), Failure>>;

    /// Connects to a port within a sandbox.
    fn dial<'a>(
        &'a self,
        sandbox_id: &'a str,
        port: u16,
    ) -> BoxFuture<'a, Result<TcpStream, Failure>>;
}

/// Why something could not be done, for the one who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

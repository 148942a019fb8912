//! Port-forward: connections into a sandbox, each with a channel for data and one for errors.

mod spdy;
mod websocket;

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::backend::{Backend, Failure};
use crate::channel::{Input, Output};

pub(crate) use spdy::{PROTOCOL as SPDY_PROTOCOL, TUNNEL_PROTOCOL, serve as serve_spdy};
pub(crate) use websocket::{PROTOCOLS as WEBSOCKET_PROTOCOLS, serve as serve_websocket};

/// Once the program in the sandbox has said all, a client that could still say something has so
/// long to end.
const CLIENT_ENDS_WITHIN: Duration = Duration::from_secs(5);

/// One connection of a client's: connects, and copies both ways until both have ended, or for
/// `patience` longer than the program in the sandbox speaks. What goes wrong is told on the channel
/// for errors, which is ended last.
async fn forward(
    backend: &dyn Backend,
    (sandbox_id, port): (&str, u16),
    (mut input, output): (Input, Output),
    error: Output,
    patience: Duration,
) {
    let outcome = match backend.dial(sandbox_id, port).await {
        Ok(mut connection) => {
            let (mut reader, mut writer) = connection.split();
            let out = async {
                // The client has gone: there is nobody to tell.
                drop(output.copy_from(&mut reader).await);
                output.end().await;
            };
            let into = async {
                // The program in the pod may close first; what it said has been passed on.
                drop(input.copy_to(&mut writer).await);
                drop(writer.shutdown().await);
            };
            tokio::pin!(out, into);
            tokio::select! {
                () = &mut out => drop(tokio::time::timeout(patience, into).await),
                () = &mut into => out.await,
            }
            Ok(())
        }
        Err(failure) => {
            output.end().await;
            Err(failure)
        }
    };
    if let Err(Failure(reason)) = outcome {
        let message = format!("error forwarding port {port} to pod sandbox {sandbox_id}: {reason}");
        // As above.
        drop(error.write(message.into()).await);
    }
    error.end().await;
}

//! Over SPDY: for each connection the client opens two streams, which it names by headers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use corten_task::Tasks;
use tokio::time::Instant;

use super::{CLIENT_ENDS_WITHIN, forward};
use crate::backend::Backend;
use crate::channel::{Input, Output};
use crate::session::{Opened, Session};

/// As it is negotiated in `X-Stream-Protocol-Version`.
pub(crate) const PROTOCOL: &str = "portforward.k8s.io";
/// The same within a WebSocket: KEP-4006.
pub(crate) const TUNNEL_PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";

/// How long one stream of a pair may wait for the other.
const PAIR_WITHIN: Duration = Duration::from_secs(30);
/// Streams that wait for their other.
const HALVES_MAX: usize = 256;

/// One stream of a pair.
struct Half {
    is_error: bool,
    port: u16,
    channel: (Input, Output),
    until: Instant,
}

/// Forwards until the client ends the connection.
pub(crate) async fn serve(
    mut session: Session,
    sandbox_id: &str,
    backend: &Arc<dyn Backend>,
    tasks: &Tasks,
) {
    let mut halves: BTreeMap<String, Half> = BTreeMap::new();
    loop {
        let oldest = halves.values().map(|half| half.until).min();
        let opened = tokio::select! {
            opened = session.next() => opened,
            () = expiry(oldest) => {
                halves.retain(|_, half| half.until > Instant::now());
                continue;
            }
        };
        let Some(opened) = opened else { return };
        let Some((id, is_error, port)) = describe(&opened) else {
            opened.refuse().await;
            continue;
        };
        let doubled =
            halves.get(&id).is_some_and(|half| half.is_error == is_error || half.port != port);
        if doubled || halves.len() >= HALVES_MAX {
            opened.refuse().await;
            continue;
        }
        let Ok(channel) = opened.accept().await else { return };
        let until = Instant::now() + PAIR_WITHIN;
        let half = Half { is_error, port, channel, until };
        let Some(other) = halves.remove(&id) else {
            halves.insert(id, half);
            continue;
        };
        let (data, error) = if is_error { (other, half) } else { (half, other) };
        let (backend, sandbox_id) = (Arc::clone(backend), sandbox_id.to_owned());
        let gone = session.gone();
        tasks.spawn("forwarded connection", async move {
            // The client writes nothing on the channel for errors.
            let (_, errors) = error.channel;
            let target = (&*sandbox_id, port);
            let work = forward(&*backend, target, data.channel, errors, CLIENT_ENDS_WITHIN);
            // Nobody is there any more for whom it could go on.
            let _ended: Option<()> = gone.run_until_cancelled(work).await;
        });
    }
}

async fn expiry(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The pair's name, which of the two it is, and the port.
fn describe(opened: &Opened) -> Option<(String, bool, u16)> {
    let is_error = match opened.headers.get("streamtype")? {
        "error" => true,
        "data" => false,
        _ => return None,
    };
    let port = opened.headers.get("port")?.parse().ok().filter(|port| *port != 0)?;
    let id = match opened.headers.get("requestid") {
        Some(id) => id.to_owned(),
        // Clients before Kubernetes 1.2 open the one for errors, and at once the other.
        None => format!("stream {}", if is_error { opened.id } else { opened.id.checked_sub(2)? }),
    };
    Some((id, is_error, port))
}

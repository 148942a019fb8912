//! News of containers, from the runtime's event stream.

use std::time::Duration;

use corten_api_cri::v1::ContainerEventResponse;
use tokio::sync::mpsc;

use super::labels;
use super::model::PodUid;
use crate::cri::Cri;

/// Without events the runtime is looked at this often.
const POLL: Duration = Duration::from_secs(1);

/// Whose containers to look at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Of(PodUid),
    /// Events may have been lost.
    Any,
}

/// Follows the stream for ever. While there is none, everything is looked at each second.
pub(crate) async fn follow(cri: Cri, tell: mpsc::Sender<News>) {
    loop {
        match cri.events().await {
            Ok(mut events) => {
                // What happened before the stream began has to be looked for.
                if tell.send(News::Any).await.is_err() {
                    return;
                }
                loop {
                    match events.message().await {
                        Ok(Some(event)) => {
                            if tell.send(news(&event)).await.is_err() {
                                return;
                            }
                        }
                        Ok(None) => break,
                        Err(status) => {
                            tracing::debug!(cause = %status, "the runtime's event stream broke");
                            break;
                        }
                    }
                }
            }
            Err(error) => {
                tracing::debug!(cause = crate::error::chain(&error), "no events from the runtime");
            }
        }
        if tell.send(News::Any).await.is_err() {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

fn news(event: &ContainerEventResponse) -> News {
    let sandbox = event.pod_sandbox_status.as_ref().and_then(|s| s.metadata.as_ref());
    let uid = sandbox.map(|m| m.uid.clone()).filter(|uid| !uid.is_empty()).or_else(|| {
        event.containers_statuses.iter().find_map(|c| c.labels.get(labels::POD_UID).cloned())
    });
    uid.map_or(News::Any, |uid| News::Of(PodUid(uid)))
}

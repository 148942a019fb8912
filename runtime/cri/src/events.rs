//! What happens to containers, told to whoever subscribes.

use corten_api_cri::v1::ContainerEventResponse;
use tokio::sync::broadcast;

/// How far a subscriber may fall behind. One that falls further is told so, and has to list.
const BACKLOG_MAX: usize = 1024;

/// The stream of events. Those from before a subscription are not told.
#[derive(Debug)]
pub(crate) struct Events {
    sender: broadcast::Sender<ContainerEventResponse>,
}

impl Default for Events {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(BACKLOG_MAX) }
    }
}

impl Events {
    /// Tells an event; it is not even made when nobody listens.
    pub(crate) fn emit(&self, make: impl FnOnce() -> ContainerEventResponse) {
        if self.sender.receiver_count() > 0 {
            // The last one may have left meanwhile.
            drop(self.sender.send(make()));
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<ContainerEventResponse> {
        self.sender.subscribe()
    }
}

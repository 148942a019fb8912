//! One container's end of one network.

use serde::{Deserialize, Serialize};

/// Names an attachment, as GC's `cni.dev/valid-attachments` lists them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attachment {
    /// The runtime's id of the container (or sandbox).
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// The interface's name inside the container.
    pub ifname: String,
}

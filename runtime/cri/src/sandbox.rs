//! Pod sandboxes: a shim, namespaces and a network that containers share.
//!
//! `run.rs` makes one, `stop.rs` takes it down, `shims.rs` keeps up the conversation with its
//! shim, `status.rs` tells of it, `files.rs` writes what its containers find in `/etc`.

mod files;
mod run;
mod shims;
mod status;
mod stop;

use std::sync::{Arc, Mutex, PoisonError};

use corten_api_cri::v1::{LinuxSandboxSecurityContext, NamespaceMode, PodSandboxMetadata};
use tokio::sync::Mutex as AsyncMutex;

use crate::error::{Kind, OperationError, Outcome};
use crate::service::Saving;
use crate::shim::Shim;
use crate::store::{SandboxPhase, SandboxRecord};

pub(crate) use run::run;
pub(crate) use shims::{mark_dead, take_over, watch};
pub(crate) use status::{info, list_item, status};
pub(crate) use stop::{remove, stop, take_down, take_down_unknown};

/// What makes a sandbox the same as another: a retry has the same name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SandboxName {
    namespace: String,
    name: String,
    uid: String,
    attempt: u32,
}

impl From<&PodSandboxMetadata> for SandboxName {
    fn from(metadata: &PodSandboxMetadata) -> Self {
        Self {
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            uid: metadata.uid.clone(),
            attempt: metadata.attempt,
        }
    }
}

/// A sandbox in memory.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) id: String,
    /// Held by the operation at work on it.
    pub(crate) operation: AsyncMutex<()>,
    pub(crate) saving: AsyncMutex<Saving>,
    record: Mutex<SandboxRecord>,
    shim: Mutex<Option<Arc<dyn Shim>>>,
}

impl Sandbox {
    pub(crate) fn new(record: SandboxRecord) -> Self {
        Self {
            id: record.id.clone(),
            operation: AsyncMutex::new(()),
            saving: AsyncMutex::new(Saving::default()),
            record: Mutex::new(record),
            shim: Mutex::new(None),
        }
    }

    pub(crate) fn record(&self) -> SandboxRecord {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn phase(&self) -> SandboxPhase {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).phase
    }

    /// In memory alone: callers go through `Service::change_sandbox`.
    pub(crate) fn change(&self, change: impl FnOnce(&mut SandboxRecord)) -> SandboxRecord {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut record);
        record.clone()
    }

    pub(crate) fn shim(&self) -> Option<Arc<dyn Shim>> {
        self.shim.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Arc::clone)
    }

    pub(crate) fn set_shim(&self, shim: Option<Arc<dyn Shim>>) {
        *self.shim.lock().unwrap_or_else(PoisonError::into_inner) = shim;
    }

    /// The conversation with its shim, for an operation that cannot do without.
    pub(crate) fn need_shim(&self) -> Outcome<Arc<dyn Shim>> {
        self.shim().ok_or_else(|| OperationError::State {
            kind: Kind::Sandbox,
            id: self.id.clone(),
            state: "not ready",
            wanted: "its shim is gone",
        })
    }
}

/// What a sandbox's config says of its security, or the default.
pub(crate) fn security(record: &SandboxRecord) -> LinuxSandboxSecurityContext {
    let linux = record.config.linux.as_ref();
    linux.and_then(|linux| linux.security_context.clone()).unwrap_or_default()
}

/// Whether it uses the node's network.
pub(crate) fn on_node_network(record: &SandboxRecord) -> bool {
    let options = security(record).namespace_options.unwrap_or_default();
    options.network() == NamespaceMode::Node
}

/// The host name its containers see; empty where that is the node's.
pub(crate) fn hostname(record: &SandboxRecord) -> String {
    if !record.config.hostname.is_empty() {
        return record.config.hostname.clone();
    }
    if on_node_network(record) {
        return rustix::system::uname().nodename().to_string_lossy().into_owned();
    }
    String::new()
}

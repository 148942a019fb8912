//! Containers: one file for each thing that is done with them.

mod bundle;
mod create;
mod exec;
mod exit;
mod remove;
mod start;
mod status;
mod stop;
mod update;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, watch};

use crate::service::{Saving, Service};
use crate::store::{ContainerPhase, ContainerRecord};

pub(crate) use create::create;
pub(crate) use exec::{command_process, exec_sync, shim_error};
pub(crate) use exit::{catch_up, exited, orphaned, out_of_memory};
pub(crate) use remove::{remove, take_down, take_down_unknown};
pub(crate) use start::{reopen_log, start};
pub(crate) use status::{emit, emit_removed_sandbox, info, list_item, status};
pub(crate) use stop::stop;
pub(crate) use update::update;

/// What makes a container the same as another: a retry has the same name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ContainerName {
    sandbox_id: String,
    name: String,
    attempt: u32,
}

impl From<&ContainerRecord> for ContainerName {
    fn from(record: &ContainerRecord) -> Self {
        let metadata = record.metadata();
        Self {
            sandbox_id: record.sandbox_id.clone(),
            name: metadata.name,
            attempt: metadata.attempt,
        }
    }
}

/// A container in memory.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) sandbox_id: String,
    /// Held by the operation at work on it; never while waiting for a grace period to pass.
    pub(crate) operation: AsyncMutex<()>,
    /// Held while the shim is asked for something whose answer and whose events must be taken in
    /// in order: a process can end before the answer that it runs is here.
    pub(crate) ordered: AsyncMutex<()>,
    pub(crate) saving: AsyncMutex<Saving>,
    record: Mutex<ContainerRecord>,
    changed: watch::Sender<()>,
}

impl Container {
    pub(crate) fn new(record: ContainerRecord) -> Self {
        Self {
            id: record.id.clone(),
            sandbox_id: record.sandbox_id.clone(),
            operation: AsyncMutex::new(()),
            ordered: AsyncMutex::new(()),
            saving: AsyncMutex::new(Saving::default()),
            record: Mutex::new(record),
            changed: watch::Sender::new(()),
        }
    }

    pub(crate) fn record(&self) -> ContainerRecord {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn phase(&self) -> ContainerPhase {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).phase
    }

    /// In memory alone: callers go through `Service::change_container`.
    pub(crate) fn change(&self, change: impl FnOnce(&mut ContainerRecord)) -> ContainerRecord {
        let changed = {
            let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut record);
            record.clone()
        };
        self.changed.send_replace(());
        changed
    }

    /// Waits until its process has ended; false when that took longer than `limit`.
    pub(crate) async fn ended_within(&self, limit: Duration) -> bool {
        let mut changes = self.changed.subscribe();
        let ended = async {
            while matches!(self.phase(), ContainerPhase::Created | ContainerPhase::Running) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(limit, ended).await.is_ok()
    }
}

/// The sandbox a container belongs to, if it is still there.
pub(crate) fn sandbox_of(
    service: &Service,
    container: &Container,
) -> Option<Arc<crate::sandbox::Sandbox>> {
    service.sandboxes.get(&container.sandbox_id)
}

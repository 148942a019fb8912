//! The service proper: what it knows, and how its operations are run.
//!
//! Two rules hold for all of them. An operation that changes something runs as a task of its own
//! ([`Service::detached`]): a caller that hangs up, or whose deadline passes, does not leave it
//! half done, and a retry waits for it and gets its result. And every change of a record is on
//! disk before its caller is answered.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use corten_runtime_streaming::Urls;
use corten_task::Tasks;
use tokio::sync::oneshot;

use crate::cgroups::Cgroups;
use crate::clock::{Clock, Ids};
use crate::config::Config;
use crate::container::{Container, ContainerName};
use crate::error::{Kind, OperationError, Outcome};
use crate::events::Events;
use crate::host::Host;
use crate::images::Images;
use crate::network::Network;
use crate::sandbox::{Sandbox, SandboxName};
use crate::shim::Shims;
use crate::stats::Samples;
use crate::store::{ContainerRecord, Index, Lookup, SandboxRecord, Store};

/// What the service drives, and where time and ids come from.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) shims: Arc<dyn Shims>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) images: Arc<dyn Images>,
    pub(crate) cgroups: Arc<dyn Cgroups>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
}

/// The service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) config: Config,
    pub(crate) host: Host,
    pub(crate) parts: Parts,
    pub(crate) store: Store,
    pub(crate) sandboxes: Index<SandboxName, Sandbox>,
    pub(crate) containers: Index<ContainerName, Container>,
    pub(crate) events: Events,
    pub(crate) samples: Samples,
    /// Where streams are had.
    pub(crate) urls: Urls,
    pub(crate) tasks: Tasks,
}

impl Service {
    /// A service that knows of nothing yet; `recover.rs` reads what an earlier one left.
    pub(crate) fn new(
        config: Config,
        host: Host,
        parts: Parts,
        store: Store,
        urls: Urls,
        tasks: Tasks,
    ) -> Arc<Self> {
        Arc::new(Self {
            config,
            host,
            parts,
            store,
            sandboxes: Index::default(),
            containers: Index::default(),
            events: Events::default(),
            samples: Samples::default(),
            urls,
            tasks,
        })
    }

    /// Runs an operation that must not be cut short when its caller goes away.
    pub(crate) async fn detached<T: Send + 'static>(
        &self,
        name: &'static str,
        operation: impl Future<Output = Outcome<T>> + Send + 'static,
    ) -> Outcome<T> {
        let (answer, answered) = oneshot::channel();
        self.tasks.spawn_graceful(name, async move {
            // Nobody listens any more: the outcome is in the records.
            drop(answer.send(operation.await));
        });
        match answered.await {
            Ok(outcome) => outcome,
            Err(_dropped) => Err(OperationError::ShuttingDown),
        }
    }

    /// Runs what blocks where that is no harm.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Parts) -> T + Send + 'static,
    ) -> Outcome<T> {
        let parts = self.parts.clone();
        tokio::task::spawn_blocking(move || work(&parts))
            .await
            .map_err(|source| OperationError::Internal { doing, source: Box::new(source) })
    }

    pub(crate) fn now(&self) -> i64 {
        self.parts.clock.now_ns()
    }

    /// The sandbox with that id, or start of an id.
    pub(crate) fn sandbox(&self, id: &str) -> Outcome<Arc<Sandbox>> {
        found(Kind::Sandbox, id, self.sandboxes.find(id))
    }

    /// The container with that id, or start of an id.
    pub(crate) fn container(&self, id: &str) -> Outcome<Arc<Container>> {
        found(Kind::Container, id, self.containers.find(id))
    }

    /// The containers of a sandbox, the oldest first.
    pub(crate) fn containers_of(&self, sandbox_id: &str) -> Vec<Arc<Container>> {
        let mut containers = self.containers.all();
        containers.retain(|container| container.sandbox_id == sandbox_id);
        containers.sort_by_key(|container| container.record().created_at);
        containers
    }

    /// Changes a sandbox's record, and writes it down unless the sandbox has been removed.
    pub(crate) async fn change_sandbox(
        &self,
        sandbox: &Sandbox,
        change: impl FnOnce(&mut SandboxRecord) + Send,
    ) -> Outcome<()> {
        let turn = sandbox.saving.lock().await;
        let record = sandbox.change(change);
        if turn.removed {
            return Ok(());
        }
        let store = self.store.clone();
        let id = record.id.clone();
        let saved = self.blocking("write a record", move |_| store.save_sandbox(&record)).await?;
        saved.map_err(|source| OperationError::Store { kind: Kind::Sandbox, id, source })
    }

    /// Changes a container's record, and writes it down unless the container has been removed.
    pub(crate) async fn change_container(
        &self,
        container: &Container,
        change: impl FnOnce(&mut ContainerRecord) + Send,
    ) -> Outcome<()> {
        let turn = container.saving.lock().await;
        let record = container.change(change);
        if turn.removed {
            return Ok(());
        }
        let store = self.store.clone();
        let id = record.id.clone();
        let saved = self.blocking("write a record", move |_| store.save_container(&record)).await?;
        saved.map_err(|source| OperationError::Store { kind: Kind::Container, id, source })
    }

    /// Forgets a sandbox, on disk first.
    pub(crate) async fn forget_sandbox(&self, sandbox: &Sandbox) -> Outcome<()> {
        let mut turn = sandbox.saving.lock().await;
        let store = self.store.clone();
        let id = sandbox.id.clone();
        let deleted = self.blocking("delete a record", move |_| store.delete_sandbox(&id)).await?;
        deleted.map_err(|source| OperationError::Store {
            kind: Kind::Sandbox,
            id: sandbox.id.clone(),
            source,
        })?;
        turn.removed = true;
        self.sandboxes.remove(&sandbox.id);
        Ok(())
    }

    /// Forgets a container, on disk first.
    pub(crate) async fn forget_container(&self, container: &Container) -> Outcome<()> {
        let mut turn = container.saving.lock().await;
        let store = self.store.clone();
        let id = container.id.clone();
        let deleted =
            self.blocking("delete a record", move |_| store.delete_container(&id)).await?;
        deleted.map_err(|source| OperationError::Store {
            kind: Kind::Container,
            id: container.id.clone(),
            source,
        })?;
        turn.removed = true;
        self.containers.remove(&container.id);
        self.samples.forget(&container.id);
        Ok(())
    }
}

/// Who may write an entry's record, and whether there is one left to write.
#[derive(Debug, Default)]
pub(crate) struct Saving {
    pub(crate) removed: bool,
}

/// How long a signal that cannot be caught may take to be seen to have worked.
pub(crate) const KILL_TIMEOUT: Duration = Duration::from_secs(20);

fn found<T>(kind: Kind, id: &str, lookup: Lookup<T>) -> Outcome<Arc<T>> {
    match lookup {
        Lookup::Found(entry) => Ok(entry),
        Lookup::Nothing => Err(OperationError::not_found(kind, id)),
        Lookup::Ambiguous => Err(OperationError::Ambiguous { kind, id: id.to_owned() }),
    }
}

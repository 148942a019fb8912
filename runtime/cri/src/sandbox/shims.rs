//! Keeping up the conversation with a sandbox's shim.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Sandbox;
use crate::container;
use crate::error::chain;
use crate::service::Service;
use crate::shim::{Connection, ShimError, ShimEvent};
use crate::store::SandboxPhase;

/// A shim that closed the connection may still be there: how often, and after what pause, it is
/// tried again.
const RECONNECTS: u32 = 3;
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Takes in what the shim tells, until the sandbox is taken down or the shim is lost for good.
pub(crate) fn watch(
    service: &Arc<Service>,
    sandbox: &Arc<Sandbox>,
    events: mpsc::Receiver<ShimEvent>,
) {
    let (service, sandbox) = (Arc::clone(service), Arc::clone(sandbox));
    let tasks = service.tasks.clone();
    tasks.spawn("shim events", async move {
        let mut events = events;
        loop {
            while let Some(event) = events.recv().await {
                take_in(&service, event).await;
            }
            match lost(&service, &sandbox).await {
                Some(again) => events = again,
                None => return,
            }
        }
    });
}

async fn take_in(service: &Service, event: ShimEvent) {
    match event {
        ShimEvent::Exit { container_id, exited } => {
            if let Some(container) = service.containers.get(&container_id) {
                container::exited(service, &container, exited.into()).await;
            }
        }
        ShimEvent::Oom { container_id } => {
            if let Some(container) = service.containers.get(&container_id) {
                container::out_of_memory(service, &container).await;
            }
        }
    }
}

/// The connection ended. Nothing to do when we ended the shim; else it is tried again, and given
/// up as dead.
async fn lost(service: &Arc<Service>, sandbox: &Arc<Sandbox>) -> Option<mpsc::Receiver<ShimEvent>> {
    // An operation that ends the shim holds this until its work is written down.
    let _operation = sandbox.operation.lock().await;
    if sandbox.phase() != SandboxPhase::Ready || sandbox.shim().is_none() {
        return None;
    }
    let dir = service.config.shim_dir(&sandbox.id);
    for attempt in 0..RECONNECTS {
        tokio::time::sleep(RECONNECT_PAUSE * attempt).await;
        match service.parts.shims.attach(&dir).await {
            Ok(connection) => match take_over(service, sandbox, connection).await {
                Ok(events) => return Some(events),
                Err(error) => tracing::warn!(sandbox = sandbox.id, cause = chain(&error), "shim"),
            },
            Err(error) => tracing::warn!(sandbox = sandbox.id, cause = chain(&error), "shim"),
        }
    }
    mark_dead(service, sandbox).await;
    None
}

/// Goes on with a shim that was running before: asks what became of the containers meanwhile.
pub(crate) async fn take_over(
    service: &Service,
    sandbox: &Sandbox,
    connection: Connection,
) -> Result<mpsc::Receiver<ShimEvent>, ShimError> {
    let reports = connection.shim.state().await?;
    sandbox.set_shim(Some(connection.shim));
    for container in service.containers_of(&sandbox.id) {
        let report = reports.iter().find(|report| report.id == container.id);
        container::catch_up(service, &container, report).await;
    }
    Ok(connection.events)
}

/// The shim is gone, and with it whoever could tell of the containers: they are ended, and the
/// sandbox is not ready, so that the kubelet makes another.
pub(crate) async fn mark_dead(service: &Service, sandbox: &Sandbox) {
    tracing::warn!(sandbox = sandbox.id, "the shim is gone: the pod is given up as dead");
    sandbox.set_shim(None);
    for container in service.containers_of(&sandbox.id) {
        container::orphaned(service, &container).await;
    }
    let changed =
        service.change_sandbox(sandbox, |record| record.phase = SandboxPhase::NotReady).await;
    if let Err(error) = changed {
        tracing::error!(sandbox = sandbox.id, cause = chain(&error), "a pod's death is not kept");
    }
}

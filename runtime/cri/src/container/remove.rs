//! Removing a container.

use std::sync::Arc;
use std::time::Duration;

use corten_api_cri::v1::ContainerEventType;

use super::{Container, bundle, emit, sandbox_of, stop};
use crate::error::{Kind, OperationError, Outcome, chain};
use crate::service::Service;
use crate::store::ContainerPhase;

/// Removes it, by force if it runs; fine when that was done before.
pub(crate) async fn remove(service: &Arc<Service>, container: &Arc<Container>) -> Outcome<()> {
    stop(service, container, Duration::ZERO).await?;
    let _operation = container.operation.lock().await;
    if service.containers.get(&container.id).is_none() {
        return Ok(());
    }
    if matches!(container.phase(), ContainerPhase::Created | ContainerPhase::Running) {
        return Err(OperationError::State {
            kind: Kind::Container,
            id: container.id.clone(),
            state: container.phase().as_str(),
            wanted: "it was started while being removed",
        });
    }
    service.change_container(container, |record| record.phase = ContainerPhase::Removing).await?;
    take_down(service, container).await?;
    service.forget_container(container).await?;
    emit(service, container, ContainerEventType::ContainerDeletedEvent);
    tracing::info!(container = container.id, sandbox = container.sandbox_id, "container removed");
    Ok(())
}

/// Undoes, in reverse, whatever of `create.rs` was done. Every step is tried; all failures are told.
pub(crate) async fn take_down(service: &Service, container: &Container) -> Outcome<()> {
    let mut failures = Vec::new();
    if let Some(shim) = sandbox_of(service, container).and_then(|sandbox| sandbox.shim()) {
        match shim.delete(&container.id).await {
            Err(error) if !error.is_not_found() && !error.is_gone() => {
                failures.push(format!("shim: {}", chain(&error)));
            }
            Ok(()) | Err(_) => {}
        }
    }
    let cgroup = container.record().cgroup_path;
    let dir = service.config.bundle_dir(&container.id);
    let id = container.id.clone();
    let left = service
        .blocking("give back a container's files", move |parts| {
            let mut failures = Vec::new();
            if let Err(error) = parts.cgroups.destroy(&cgroup) {
                failures.push(format!("cgroup {cgroup}: {error}"));
            }
            failures.extend(bundle::remove(&parts.images, &dir, &id));
            failures
        })
        .await?;
    failures.extend(left);
    if failures.is_empty() {
        return Ok(());
    }
    Err(OperationError::Teardown { kind: Kind::Container, id: container.id.clone(), failures })
}

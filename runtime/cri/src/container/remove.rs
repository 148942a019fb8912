//! Removing a container.

use std::sync::Arc;
use std::time::Duration;

use corten_api_cri::v1::ContainerEventType;

use super::{Container, bundle, emit, sandbox_of, stop};
use crate::error::{Kind, OperationError, Outcome, chain};
use crate::sandbox::remove_dir;
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
    match give_back(service, &container.id, Some(cgroup)).await {
        Ok(left) => failures.extend(left),
        Err(error) => failures.push(chain(&error)),
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(OperationError::Teardown { kind: Kind::Container, id: container.id.clone(), failures })
}

/// Takes away the files of a container of which nothing but its id is known.
pub(crate) async fn take_down_unknown(service: &Service, id: &str) -> Outcome<()> {
    let failures = give_back(service, id, None).await?;
    if failures.is_empty() {
        return Ok(());
    }
    Err(OperationError::Teardown { kind: Kind::Container, id: id.to_owned(), failures })
}

/// What could not be given back.
async fn give_back(service: &Service, id: &str, cgroup: Option<String>) -> Outcome<Vec<String>> {
    let dir = service.config.bundle_dir(id);
    // The shim's to remove; but a shim that was killed left it.
    let state = service.config.state_dir().join(id);
    let id = id.to_owned();
    service
        .blocking("give back a container's files", move |parts| {
            let mut failures = Vec::new();
            if let Some(cgroup) = cgroup
                && let Err(error) = parts.cgroups.destroy(&cgroup)
            {
                failures.push(format!("cgroup {cgroup}: {error}"));
            }
            if let Err(error) = remove_dir(&state) {
                failures.push(format!("{}: {error}", state.display()));
            }
            failures.extend(bundle::remove(&parts.images, &dir, &id));
            failures
        })
        .await
}

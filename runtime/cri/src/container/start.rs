//! Starting a container, and its log.

use std::sync::Arc;

use corten_api_cri::v1::ContainerEventType;

use super::create::need_ready;
use super::{Container, emit, sandbox_of};
use crate::error::{Kind, OperationError, Outcome, chain};
use crate::sandbox::Sandbox;
use crate::service::Service;
use crate::shim::ShimError;
use crate::store::{ContainerPhase, ExitRecord};

/// What runtimes report when the program could not be executed, as containerd has it.
const START_ERROR_CODE: i32 = 128;

/// Lets a container run; fine when a call before this one did.
pub(crate) async fn start(service: &Arc<Service>, container: &Arc<Container>) -> Outcome<()> {
    let _operation = container.operation.lock().await;
    match container.phase() {
        ContainerPhase::Created => {}
        ContainerPhase::Running => return Ok(()),
        other @ (ContainerPhase::Creating | ContainerPhase::Exited | ContainerPhase::Removing) => {
            return Err(OperationError::State {
                kind: Kind::Container,
                id: container.id.clone(),
                state: other.as_str(),
                wanted: "only a created one can be started",
            });
        }
    }
    let sandbox = need_sandbox(service, container)?;
    need_ready(&sandbox)?;
    let shim = sandbox.need_shim()?;
    let ordered = container.ordered.lock().await;
    match shim.start(&container.id).await {
        Ok(at) => {
            service
                .change_container(container, |record| {
                    record.started_at = Some(at);
                    if record.phase == ContainerPhase::Created {
                        record.phase = ContainerPhase::Running;
                    }
                })
                .await?;
        }
        Err(source) => {
            if matches!(source, ShimError::Fault { .. }) {
                failed(service, container, &source).await?;
            }
            return Err(OperationError::Shim {
                doing: "start",
                kind: Kind::Container,
                id: container.id.clone(),
                source,
            });
        }
    }
    drop(ordered);
    emit(service, container, ContainerEventType::ContainerStartedEvent);
    tracing::info!(container = container.id, sandbox = container.sandbox_id, "container started");
    Ok(())
}

/// The shim says that the program cannot be run: the container has ended before it began.
async fn failed(service: &Service, container: &Container, cause: &ShimError) -> Outcome<()> {
    let exit = ExitRecord {
        code: START_ERROR_CODE,
        at: service.now(),
        reason: "StartError".to_owned(),
        message: chain(cause),
    };
    service
        .change_container(container, |record| {
            record.phase = ContainerPhase::Exited;
            record.exit = Some(exit);
        })
        .await
}

pub(super) fn need_sandbox(service: &Service, container: &Container) -> Outcome<Arc<Sandbox>> {
    sandbox_of(service, container)
        .ok_or_else(|| OperationError::not_found(Kind::Sandbox, &container.sandbox_id))
}

/// Has the shim open the log file anew, after it was renamed.
pub(crate) async fn reopen_log(service: &Service, container: &Container) -> Outcome<()> {
    if container.phase() != ContainerPhase::Running {
        return Err(OperationError::State {
            kind: Kind::Container,
            id: container.id.clone(),
            state: container.phase().as_str(),
            wanted: "only a running one writes a log",
        });
    }
    let shim = need_sandbox(service, container)?.need_shim()?;
    shim.reopen_log(&container.id).await.map_err(|source| OperationError::Shim {
        doing: "reopening the log",
        kind: Kind::Container,
        id: container.id.clone(),
        source,
    })
}

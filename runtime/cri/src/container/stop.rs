//! Stopping a container.

use std::sync::Arc;
use std::time::Duration;

use super::{Container, exit, sandbox_of};
use crate::error::{Kind, OperationError, Outcome};
use crate::service::{KILL_TIMEOUT, Service};
use crate::shim::{FaultCode, Shim, ShimError};
use crate::signal;
use crate::store::ContainerPhase;

/// Asks its process to end, and after `grace` kills what is left; fine when it has ended.
///
/// Two calls at once each send their signals, so that a shorter grace given later is kept.
pub(crate) async fn stop(
    service: &Arc<Service>,
    container: &Arc<Container>,
    grace: Duration,
) -> Outcome<()> {
    let phase = {
        // Waits for one that is being made or started.
        let _operation = container.operation.lock().await;
        container.phase()
    };
    match phase {
        ContainerPhase::Running | ContainerPhase::Created => {}
        ContainerPhase::Creating | ContainerPhase::Exited | ContainerPhase::Removing => {
            return Ok(());
        }
    }
    let Some(shim) = sandbox_of(service, container).and_then(|sandbox| sandbox.shim()) else {
        exit::orphaned(service, container).await;
        return Ok(());
    };
    if phase == ContainerPhase::Running && !grace.is_zero() {
        let signal = container.record().stop_signal;
        if !send(service, container, &shim, signal, false).await? {
            return Ok(());
        }
        if container.ended_within(grace).await {
            return Ok(());
        }
        tracing::info!(container = container.id, "did not end in time, killed");
    }
    if send(service, container, &shim, signal::KILL, true).await?
        && !container.ended_within(KILL_TIMEOUT).await
    {
        return Err(OperationError::Timeout {
            doing: format!("the end of container {} after SIGKILL", container.id),
            seconds: KILL_TIMEOUT.as_secs(),
        });
    }
    Ok(())
}

/// Signals; whether there is anything to wait for.
async fn send(
    service: &Service,
    container: &Container,
    shim: &Arc<dyn Shim>,
    signal: i32,
    all: bool,
) -> Outcome<bool> {
    match shim.kill(&container.id, None, signal, all).await {
        // It has ended already, and word of that is on its way.
        Ok(()) | Err(ShimError::Fault { code: FaultCode::State, .. }) => Ok(true),
        Err(error) if error.is_gone() || error.is_not_found() => {
            exit::orphaned(service, container).await;
            Ok(false)
        }
        Err(source) => Err(OperationError::Shim {
            doing: "signalling",
            kind: Kind::Container,
            id: container.id.clone(),
            source,
        }),
    }
}

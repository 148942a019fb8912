//! How containers end, and how that is learnt.

use super::{Container, emit, sandbox_of};
use crate::error::chain;
use crate::service::Service;
use crate::shim::{ContainerReport, Exited};
use crate::store::{ContainerPhase, ExitRecord};
use corten_api_cri::v1::ContainerEventType;

/// The code of a container that was lost sight of, as containerd has it.
const UNKNOWN_CODE: i32 = 255;

/// An end, in the words of the interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    code: i32,
    at_ns: i64,
    oom_killed: bool,
    /// Empty where the code says all.
    message: String,
}

impl From<Exited> for End {
    fn from(exited: Exited) -> Self {
        let Exited { code, at_ns, oom_killed, timed_out: _ } = exited;
        Self { code, at_ns, oom_killed, message: String::new() }
    }
}

/// Takes in that a container's process has ended; the first word of it counts.
pub(crate) async fn exited(service: &Service, container: &Container, end: End) {
    let ordered = container.ordered.lock().await;
    let mut news = false;
    let changed = service
        .change_container(container, |record| {
            if !matches!(record.phase, ContainerPhase::Created | ContainerPhase::Running) {
                return;
            }
            news = true;
            let reason = if end.oom_killed || (record.oom && end.code == 137) {
                "OOMKilled"
            } else if end.code == 0 {
                "Completed"
            } else if end.message.is_empty() {
                "Error"
            } else {
                "Unknown"
            };
            record.phase = ContainerPhase::Exited;
            record.pid = None;
            record.exit = Some(ExitRecord {
                code: end.code,
                at: end.at_ns,
                reason: reason.to_owned(),
                message: end.message.clone(),
            });
        })
        .await;
    drop(ordered);
    if let Err(error) = changed {
        // It is known in memory, and after a restart the shim tells again.
        tracing::error!(container = container.id, cause = chain(&error), "an exit is not kept");
    }
    if news {
        tracing::info!(container = container.id, code = end.code, "container exited");
        emit(service, container, ContainerEventType::ContainerStoppedEvent);
    }
}

/// Takes in that the kernel killed one of its processes for want of memory.
pub(crate) async fn out_of_memory(service: &Service, container: &Container) {
    tracing::info!(container = container.id, "a process was killed for want of memory");
    if let Err(error) = service.change_container(container, |record| record.oom = true).await {
        tracing::error!(container = container.id, cause = chain(&error), "an OOM is not kept");
    }
}

/// Takes in what a shim reports that was out of sight for a while.
pub(crate) async fn catch_up(
    service: &Service,
    container: &Container,
    report: Option<&ContainerReport>,
) {
    let Some(report) = report else {
        orphaned(service, container).await;
        return;
    };
    let changed = service
        .change_container(container, |record| {
            if record.phase == ContainerPhase::Created
                && let Some(at) = report.started_at_ns
            {
                record.phase = ContainerPhase::Running;
                record.started_at = Some(at);
            }
            if report.exited.is_none() {
                record.pid = report.pid;
            }
        })
        .await;
    if let Err(error) = changed {
        tracing::error!(container = container.id, cause = chain(&error), "a state is not kept");
    }
    if let Some(end) = report.exited {
        exited(service, container, end.into()).await;
    }
}

/// Nobody looks after the container any more: whatever of it runs is killed, and its end is the
/// one that its shim wrote down, if it came to that.
pub(crate) async fn orphaned(service: &Service, container: &Container) {
    if !matches!(container.phase(), ContainerPhase::Created | ContainerPhase::Running) {
        return;
    }
    let path = container.record().cgroup_path;
    let destroyed = service
        .blocking("kill an orphaned container", move |parts| parts.cgroups.destroy(&path))
        .await;
    match destroyed {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(container = container.id, cause = %error, "processes may be left");
        }
        Err(error) => {
            tracing::error!(container = container.id, cause = chain(&error), "not killed");
        }
    }
    let dir = service.config.shim_dir(&container.sandbox_id);
    let end = match service.parts.shims.recorded_exit(&dir, &container.id) {
        Some(recorded) => End::from(recorded),
        None => End {
            code: UNKNOWN_CODE,
            at_ns: service.now(),
            oom_killed: false,
            message: match sandbox_of(service, container) {
                Some(_) => "the pod's shim is gone, and with it how the container ended".to_owned(),
                None => "the pod is gone".to_owned(),
            },
        },
    };
    exited(service, container, end).await;
}

//! Changing a container's limits.

use std::sync::Arc;

use corten_api_cri::v1::LinuxContainerResources;

use super::Container;
use crate::error::{Kind, OperationError, Outcome};
use crate::service::Service;
use crate::spec;
use crate::store::ContainerPhase;

/// Sets the limits that `change` names; those of a container that has ended cannot be.
pub(crate) async fn update(
    service: &Arc<Service>,
    container: &Arc<Container>,
    change: LinuxContainerResources,
) -> Outcome<()> {
    spec::check_resources(&change, "linux")?;
    let _operation = container.operation.lock().await;
    let record = container.record();
    if !matches!(record.phase, ContainerPhase::Created | ContainerPhase::Running) {
        return Err(OperationError::State {
            kind: Kind::Container,
            id: container.id.clone(),
            state: record.phase.as_str(),
            wanted: "only one that lives has limits to change",
        });
    }
    if change.oom_score_adj != 0 && change.oom_score_adj != record.resources.oom_score_adj {
        return Err(OperationError::unsupported(
            "linux.oom_score_adj",
            "it is set when a process is started, and cannot be changed later",
        ));
    }
    let merged = spec::merge_resources(&record.resources, &change);
    let path = record.cgroup_path.clone();
    let wanted = merged.clone();
    let updated = service
        .blocking("change limits", move |parts| parts.cgroups.update(&path, &wanted))
        .await?;
    updated.map_err(|source| OperationError::Cgroup {
        doing: "change the limits of",
        path: record.cgroup_path,
        source,
    })?;
    service.change_container(container, |record| record.resources = merged).await
}

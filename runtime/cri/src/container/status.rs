//! What is told of a container.

use std::collections::BTreeMap;

use corten_api_cri::v1::{
    Container as ListItem, ContainerEventResponse, ContainerEventType, ContainerResources,
    ContainerState, ContainerStatus, ContainerUser, ImageSpec,
};
use serde_json::{Value, json};

use super::{Container, bundle, sandbox_of};
use crate::error::Outcome;
use crate::sandbox::{self, Sandbox};
use crate::service::Service;
use crate::signal;
use crate::store::{ContainerPhase, ContainerRecord};

fn state(record: &ContainerRecord) -> ContainerState {
    match record.phase {
        ContainerPhase::Creating | ContainerPhase::Created => ContainerState::ContainerCreated,
        ContainerPhase::Running => ContainerState::ContainerRunning,
        ContainerPhase::Exited | ContainerPhase::Removing => ContainerState::ContainerExited,
    }
}

fn image(record: &ContainerRecord) -> ImageSpec {
    record.config.image.clone().unwrap_or_default()
}

/// For lists.
pub(crate) fn list_item(record: &ContainerRecord) -> ListItem {
    ListItem {
        id: record.id.clone(),
        pod_sandbox_id: record.sandbox_id.clone(),
        metadata: Some(record.metadata()),
        image: Some(image(record)),
        image_ref: record.image.reference.clone(),
        state: state(record).into(),
        created_at: record.created_at,
        labels: record.config.labels.clone(),
        annotations: record.config.annotations.clone(),
        image_id: record.image.id.clone(),
    }
}

/// In full.
pub(crate) fn status(record: &ContainerRecord) -> ContainerStatus {
    let exit = record.exit.as_ref();
    let shown = ImageSpec { image: record.image.name.clone(), ..image(record) };
    ContainerStatus {
        id: record.id.clone(),
        metadata: Some(record.metadata()),
        state: state(record).into(),
        created_at: record.created_at,
        started_at: record.started_at.unwrap_or_default(),
        finished_at: exit.map(|exit| exit.at).unwrap_or_default(),
        exit_code: exit.map(|exit| exit.code).unwrap_or_default(),
        image: Some(shown),
        image_ref: record.image.reference.clone(),
        reason: exit.map(|exit| exit.reason.clone()).unwrap_or_default(),
        message: exit.map(|exit| exit.message.clone()).unwrap_or_default(),
        labels: record.config.labels.clone(),
        annotations: record.config.annotations.clone(),
        mounts: record.config.mounts.clone(),
        log_path: record.log_path.clone(),
        resources: Some(ContainerResources {
            linux: Some(record.resources.clone()),
            windows: None,
        }),
        image_id: record.image.id.clone(),
        user: Some(ContainerUser { linux: Some(record.user.clone()) }),
        stop_signal: signal::to_cri(record.stop_signal).into(),
    }
}

/// For `crictl inspect`.
pub(crate) async fn info(
    service: &Service,
    record: &ContainerRecord,
) -> Outcome<BTreeMap<String, String>> {
    let dir = service.config.bundle_dir(&record.id);
    let spec = service.blocking("read a bundle", move |_| bundle::read(&dir)).await?;
    let text = json!({
        "sandboxID": record.sandbox_id,
        "pid": record.pid,
        "cgroupPath": record.cgroup_path,
        "bundle": service.config.bundle_dir(&record.id),
        // A container that is being removed has none any more.
        "runtimeSpec": spec.unwrap_or(Value::Null),
    });
    Ok(BTreeMap::from([("info".to_owned(), text.to_string())]))
}

/// Tells subscribers what happened to a container, with the state of its whole pod.
pub(crate) fn emit(service: &Service, container: &Container, kind: ContainerEventType) {
    service.events.emit(|| {
        let sandbox = sandbox_of(service, container);
        event(service, &container.id, kind, sandbox.as_deref())
    });
}

/// Tells that a sandbox is gone: to the interface that is the last container of the pod.
pub(crate) fn emit_removed_sandbox(service: &Service, sandbox: &Sandbox) {
    let kind = ContainerEventType::ContainerDeletedEvent;
    service.events.emit(|| event(service, &sandbox.id, kind, Some(sandbox)));
}

fn event(
    service: &Service,
    id: &str,
    kind: ContainerEventType,
    sandbox: Option<&Sandbox>,
) -> ContainerEventResponse {
    let containers = sandbox.map(|sandbox| service.containers_of(&sandbox.id)).unwrap_or_default();
    ContainerEventResponse {
        container_id: id.to_owned(),
        container_event_type: kind.into(),
        created_at: service.now(),
        pod_sandbox_status: sandbox.map(|sandbox| sandbox::status(&sandbox.record())),
        containers_statuses: containers
            .iter()
            .map(|container| status(&container.record()))
            .collect(),
    }
}

//! From the runtime's answers to [`Observed`].

use std::collections::HashMap;
use std::path::Path;

use corten_api_cri::v1;
use jiff::Timestamp;

use super::labels;
use super::model::{Life, Observed, PodUid, RuntimeContainer, Sandbox};
use super::termination_message;
use crate::cri::{Cri, CriError};

/// Termination messages by container id: read once, when the container is first seen ended.
pub(crate) type Messages = HashMap<String, String>;

/// Asks the runtime for everything it has of one pod.
pub(crate) async fn observe(
    cri: &Cri,
    uid: &PodUid,
    logs: &Path,
    messages: &mut Messages,
) -> Result<Observed, CriError> {
    let selector = [(labels::POD_UID.to_owned(), uid.as_str().to_owned())].into_iter().collect();
    let filter = v1::PodSandboxFilter { label_selector: selector, ..Default::default() };
    let mut observed = Observed::default();
    for item in cri.list_sandboxes(Some(filter)).await? {
        if let Some(status) = cri.sandbox_status(&item.id).await? {
            observed.sandboxes.push(sandbox(&status));
        }
    }
    let selector = [(labels::POD_UID.to_owned(), uid.as_str().to_owned())].into_iter().collect();
    let filter = v1::ContainerFilter { label_selector: selector, ..Default::default() };
    for item in cri.list_containers(Some(filter)).await? {
        // Removed in between: then it is not there.
        if let Some(status) = cri.container_status(&item.id).await? {
            let mut container = container(&status, &item.pod_sandbox_id);
            if container.life == Life::Exited {
                container.message = match messages.get(&container.id) {
                    Some(known) => known.clone(),
                    None => {
                        let message = termination_message::read(&status, logs);
                        messages.insert(container.id.clone(), message.clone());
                        message
                    }
                };
            }
            observed.containers.push(container);
        }
    }
    messages.retain(|id, _| observed.containers.iter().any(|c| c.id == *id));
    observed.sort();
    Ok(observed)
}

fn sandbox(status: &v1::PodSandboxStatus) -> Sandbox {
    let mut ips = Vec::new();
    if let Some(network) = &status.network {
        if !network.ip.is_empty() {
            ips.push(network.ip.clone());
        }
        ips.extend(network.additional_ips.iter().map(|ip| ip.ip.clone()));
    }
    let network = status
        .linux
        .as_ref()
        .and_then(|l| l.namespaces.as_ref())
        .and_then(|n| n.options.as_ref())
        .map(v1::NamespaceOption::network);
    Sandbox {
        id: status.id.clone(),
        attempt: status.metadata.as_ref().map_or(0, |m| m.attempt),
        created_at: time(status.created_at).unwrap_or_default(),
        ready: status.state() == v1::PodSandboxState::SandboxReady,
        ips,
        host_network: network == Some(v1::NamespaceMode::Node),
    }
}

fn container(status: &v1::ContainerStatus, sandbox_id: &str) -> RuntimeContainer {
    let metadata = status.metadata.clone().unwrap_or_default();
    let annotation = |key: &str| status.annotations.get(key).cloned().unwrap_or_default();
    let life = match status.state() {
        v1::ContainerState::ContainerCreated => Life::Created,
        v1::ContainerState::ContainerRunning => Life::Running,
        v1::ContainerState::ContainerExited => Life::Exited,
        v1::ContainerState::ContainerUnknown => Life::Unknown,
    };
    let image = status.image.as_ref();
    let shown = image.map(|i| {
        if i.user_specified_image.is_empty() { &i.image } else { &i.user_specified_image }
    });
    let image_ref = if status.image_ref.is_empty() { &status.image_id } else { &status.image_ref };
    RuntimeContainer {
        id: status.id.clone(),
        sandbox_id: sandbox_id.to_owned(),
        name: metadata.name,
        attempt: annotation(labels::RESTART_COUNT).parse().unwrap_or(metadata.attempt),
        life,
        created_at: time(status.created_at).unwrap_or_default(),
        started_at: time(status.started_at),
        finished_at: time(status.finished_at),
        exit_code: status.exit_code,
        reason: status.reason.clone(),
        message: status.message.clone(),
        image: shown.cloned().unwrap_or_default(),
        image_ref: image_ref.clone(),
        hash: annotation(labels::HASH),
    }
}

/// Nanoseconds since the epoch; zero and less mean "not yet".
fn time(ns: i64) -> Option<Timestamp> {
    if ns <= 0 {
        return None;
    }
    Timestamp::from_nanosecond(i128::from(ns)).ok()
}

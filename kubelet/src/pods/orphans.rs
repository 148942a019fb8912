//! What is left on the node of pods that nobody wants any more: pods that were deleted while the
//! kubelet was away, and what a crash left behind.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::model::PodUid;
use super::{labels, logs};
use crate::cri::CriError;
use crate::error::chain;
use crate::host::Host;
use crate::volumes;

/// Grace for a container whose own is not known any more.
const GRACE_DEFAULT: u64 = 30;

/// Stops and removes everything that belongs to none of the `known` pods.
pub(crate) async fn clean(host: Arc<Host>, known: HashSet<PodUid>) {
    let in_runtime = match runtime_pods(&host).await {
        Ok(pods) => pods,
        Err(error) => {
            tracing::warn!(cause = chain(&error), "cannot look for orphaned pods");
            return;
        }
    };
    let mut orphans: HashSet<PodUid> = in_runtime.keys().cloned().collect();
    orphans.extend(folders(&host));
    orphans.extend(host.cgroups.known_pods());
    orphans.retain(|uid| !known.contains(uid) && !uid.as_str().is_empty());
    let cleaning = orphans.into_iter().map(|uid| {
        let sandboxes = in_runtime.get(&uid).cloned().unwrap_or_default();
        let host = Arc::clone(&host);
        async move {
            if let Err(cause) = clean_one(&host, &uid, &sandboxes).await {
                tracing::warn!(pod = %uid, cause, "orphaned pod not removed yet");
            } else {
                tracing::info!(pod = %uid, "orphaned pod removed");
            }
        }
    });
    futures::future::join_all(cleaning).await;
}

async fn runtime_pods(host: &Host) -> Result<HashMap<PodUid, Vec<String>>, CriError> {
    let mut pods: HashMap<PodUid, Vec<String>> = HashMap::new();
    for sandbox in host.cri.list_sandboxes(None).await? {
        // A sandbox without the label is none of Kubernetes' (made by hand through crictl).
        if let Some(uid) = sandbox.labels.get(labels::POD_UID) {
            pods.entry(PodUid(uid.clone())).or_default().push(sandbox.id);
        }
    }
    Ok(pods)
}

fn folders(host: &Host) -> Vec<PodUid> {
    let Ok(entries) = std::fs::read_dir(host.config.root.join("pods")) else {
        return Vec::new();
    };
    entries.flatten().map(|e| PodUid(e.file_name().to_string_lossy().into_owned())).collect()
}

async fn clean_one(host: &Host, uid: &PodUid, sandboxes: &[String]) -> Result<(), String> {
    let text = |error: CriError| chain(&error);
    for sandbox in sandboxes {
        let filter = corten_api_cri::v1::ContainerFilter {
            pod_sandbox_id: sandbox.clone(),
            ..Default::default()
        };
        let containers = host.cri.list_containers(Some(filter)).await.map_err(text)?;
        let stops = containers.iter().map(|container| {
            let grace = container.annotations.get(labels::POD_GRACE);
            let grace = grace.and_then(|g| g.parse().ok()).unwrap_or(GRACE_DEFAULT);
            host.cri.stop_container(&container.id, Duration::from_secs(grace))
        });
        futures::future::try_join_all(stops).await.map_err(text)?;
        host.cri.stop_sandbox(sandbox).await.map_err(text)?;
        host.cri.remove_sandbox(sandbox).await.map_err(text)?;
    }
    logs::remove(&host.config.pod_logs_dir, uid).await;
    volumes::tear_down(host.pod_folder(uid)).await.map_err(|error| error.message())?;
    let (cgroups, gone) = (host.cgroups.clone(), uid.clone());
    match tokio::task::spawn_blocking(move || cgroups.remove_pod(&gone)).await {
        Ok(result) => result.map_err(|error| chain(&error)),
        Err(error) => Err(error.to_string()),
    }
}

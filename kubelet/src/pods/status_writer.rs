//! Writes a pod's status to the API server: the newest one, as often as it changes, and again
//! until it has arrived.

use std::time::Duration;

use corten_task::Tasks;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::model::{self, PodUid};

const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// A status and its number.
type Numbered = (u64, Option<PodStatus>);

/// How far the API server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Written {
    number: u64,
    /// The object is gone or another one now.
    gone: bool,
    /// The version of the object that the last write made.
    version: u64,
}

/// The status of one pod on its way to the API server.
#[derive(Debug)]
pub(crate) struct StatusWriter {
    wanted: watch::Sender<Numbered>,
    written: watch::Receiver<Written>,
}

impl StatusWriter {
    /// Starts with what the API server has.
    pub(crate) fn new(client: kube::Client, pod: &Pod, tasks: &Tasks) -> Self {
        let (wanted, receiver) = watch::channel((0, None));
        let (tell, written) = watch::channel(Written::default());
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let writer = Writer {
            api: Api::namespaced(client, &namespace),
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: model::uid(pod),
        };
        tasks.spawn("pod status", writer.run(receiver, tell));
        Self { wanted, written }
    }

    /// Wants this status to be written.
    pub(crate) fn put(&self, status: &PodStatus) {
        self.wanted.send_modify(|(number, wanted)| {
            *number += 1;
            *wanted = Some(status.clone());
        });
    }

    /// Whether what the watch shows at `version` is newer than the last write.
    pub(crate) fn is_news(&self, version: Option<&str>) -> bool {
        let written = *self.written.borrow();
        written.number == self.wanted.borrow().0
            && version.and_then(|v| v.parse::<u64>().ok()).is_some_and(|v| v > written.version)
    }

    /// Waits until the newest status has arrived or cannot any more.
    pub(crate) async fn flush(&mut self, limit: Duration) {
        let number = self.wanted.borrow().0;
        let arrived = self.written.wait_for(|written| written.gone || written.number >= number);
        if tokio::time::timeout(limit, arrived).await.is_err() {
            tracing::warn!(?limit, "the last status of a pod did not reach the API server in time");
        }
    }
}

struct Writer {
    api: Api<Pod>,
    name: String,
    uid: PodUid,
}

impl Writer {
    async fn run(self, mut wanted: watch::Receiver<Numbered>, tell: watch::Sender<Written>) {
        let mut pause = RETRY_MIN;
        while wanted.changed().await.is_ok() {
            loop {
                let (number, status) = wanted.borrow_and_update().clone();
                let Some(status) = status else { break };
                match self.write(&status).await {
                    Ok(version) => {
                        pause = RETRY_MIN;
                        tell.send_replace(Written { number, gone: false, version });
                        break;
                    }
                    Err(kube::Error::Api(answer)) if is_final(answer.code) => {
                        tracing::debug!(
                            pod = self.name,
                            code = answer.code,
                            message = answer.message,
                            "status not taken"
                        );
                        tell.send_modify(|written| {
                            written.number = number;
                            written.gone = matches!(answer.code, 404 | 409);
                        });
                        break;
                    }
                    Err(error) => {
                        tracing::warn!(pod = self.name, cause = %error, "status not written yet");
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(RETRY_MAX);
                    }
                }
            }
        }
    }

    async fn write(&self, status: &PodStatus) -> Result<u64, kube::Error> {
        let patch = patch(&self.uid, status);
        let params = PatchParams::default();
        let pod = self.api.patch_status(&self.name, &params, &Patch::Strategic(patch)).await?;
        Ok(pod.metadata.resource_version.and_then(|v| v.parse().ok()).unwrap_or(0))
    }
}

/// Answers that another try would not change: it is gone, another object now, or invalid.
fn is_final(code: u16) -> bool {
    matches!(code, 404 | 409 | 410 | 422)
}

/// The strategic merge patch. The uid is a precondition; conditions merge by type, so that those
/// of others stay; addresses would merge too and are replaced whole.
fn patch(uid: &PodUid, status: &PodStatus) -> Value {
    let mut fields = serde_json::to_value(status).unwrap_or_default();
    if let Some(fields) = fields.as_object_mut() {
        for optional in ["reason", "message", "podIP"] {
            fields.entry(optional).or_insert(Value::Null);
        }
        for list in ["podIPs", "hostIPs"] {
            let items = fields.entry(list).or_insert_with(|| json!([]));
            if let Some(items) = items.as_array_mut() {
                items.insert(0, json!({"$patch": "replace"}));
            }
        }
    }
    json!({"metadata": {"uid": uid.as_str()}, "status": fields})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_is_cleared() {
        let status = PodStatus {
            phase: Some("Pending".to_owned()),
            host_ips: Some(vec![k8s_openapi::api::core::v1::HostIP { ip: "192.0.2.1".to_owned() }]),
            ..PodStatus::default()
        };
        let expected = json!({
            "metadata": {"uid": "u"},
            "status": {
                "hostIPs": [{"$patch": "replace"}, {"ip": "192.0.2.1"}],
                "phase": "Pending", "reason": null, "message": null, "podIP": null,
                "podIPs": [{"$patch": "replace"}],
            }
        });
        assert_eq!(patch(&PodUid("u".to_owned()), &status), expected);
    }
}

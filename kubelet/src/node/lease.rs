//! The node's Lease: the sign of life that costs the API server least.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::error::chain;
use crate::host::Host;

const NAMESPACE: &str = "kube-node-lease";
/// After this long without renewal the node counts as lost.
const DURATION_SECONDS: i32 = 40;
const RENEWAL: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(1);

/// Renews the Lease until cancelled.
#[expect(clippy::infinite_loop, reason = "it is dropped when its tasks are cancelled")]
pub(super) async fn keep(host: Arc<Host>, node_uid: Option<String>) {
    let api = Api::<Lease>::namespaced(host.client.clone(), NAMESPACE);
    let name = &host.config.node_name;
    loop {
        let pause = match renew(&api, name, node_uid.as_deref()).await {
            Ok(()) => RENEWAL,
            Err(error) => {
                tracing::warn!(lease = name, cause = chain(&error), "lease not renewed");
                RETRY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn renew(api: &Api<Lease>, name: &str, node_uid: Option<&str>) -> Result<(), kube::Error> {
    let now = MicroTime(Timestamp::now());
    let patch = json!({"spec": {
        "holderIdentity": name,
        "leaseDurationSeconds": DURATION_SECONDS,
        "renewTime": now,
    }});
    match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Err(kube::Error::Api(answer)) if answer.code == 404 => {}
        other => return other.map(drop),
    }
    let mut lease = Lease::default();
    lease.metadata.name = Some(name.to_owned());
    lease.metadata.owner_references = node_uid.map(|uid| {
        vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            ..OwnerReference::default()
        }]
    });
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(name.to_owned()),
        lease_duration_seconds: Some(DURATION_SECONDS),
        renew_time: Some(now),
        ..LeaseSpec::default()
    });
    api.create(&PostParams::default(), &lease).await.map(drop)
}

//! The Node: registered once, its status told when it changes, its Lease renewed.

mod lease;
mod machine;
mod status;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeStatus};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

pub(crate) use machine::Machine;

use self::status::Sight;
use crate::error::chain;
use crate::host::Host;

/// Between two looks at the node while it is ready, and while it is not yet.
const LOOK: Duration = Duration::from_secs(10);
const LOOK_UNREADY: Duration = Duration::from_millis(500);
/// An unchanged status is told again after this long (`nodeStatusReportFrequency`).
const REPORT: Duration = Duration::from_secs(300);
const RETRY: Duration = Duration::from_secs(1);

/// Keeps the Node and its Lease until cancelled.
#[expect(clippy::infinite_loop, reason = "it is dropped when its tasks are cancelled")]
pub(crate) async fn run(host: Arc<Host>, machine: Machine) {
    let api = Api::<Node>::all(host.client.clone());
    let first = look(&host, &machine, None).await;
    let registered = loop {
        match register(&api, &host, &machine, &first).await {
            Ok(node) => break node,
            Err(error) => {
                tracing::warn!(
                    node = host.config.node_name,
                    cause = chain(&error),
                    "node not registered yet"
                );
                tokio::time::sleep(RETRY).await;
            }
        }
    };
    tracing::info!(node = host.config.node_name, "node registered");
    host.tasks.spawn("node lease", lease::keep(Arc::clone(&host), registered.metadata.uid.clone()));
    let mut told = registered.status.unwrap_or_default();
    let mut told_at: Option<tokio::time::Instant> = None;
    loop {
        let mut status = look(&host, &machine, Some(&told)).await;
        let due = told_at.is_none_or(|at| at.elapsed() >= REPORT);
        if due || !status::same(&status, &told) {
            status::beat(&mut status, Timestamp::now());
            match tell(&api, &host.config.node_name, &status).await {
                Ok(()) => {
                    told = status.clone();
                    told_at = Some(tokio::time::Instant::now());
                }
                Err(kube::Error::Api(answer)) if answer.code == 404 => {
                    // Somebody deleted the Node: as long as this kubelet lives, it is one.
                    if let Err(error) = register(&api, &host, &machine, &status).await {
                        tracing::warn!(cause = chain(&error), "node not registered again yet");
                    }
                }
                Err(error) => tracing::warn!(cause = chain(&error), "node status not told"),
            }
        }
        let pause = if status::is_ready(&status) { LOOK } else { LOOK_UNREADY };
        tokio::time::sleep(pause).await;
    }
}

async fn look(host: &Host, machine: &Machine, told: Option<&NodeStatus>) -> NodeStatus {
    let conditions = host.cri.status().await.map_err(|error| chain(&error));
    let images = host.cri.images().await.unwrap_or_default();
    let sight = Sight {
        runtime: conditions,
        images,
        pressure: machine.pressure(&host.config.root),
        now: Timestamp::now(),
    };
    status::status(&host.config, machine, host.allocatable, &sight, told)
}

/// Creates the Node, or brings an existing one's labels up to date, and tells its status.
async fn register(
    api: &Api<Node>,
    host: &Host,
    machine: &Machine,
    first: &NodeStatus,
) -> Result<Node, kube::Error> {
    let name = &host.config.node_name;
    let labels = status::labels(&host.config, machine);
    if api.get_opt(name).await?.is_none() {
        let mut node = Node::default();
        node.metadata.name = Some(name.clone());
        node.metadata.labels = Some(labels.clone());
        node.status = Some(first.clone());
        match api.create(&PostParams::default(), &node).await {
            Ok(_) => {}
            // Another of its incarnations was faster.
            Err(kube::Error::Api(answer)) if answer.code == 409 => {}
            Err(error) => return Err(error),
        }
    }
    let patch = json!({"metadata": {"labels": labels}});
    let node = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    tell(api, name, first).await?;
    Ok(node)
}

/// The conditions of others stay, since they merge by type; everything else is replaced.
async fn tell(api: &Api<Node>, name: &str, status: &NodeStatus) -> Result<(), kube::Error> {
    let mut fields = serde_json::to_value(status).unwrap_or_default();
    if let Some(addresses) = fields.get_mut("addresses").and_then(Value::as_array_mut) {
        addresses.insert(0, json!({"$patch": "replace"}));
    }
    let patch = Patch::Strategic(json!({"status": fields}));
    api.patch_status(name, &PatchParams::default(), &patch).await.map(drop)
}

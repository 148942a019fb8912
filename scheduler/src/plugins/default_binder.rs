//! Writes the decision to `pods/binding`.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;

use crate::framework::{Bind, BindError, ClusterEvent, Plugin};
use crate::pod::{full_name, node_name};

/// How long the API server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Posts a `Binding`.
#[derive(Clone, Copy, Debug)]
pub(super) struct DefaultBinder;

impl Plugin for DefaultBinder {
    fn name(&self) -> &'static str {
        "DefaultBinder"
    }

    fn wakers(&self) -> &'static [ClusterEvent] {
        &[]
    }
}

impl Bind for DefaultBinder {
    fn bind<'a>(
        &'a self,
        client: &'a kube::Client,
        pod: &'a Pod,
        node: &'a str,
    ) -> BoxFuture<'a, Result<(), BindError>> {
        post(client, pod, node).boxed()
    }
}

async fn post(client: &kube::Client, pod: &Pod, node: &str) -> Result<(), BindError> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let binding = Binding {
        metadata: ObjectMeta {
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            // The server refuses to bind another pod of the same name.
            uid: pod.metadata.uid.clone(),
            ..ObjectMeta::default()
        },
        target: ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            ..ObjectReference::default()
        },
    };
    let failed = |source| BindError::Failed {
        pod: full_name(pod),
        node: node.to_owned(),
        source: Box::new(source),
    };
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let params = PostParams::default();
    let request =
        api.create_subresource::<_, serde_json::Value>("binding", name, &params, &binding);
    match tokio::time::timeout(TIMEOUT, request).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
            Err(BindError::Overtaken { pod: full_name(pod) })
        }
        Ok(Err(error @ kube::Error::Api(_))) => Err(failed(error)),
        // The answer was lost, the binding maybe not: look before the place is given away.
        Ok(Err(error)) => confirm(&api, name, node).await.ok_or_else(|| failed(error)),
        Err(_elapsed) => confirm(&api, name, node)
            .await
            .ok_or_else(|| BindError::Timeout { pod: full_name(pod), node: node.to_owned() }),
    }
}

async fn confirm(api: &Api<Pod>, name: &str, node: &str) -> Option<()> {
    let pod = tokio::time::timeout(TIMEOUT, api.get(name)).await.ok()?.ok()?;
    (node_name(&pod) == Some(node)).then_some(())
}

//! Objects that tests make, and questions that they ask about them.

use anyhow::{Context as _, Result};
use corten_tests_e2e::Cluster;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

/// The demo server as a Deployment, probed each second.
pub(crate) fn web(replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "terminationGracePeriodSeconds": 5, "containers": [{
                    "name": "web",
                    "image": "corten.local/web:1",
                    "ports": [{ "name": "http", "containerPort": 8080 }],
                    "resources": { "requests": { "cpu": "10m", "memory": "8Mi" } },
                    "readinessProbe": {
                        "httpGet": { "path": "/healthz", "port": "http" },
                        "periodSeconds": 1,
                        "failureThreshold": 1,
                    },
                }] },
            },
        },
    })
}

/// A Service in front of it.
pub(crate) fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "web" },
        "spec": {
            "type": "NodePort",
            "selector": { "app": "web" },
            "ports": [{ "port": 80, "targetPort": "http", "nodePort": 30081 }],
        },
    })
}

/// A pod that runs the demo program once with these arguments.
pub(crate) fn once(name: &str, arguments: &[&str], limits: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": { "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [{
            "name": "main",
            "image": "corten.local/web:1",
            "args": arguments,
            "resources": { "limits": limits },
        }] },
    })
}

/// Creates an object in the namespace `default`.
pub(crate) async fn create<K>(client: &Client, object: &Value) -> Result<K>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + serde::Serialize,
{
    let object = serde_json::from_value(object.clone())?;
    let api = Api::<K>::namespaced(client.clone(), "default");
    api.create(&PostParams::default(), &object).await.context("create")
}

/// The pods of the demo Deployment that are Ready.
pub(crate) async fn ready_pods(client: &Client) -> Result<Vec<Pod>> {
    let api = Api::<Pod>::namespaced(client.clone(), "default");
    let pods = api.list(&ListParams::default().labels("app=web")).await?;
    let ready = pods.items.into_iter().filter(|pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        pod.metadata.deletion_timestamp.is_none()
            && conditions
                .into_iter()
                .flatten()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    });
    Ok(ready.collect())
}

/// A pod, with its first container's status.
pub(crate) async fn pod(client: &Client, name: &str) -> Result<(Pod, ContainerStatus)> {
    let pod = Api::<Pod>::namespaced(client.clone(), "default").get(name).await?;
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.clone());
    let status = statuses.into_iter().flatten().next().context("the pod has no status yet")?;
    Ok((pod, status))
}

/// Creates the demo Deployment and waits until all its pods are Ready.
pub(crate) fn deploy(cluster: &Cluster, replicas: u32) -> Result<()> {
    cluster.with_client(async |client| create::<Deployment>(&client, &web(replicas)).await)?;
    cluster.eventually("all pods Ready", 60, || {
        let ready = cluster.with_client(async |client| ready_pods(&client).await)?;
        Ok((ready.len() == replicas as usize).then_some(()))
    })
}

/// Deletes a pod at once.
pub(crate) async fn delete_pod(client: &Client, pod: &Pod) -> Result<()> {
    let api = Api::<Pod>::namespaced(client.clone(), "default");
    api.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await?;
    Ok(())
}

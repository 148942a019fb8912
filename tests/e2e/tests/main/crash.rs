//! `kill -9` in the middle loses nothing.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use corten_tests_e2e::{get, with_cluster};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::manifests::{create, delete_pod, deploy, ready_pods, service};
use crate::needs_cluster;

const PODS: u32 = 20;
const WRITES: usize = 1000;

fn identity(pod: &Pod) -> (Option<String>, i32) {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.clone());
    (pod.uid(), statuses.into_iter().flatten().map(|status| status.restart_count).sum())
}

#[test]
fn pods_serve_on_while_corten_is_killed_and_are_managed_again_after() {
    needs_cluster!();
    with_cluster(|cluster| {
        deploy(cluster, PODS)?;
        let made =
            cluster.with_client(async |client| create::<Service>(&client, &service()).await)?;
        let cluster_ip = made.spec.and_then(|spec| spec.cluster_ip).context("an address")?;
        let front = SocketAddr::from((cluster_ip.parse::<IpAddr>()?, 80));
        cluster.eventually("the Service answers", 20, || Ok(get("GET", front, "/").ok()))?;
        let pods = || cluster_pods(cluster);
        let before = pods()?;
        cluster.kill_server()?;
        for _ in 0..100 {
            let (status, _) = get("GET", front, "/").context("while corten is dead")?;
            ensure!(status == 200, "status {status}");
        }
        cluster.start_server()?;
        let after = cluster.eventually("all pods are Ready", 60, || {
            let pods = cluster_pods(cluster)?;
            Ok((pods.len() == PODS as usize).then_some(pods))
        })?;
        ensure!(before == after, "pods were replaced or restarted: {before:?} {after:?}");
        // Managed: what is deleted now is replaced.
        cluster.with_client(async |client| {
            let pod = ready_pods(&client).await?.into_iter().next().context("a pod")?;
            delete_pod(&client, &pod).await
        })?;
        cluster.eventually("a deleted pod is replaced", 60, || {
            let now = cluster_pods(cluster)?;
            Ok((now.len() == PODS as usize && now != after).then_some(()))
        })
    });
}

fn cluster_pods(cluster: &corten_tests_e2e::Cluster) -> Result<Vec<(Option<String>, i32)>> {
    let pods = cluster.with_client(async |client| ready_pods(&client).await)?;
    let mut all: Vec<_> = pods.iter().map(identity).collect();
    all.sort();
    Ok(all)
}

#[test]
fn no_acknowledged_object_is_lost_when_corten_is_killed_among_a_thousand_creates() {
    needs_cluster!();
    with_cluster(|cluster| {
        let pid = rustix::process::Pid::from_raw(i32::try_from(cluster.server_pid()?)?);
        let pid = pid.context("a pid")?;
        let acknowledged = cluster.with_client(async |client| {
            let api = Api::<ConfigMap>::namespaced(client, "default");
            let creates = (0..WRITES).map(|n| {
                let api = api.clone();
                async move {
                    let object = json!({ "metadata": { "name": format!("map-{n}") } });
                    let object: ConfigMap = serde_json::from_value(object).unwrap();
                    let made = api.create(&PostParams::default(), &object).await;
                    if n == WRITES / 2 {
                        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
                    }
                    made.map(|map| map.name_any()).ok()
                }
            });
            let mut all = tokio::task::JoinSet::new();
            for create in creates {
                all.spawn(create);
            }
            Ok(all.join_all().await.into_iter().flatten().collect::<Vec<_>>())
        })?;
        ensure!(!acknowledged.is_empty(), "nothing was acknowledged before the end");
        // It is dead; this only collects it.
        cluster.kill_server().unwrap_or_default();
        cluster.start_server()?;
        let there = cluster.with_client(async |client| {
            let api = Api::<ConfigMap>::namespaced(client, "default");
            let all = api.list(&ListParams::default()).await?;
            Ok(all.iter().map(kube::ResourceExt::name_any).collect::<Vec<_>>())
        })?;
        for name in acknowledged {
            ensure!(there.contains(&name), "{name} was acknowledged and is gone");
        }
        Ok(())
    });
}

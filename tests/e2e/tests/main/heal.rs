//! What breaks is mended.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use corten_tests_e2e::{Cluster, get, with_cluster};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};

use crate::manifests::{create, delete_pod, deploy, ready_pods, service};
use crate::needs_cluster;

fn only_pod(cluster: &Cluster) -> Result<Pod> {
    cluster.with_client(async |client| {
        ready_pods(&client).await?.into_iter().next().context("no pod is Ready")
    })
}

fn address(pod: &Pod) -> Result<SocketAddr> {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref());
    let ip: IpAddr = ip.context("the pod has no address")?.parse()?;
    Ok(SocketAddr::from((ip, 8080)))
}

#[test]
fn a_container_that_ends_is_restarted_and_counted() {
    needs_cluster!();
    with_cluster(|cluster| {
        deploy(cluster, 1)?;
        let before = only_pod(cluster)?;
        // It ends without an answer.
        get("POST", address(&before)?, "/exit?code=3").unwrap_err();
        let status = cluster.eventually("the restart is counted", 30, || {
            let pod = cluster.with_client(async |client| {
                let api = Api::<Pod>::namespaced(client, "default");
                Ok(api.get(&before.name_any()).await?)
            })?;
            let status = pod.status.and_then(|status| status.container_statuses);
            let status = status.into_iter().flatten().next().context("no status")?;
            Ok((status.restart_count == 1 && status.ready).then_some(status))
        })?;
        let last = status.last_state.and_then(|state| state.terminated);
        let last = last.context("the last state is told")?;
        ensure!(last.exit_code == 3, "exit code {}", last.exit_code);
        ensure!(last.reason.as_deref() == Some("Error"), "reason {:?}", last.reason);
        Ok(())
    });
}

#[test]
fn a_pod_that_is_deleted_is_replaced() {
    needs_cluster!();
    with_cluster(|cluster| {
        deploy(cluster, 1)?;
        let before = only_pod(cluster)?;
        cluster.with_client(async |client| delete_pod(&client, &before).await)?;
        cluster.eventually("another pod is Ready", 30, || {
            Ok((only_pod(cluster)?.uid() != before.uid()).then_some(()))
        })
    });
}

#[test]
fn a_pod_that_is_not_ready_leaves_the_service() {
    needs_cluster!();
    with_cluster(|cluster| {
        deploy(cluster, 2)?;
        let service =
            cluster.with_client(async |client| create::<Service>(&client, &service()).await)?;
        let cluster_ip = service.spec.and_then(|spec| spec.cluster_ip).context("an address")?;
        let front = SocketAddr::from((cluster_ip.parse::<IpAddr>()?, 80));
        cluster.eventually("the Service answers", 20, || Ok(get("GET", front, "/").ok()))?;
        let pod = only_pod(cluster)?;
        get("POST", address(&pod)?, "/unready")?;
        let failed = Instant::now();
        let hello = format!("Hello from {},", pod.name_any());
        cluster.eventually("its endpoint is not ready", 10, || {
            let slices = cluster.with_client(async |client| {
                let api = Api::<EndpointSlice>::namespaced(client, "default");
                let web = ListParams::default().labels("kubernetes.io/service-name=web");
                Ok(api.list(&web).await?)
            })?;
            let ready = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten()).filter(
                |endpoint| endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(false),
            );
            Ok((ready.count() == 1).then_some(()))
        })?;
        // The rules follow the endpoints; the probe itself may take its period of one second.
        cluster.eventually("no request reaches it", 5, || {
            let all = (0..20).map(|_| get("GET", front, "/")).collect::<Result<Vec<_>>>()?;
            Ok(all.iter().all(|(_, body)| !body.starts_with(&hello)).then_some(()))
        })?;
        let took = failed.elapsed();
        ensure!(took < Duration::from_secs(60), "it took {took:?}");
        Ok(())
    });
}

//! The demo, as `cargo xtask up` runs it.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use corten_tests_e2e::{get, with_cluster};
use k8s_openapi::api::core::v1::{Endpoints, Service};
use kube::Api;

use crate::manifests::{create, deploy, service};
use crate::needs_cluster;

fn answers(address: SocketAddr, attempts: usize) -> Result<HashSet<String>> {
    (0..attempts)
        .map(|_| {
            let (status, body) = get("GET", address, "/")?;
            ensure!(status == 200, "status {status}");
            Ok(body)
        })
        .collect()
}

#[test]
fn the_page_is_served_through_cluster_ip_and_node_port_by_all_pods() {
    needs_cluster!();
    with_cluster(|cluster| {
        deploy(cluster, 3)?;
        let made =
            cluster.with_client(async |client| create::<Service>(&client, &service()).await)?;
        let address = made.spec.and_then(|spec| spec.cluster_ip).context("it has an address")?;
        let cluster_ip: IpAddr = address.parse()?;
        for address in
            [SocketAddr::from((cluster_ip, 80)), SocketAddr::from((cluster.node_ip(), 30081))]
        {
            let pods = cluster.eventually(&format!("{address} answers"), 20, || {
                let pods = answers(address, 40)?;
                Ok((pods.len() == 3).then_some(pods))
            })?;
            for answer in pods {
                ensure!(answer.starts_with("Hello from web-"), "{answer}");
            }
        }
        let endpoints = cluster.with_client(async |client| {
            Ok(Api::<Endpoints>::namespaced(client, "default").get("web").await?)
        })?;
        let subsets = endpoints.subsets.unwrap_or_default();
        ensure!(subsets.iter().flat_map(|s| s.addresses.iter().flatten()).count() == 3);
        // Tokens and layers with set-uid files are below.
        for folder in ["/var/lib/corten", "/run/corten"] {
            let mode = std::fs::metadata(folder)?.permissions().mode() & 0o7777;
            ensure!(mode == 0o700, "{folder}: mode {mode:o}");
        }
        Ok(())
    });
}

#[test]
fn a_second_start_finds_the_cluster_as_it_was() {
    needs_cluster!();
    with_cluster(|cluster| {
        deploy(cluster, 1)?;
        let before = cluster.with_client(async |client| {
            Ok(crate::manifests::ready_pods(&client).await?.remove(0))
        })?;
        cluster.stop_server()?;
        cluster.start_server()?;
        let after = cluster.eventually("the pod is Ready", 30, || {
            let pods =
                cluster.with_client(async |client| crate::manifests::ready_pods(&client).await)?;
            Ok(pods.into_iter().next())
        })?;
        ensure!(before.metadata.uid == after.metadata.uid, "the pod was replaced");
        let restarts = |pod: &k8s_openapi::api::core::v1::Pod| {
            let statuses = pod.status.clone().and_then(|status| status.container_statuses);
            statuses.into_iter().flatten().map(|status| status.restart_count).sum::<i32>()
        };
        ensure!(restarts(&after) == 0, "the pod was restarted");
        Ok(())
    });
}

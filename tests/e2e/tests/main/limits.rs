//! Limits hold, and neighbours do not notice.

use anyhow::{Context as _, Result, ensure};
use corten_tests_e2e::{Cluster, POD_PIDS_MAX, with_cluster};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::Api;
use kube::api::LogParams;
use serde_json::{Value, json};

use crate::manifests::{create, deploy, once, pod, ready_pods};
use crate::needs_cluster;

/// Runs a pod to its end.
fn run(
    cluster: &Cluster,
    name: &str,
    args: &[&str],
    limits: &Value,
) -> Result<ContainerStateTerminated> {
    cluster.with_client(async |client| create::<Pod>(&client, &once(name, args, limits)).await)?;
    cluster.eventually(&format!("{name} has ended"), 60, || {
        let (_, status) = cluster.with_client(async |client| pod(&client, name).await)?;
        Ok(status.state.and_then(|state| state.terminated))
    })
}

fn logs(cluster: &Cluster, name: &str) -> Result<String> {
    cluster.with_client(async |client| {
        Ok(Api::<Pod>::namespaced(client, "default").logs(name, &LogParams::default()).await?)
    })
}

fn neighbours_are_unharmed(cluster: &Cluster) -> Result<()> {
    let ready = cluster.with_client(async |client| ready_pods(&client).await)?;
    ensure!(ready.len() == 1, "the neighbour is not Ready");
    for pod in ready {
        let statuses = pod.status.and_then(|status| status.container_statuses);
        for status in statuses.into_iter().flatten() {
            ensure!(status.restart_count == 0, "the neighbour was restarted");
        }
    }
    Ok(())
}

#[test]
fn a_pod_that_eats_past_its_memory_limit_is_oom_killed() {
    needs_cluster!();
    with_cluster(|cluster| {
        deploy(cluster, 1)?;
        let ended = run(cluster, "eater", &["eat", "256"], &json!({ "memory": "32Mi" }))?;
        ensure!(ended.exit_code == 137, "{ended:?}; its log: {:?}", logs(cluster, "eater"));
        ensure!(ended.reason.as_deref() == Some("OOMKilled"), "reason {:?}", ended.reason);
        neighbours_are_unharmed(cluster)
    });
}

#[test]
fn a_fork_bomb_stops_at_the_limit_of_processes() {
    needs_cluster!();
    with_cluster(|cluster| {
        deploy(cluster, 1)?;
        let wanted = POD_PIDS_MAX + 100;
        run(cluster, "bomb", &["fork", &wanted.to_string()], &json!({ "memory": "1Gi" }))?;
        let text = logs(cluster, "bomb")?;
        let number = |from_end: usize| {
            let word = text.trim().rsplit(' ').nth(from_end).map(str::parse::<u32>);
            word.and_then(Result::ok).with_context(|| text.clone())
        };
        // "started 127 processes, 101 were refused"
        let (refused, started) = (number(2)?, number(4)?);
        ensure!(refused > 0 && started < POD_PIDS_MAX, "the limit did not hold: {text}");
        neighbours_are_unharmed(cluster)
    });
}

#[test]
fn a_cpu_limit_throttles() {
    needs_cluster!();
    with_cluster(|cluster| {
        deploy(cluster, 1)?;
        let turns = |name: &str, cpu: &str| -> Result<u64> {
            let limits = json!({ "cpu": cpu, "memory": "32Mi" });
            let ended = run(cluster, name, &["spin", "4"], &limits)?;
            ensure!(ended.exit_code == 0, "{ended:?}");
            let text = logs(cluster, name)?;
            let turns = text.split(' ').nth(1).and_then(|word| word.parse().ok());
            turns.with_context(|| format!("turns in {text:?}, {ended:?}"))
        };
        let (slow, fast) = (turns("slow", "100m")?, turns("fast", "800m")?);
        // A wide margin: other tests use the same processors.
        ensure!(fast > slow * 2, "{slow} turns at 100m, {fast} at 800m");
        neighbours_are_unharmed(cluster)
    });
}

//! A pod runs under the seccomp profile that it asks for.

use anyhow::{Result, ensure};
use corten_tests_e2e::{Cluster, with_cluster};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use serde_json::{Value, json};

use crate::manifests::{create, once, pod};
use crate::needs_cluster;

/// The line `Seccomp:` of the status of a container's program (proc(5)): 0 is none, 2 a filter.
fn mode(cluster: &Cluster, name: &str, profile: &Value) -> Result<String> {
    let mut manifest = once(name, &["show", "/proc/self/status"], &json!({ "memory": "32Mi" }));
    manifest["spec"]["securityContext"] = json!({ "seccompProfile": profile });
    cluster.with_client(async |client| create::<Pod>(&client, &manifest).await)?;
    let ended = cluster.eventually(&format!("{name} has ended"), 60, || {
        let (_, status) = cluster.with_client(async |client| pod(&client, name).await)?;
        Ok(status.state.and_then(|state| state.terminated))
    })?;
    ensure!(ended.exit_code == 0, "{ended:?}");
    let log = cluster.with_client(async |client| {
        Ok(Api::<Pod>::namespaced(client, "default").logs(name, &LogParams::default()).await?)
    })?;
    let line = log.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    Ok(line.unwrap_or_default().trim().to_owned())
}

#[test]
fn a_pod_runs_under_the_profile_that_it_asks_for() {
    needs_cluster!();
    with_cluster(|cluster| {
        ensure!(mode(cluster, "unconfined", &json!({ "type": "Unconfined" }))? == "0");
        ensure!(mode(cluster, "default", &json!({ "type": "RuntimeDefault" }))? == "2");

        let profiles = std::path::Path::new("/var/lib/corten/kubelet/seccomp");
        std::fs::create_dir_all(profiles)?;
        std::fs::write(
            profiles.join("own.json"),
            r#"{"defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}"#,
        )?;
        let own = json!({ "type": "Localhost", "localhostProfile": "own.json" });
        ensure!(mode(cluster, "own", &own)? == "2");

        // A profile that is not there keeps the container from running, and is named.
        let absent = json!({ "type": "Localhost", "localhostProfile": "absent.json" });
        let mut manifest = once("absent", &["exit", "0"], &json!({ "memory": "32Mi" }));
        manifest["spec"]["securityContext"] = json!({ "seccompProfile": absent });
        cluster.with_client(async |client| create::<Pod>(&client, &manifest).await)?;
        cluster.eventually("the profile is named", 30, || {
            let (_, status) = cluster.with_client(async |client| pod(&client, "absent").await)?;
            let waiting = status.state.and_then(|state| state.waiting);
            let message = waiting.and_then(|waiting| waiting.message).unwrap_or_default();
            Ok(message.contains("absent.json").then_some(()))
        })
    });
}

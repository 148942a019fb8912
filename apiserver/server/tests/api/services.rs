//! Cluster addresses and node ports.

use std::collections::HashSet;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::cluster::Cluster;

const SERVICES: &str = "/api/v1/namespaces/default/services";

fn service(name: &str, spec: &Value) -> Value {
    let mut spec = spec.clone();
    if spec["ports"].is_null() {
        spec["ports"] = json!([{ "port": 80 }]);
    }
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": spec })
}

#[tokio::test]
async fn the_cluster_has_its_own_service() {
    let cluster = Cluster::start().await;
    let own = cluster.get(&format!("{SERVICES}/kubernetes")).await.ok();
    assert_eq!(own["spec"]["clusterIP"], "10.43.0.1");
    let endpoints = cluster.get("/api/v1/namespaces/default/endpoints/kubernetes").await.ok();
    assert_eq!(endpoints["subsets"][0]["addresses"][0]["ip"], "192.0.2.7");
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    let slice = cluster.get(slices).await.ok();
    assert_eq!(slice["ports"][0]["port"], cluster.handle.address().port());
}

#[tokio::test]
async fn no_two_services_get_the_same() {
    let cluster = Cluster::start().await;
    let made = (0..30).map(|n| {
        let cluster = &cluster;
        async move {
            let spec = json!({ "type": "NodePort" });
            cluster.post(SERVICES, &service(&format!("s{n}"), &spec)).await.ok()
        }
    });
    let made = join_all(made).await;
    let addresses: HashSet<String> =
        made.iter().map(|s| s["spec"]["clusterIP"].as_str().unwrap().to_owned()).collect();
    let ports: HashSet<u64> =
        made.iter().map(|s| s["spec"]["ports"][0]["nodePort"].as_u64().unwrap()).collect();
    assert_eq!((addresses.len(), ports.len()), (30, 30));
    assert!(ports.iter().all(|port| (30_000..=32_767).contains(port)));
}

#[tokio::test]
async fn what_is_taken_or_outside_is_refused() {
    let cluster = Cluster::start().await;
    let spec = json!({
        "type": "NodePort",
        "clusterIP": "10.43.0.9",
        "ports": [{ "port": 80, "nodePort": 30080 }],
    });
    cluster.post(SERVICES, &service("first", &spec)).await.ok();
    let message = cluster.post(SERVICES, &service("second", &spec)).await.refused(422, "Invalid");
    for part in [
        "spec.clusterIPs: Invalid value: [\"10.43.0.9\"]: failed to allocate IP 10.43.0.9: \
         provided IP is already allocated",
        "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let spec = json!({
        "type": "NodePort",
        "clusterIP": "192.168.0.1",
        "ports": [{ "port": 80, "nodePort": 80 }],
    });
    let message = cluster.post(SERVICES, &service("third", &spec)).await.refused(422, "Invalid");
    assert!(message.contains("The range of valid IPs is 10.43.0.0/16"), "{message}");
    assert!(message.contains("The range of valid ports is 30000-32767"), "{message}");
    // What a deleted Service had is free again.
    cluster.delete(&format!("{SERVICES}/first"), &Value::Null).await.ok();
    let spec = json!({ "clusterIP": "10.43.0.9" });
    cluster.post(SERVICES, &service("fourth", &spec)).await.ok();
}

#[tokio::test]
async fn a_manifest_that_names_nothing_keeps_what_was_given() {
    let cluster = Cluster::start().await;
    let manifest = service("s", &json!({ "type": "NodePort" }));
    let created = cluster.post(SERVICES, &manifest).await.ok();
    let path = format!("{SERVICES}/s");
    let mut replaced = manifest;
    replaced["metadata"]["labels"] = json!({ "a": "b" });
    let updated = cluster.put(&path, &replaced).await.ok();
    assert_eq!(updated["spec"], created["spec"]);
    let internal = cluster.merge(&path, &json!({ "spec": { "type": "ClusterIP" } })).await.ok();
    assert_eq!(internal["spec"]["clusterIP"], created["spec"]["clusterIP"]);
    assert_eq!(internal["spec"]["ports"][0]["nodePort"], Value::Null);
    let headless = service("h", &json!({ "clusterIP": "None" }));
    let created = cluster.post(SERVICES, &headless).await.ok();
    assert_eq!(created["spec"]["clusterIPs"], json!(["None"]));
}

//! Deletion: finalizers, grace, propagation, namespaces.

use serde_json::{Value, json};

use crate::cluster::{Cluster, MAPS, PODS, config_map, names, pod};

#[tokio::test]
async fn finalizers_hold_an_object() {
    let cluster = Cluster::start().await;
    let mut map = config_map("a", "1");
    map["metadata"]["finalizers"] = json!(["example.com/hold"]);
    cluster.post(MAPS, &map).await.ok();
    let path = format!("{MAPS}/a");
    let marked = cluster.delete(&path, &Value::Null).await.ok();
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    let again = cluster.delete(&path, &Value::Null).await.ok();
    assert_eq!(again, cluster.get(&path).await.ok());
    cluster.merge(&path, &json!({ "metadata": { "finalizers": null } })).await.ok();
    cluster.get(&path).await.refused(404, "NotFound");
}

#[tokio::test]
async fn the_propagation_policy_becomes_a_finalizer() {
    let cluster = Cluster::start().await;
    for (policy, finalizer) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        cluster.post(MAPS, &config_map("a", "1")).await.ok();
        let path = format!("{MAPS}/a");
        let options =
            json!({ "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy });
        let marked = cluster.delete(&path, &options).await.ok();
        assert_eq!(marked["metadata"]["finalizers"], json!([finalizer]));
        cluster.merge(&path, &json!({ "metadata": { "finalizers": [] } })).await.ok();
        cluster.get(&path).await.refused(404, "NotFound");
    }
}

#[tokio::test]
async fn preconditions_are_checked() {
    let cluster = Cluster::start().await;
    let created = cluster.post(MAPS, &config_map("a", "1")).await.ok();
    let path = format!("{MAPS}/a");
    let options = json!({ "preconditions": { "uid": "another" } });
    let message = cluster.delete(&path, &options).await.refused(409, "Conflict");
    assert!(message.contains("Precondition failed: UID in precondition: another"), "{message}");
    let options = json!({ "preconditions": { "uid": created["metadata"]["uid"] } });
    cluster.delete(&path, &options).await.ok();
}

#[tokio::test]
async fn a_scheduled_pod_goes_gracefully() {
    let cluster = Cluster::start().await;
    cluster.post(PODS, &pod("p")).await.ok();
    let path = format!("{PODS}/p");
    let binding = json!({ "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n" } });
    cluster.post(&format!("{path}/binding"), &binding).await.ok();
    let marked = cluster.delete(&path, &Value::Null).await.ok();
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    let shorter = json!({ "gracePeriodSeconds": 5 });
    let marked = cluster.delete(&path, &shorter).await.ok();
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 5);
    let longer = json!({ "gracePeriodSeconds": 50 });
    let unchanged = cluster.delete(&path, &longer).await.ok();
    assert_eq!(unchanged, marked);
    cluster.delete(&path, &json!({ "gracePeriodSeconds": 0 })).await.ok();
    cluster.get(&path).await.refused(404, "NotFound");
    // A pod that never got a node has nobody to wait for.
    cluster.post(PODS, &pod("q")).await.ok();
    cluster.delete(&format!("{PODS}/q"), &Value::Null).await.ok();
    cluster.get(&format!("{PODS}/q")).await.refused(404, "NotFound");
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let cluster = Cluster::start().await;
    for (name, value) in [("a", "x"), ("b", "x"), ("c", "y")] {
        cluster.post(MAPS, &config_map(name, value)).await.ok();
    }
    let deleted = cluster.delete(&format!("{MAPS}?labelSelector=v%3Dx"), &Value::Null).await.ok();
    assert_eq!(names(&deleted), ["a", "b"]);
    assert_eq!(names(&cluster.get(MAPS).await.ok()), ["c"]);
}

#[tokio::test]
async fn a_namespace_goes_when_it_is_finalized() {
    let cluster = Cluster::start().await;
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "n" } });
    cluster.post("/api/v1/namespaces", &namespace).await.ok();
    let path = "/api/v1/namespaces/n";
    let mut marked = cluster.delete(path, &Value::Null).await.ok();
    assert_eq!(marked["status"]["phase"], "Terminating");
    let refusal = cluster.post("/api/v1/namespaces/n/configmaps", &config_map("a", "1")).await;
    assert_eq!(refusal.body["details"]["causes"][0]["reason"], "NamespaceTerminating");
    refusal.refused(403, "Forbidden");
    marked["spec"]["finalizers"] = json!([]);
    cluster.put(&format!("{path}/finalize"), &marked).await.ok();
    cluster.get(path).await.refused(404, "NotFound");
    cluster.delete("/api/v1/namespaces/default", &Value::Null).await.refused(403, "Forbidden");
}

#[tokio::test]
async fn an_evicted_pod_goes_gracefully() {
    let cluster = Cluster::start().await;
    cluster.post(PODS, &pod("p")).await.ok();
    let binding = json!({ "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n" } });
    cluster.post(&format!("{PODS}/p/binding"), &binding).await.ok();
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": { "name": "p", "namespace": "default" },
        "deleteOptions": { "gracePeriodSeconds": 3 },
    });
    cluster.post(&format!("{PODS}/p/eviction"), &eviction).await.ok();
    let marked = cluster.get(&format!("{PODS}/p")).await.ok();
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 3);
}

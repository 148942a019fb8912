//! Creating, reading and changing.

use futures::future::join_all;
use serde_json::json;

use crate::cluster::{Cluster, MAPS, PODS, call, config_map, pod};

#[tokio::test]
async fn an_object_is_created_read_changed_and_deleted() {
    let cluster = Cluster::start().await;
    let created = cluster.post(MAPS, &config_map("a", "1")).await.ok();
    assert_eq!(created["metadata"]["namespace"], "default");
    assert!(!created["metadata"]["uid"].as_str().unwrap().is_empty());
    let path = format!("{MAPS}/a");
    assert_eq!(cluster.get(&path).await.ok(), created);
    assert_eq!(
        cluster.post(MAPS, &config_map("a", "2")).await.refused(409, "AlreadyExists"),
        "configmaps \"a\" already exists"
    );
    let mut changed = created.clone();
    changed["data"]["v"] = json!("2");
    let updated = cluster.put(&path, &changed).await.ok();
    assert_ne!(updated["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"]);
    assert_eq!(updated["metadata"]["uid"], created["metadata"]["uid"]);
    assert_eq!(
        cluster.put(&path, &changed).await.refused(409, "Conflict"),
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please \
         apply your changes to the latest version and try again"
    );
    let gone = cluster.delete(&path, &json!(null)).await.ok();
    assert_eq!(gone["status"], "Success");
    assert_eq!(gone["details"]["uid"], created["metadata"]["uid"]);
    assert_eq!(cluster.get(&path).await.refused(404, "NotFound"), "configmaps \"a\" not found");
}

#[tokio::test]
async fn a_change_that_changes_nothing_makes_no_version() {
    let cluster = Cluster::start().await;
    let created = cluster.post(MAPS, &config_map("a", "1")).await.ok();
    let same = cluster.merge(&format!("{MAPS}/a"), &json!({ "data": { "v": "1" } })).await.ok();
    assert_eq!(same, created);
}

#[tokio::test]
async fn a_generated_name_is_new_each_time() {
    let cluster = Cluster::start().await;
    let map = json!({ "metadata": { "generateName": "x-" } });
    let first = cluster.post(MAPS, &map).await.ok();
    let second = cluster.post(MAPS, &map).await.ok();
    let name = first["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("x-") && name.len() == 7, "{name}");
    assert_ne!(first["metadata"]["name"], second["metadata"]["name"]);
}

#[tokio::test]
async fn patches_without_a_version_all_count() {
    let cluster = Cluster::start().await;
    cluster.post(MAPS, &config_map("a", "1")).await.ok();
    let path = format!("{MAPS}/a");
    let patches = (0..8).map(|n| {
        let (cluster, path) = (&cluster, &path);
        async move {
            let patch = json!({ "data": { format!("k{n}"): "x" } });
            cluster.merge(path, &patch).await.ok();
        }
    });
    join_all(patches).await;
    let map = cluster.get(&path).await.ok();
    assert_eq!(map["data"].as_object().unwrap().len(), 9);
    let stale = json!({ "metadata": { "resourceVersion": "1" }, "data": { "v": "2" } });
    cluster.merge(&path, &stale).await.refused(409, "Conflict");
}

#[tokio::test]
async fn each_patch_language_is_understood() {
    let cluster = Cluster::start().await;
    let mut pod = pod("p");
    pod["spec"]["containers"][0]["env"] = json!([{ "name": "A", "value": "1" }]);
    cluster.post(PODS, &pod).await.ok();
    let path = format!("{PODS}/p");
    let operations = json!([{ "op": "add", "path": "/metadata/labels", "value": { "a": "b" } }]);
    let language = "application/json-patch+json";
    let patched = call(cluster.admin(), "PATCH", &path, language, &operations).await.ok();
    assert_eq!(patched["metadata"]["labels"], json!({ "a": "b" }));
    let merge = json!({ "spec": { "containers": [{ "name": "c", "image": "j" }] } });
    let language = "application/strategic-merge-patch+json";
    let patched = call(cluster.admin(), "PATCH", &path, language, &merge).await.ok();
    assert_eq!(patched["spec"]["containers"][0]["image"], "j");
    assert_eq!(patched["spec"]["containers"][0]["env"][0]["name"], "A");
    let language = "application/apply-patch+yaml";
    let refusal = call(cluster.admin(), "PATCH", &path, language, &merge).await;
    let message = refusal.refused(415, "UnsupportedMediaType");
    assert!(message.contains("server-side apply is not supported"), "{message}");
}

#[tokio::test]
async fn status_and_spec_change_apart() {
    let cluster = Cluster::start().await;
    let created = cluster.post(PODS, &pod("p")).await.ok();
    assert_eq!(created["status"]["phase"], "Pending");
    let mut changed = created.clone();
    changed["status"]["phase"] = json!("Running");
    changed["metadata"]["labels"] = json!({ "a": "b" });
    let updated = cluster.put(&format!("{PODS}/p"), &changed).await.ok();
    assert_eq!(updated["status"]["phase"], "Pending");
    assert_eq!(updated["metadata"]["labels"]["a"], "b");
    let mut status = updated.clone();
    status["status"]["phase"] = json!("Running");
    status["spec"]["containers"][0]["image"] = json!("other");
    let updated = cluster.put(&format!("{PODS}/p/status"), &status).await.ok();
    assert_eq!(updated["status"]["phase"], "Running");
    assert_eq!(updated["spec"]["containers"][0]["image"], "i");
}

#[tokio::test]
async fn scale_sets_replicas_and_generation() {
    let cluster = Cluster::start().await;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let labels = json!({ "app": "d" });
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "d" },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "c", "image": "i" }] },
            },
        },
    });
    let created = cluster.post(deployments, &deployment).await.ok();
    assert_eq!(created["spec"]["replicas"], 1);
    assert_eq!(created["metadata"]["generation"], 1);
    let path = format!("{deployments}/d/scale");
    let scale = cluster.get(&path).await.ok();
    assert_eq!(scale["kind"], "Scale");
    assert_eq!(scale["status"]["selector"], "app=d");
    let scaled = cluster.merge(&path, &json!({ "spec": { "replicas": 4 } })).await.ok();
    assert_eq!(scaled["spec"]["replicas"], 4);
    let deployment = cluster.get(&format!("{deployments}/d")).await.ok();
    assert_eq!(deployment["spec"]["replicas"], 4);
    assert_eq!(deployment["metadata"]["generation"], 2);
    cluster.put(&path, &scale).await.refused(409, "Conflict");
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let cluster = Cluster::start().await;
    cluster.post(PODS, &pod("p")).await.ok();
    let binding = |node: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": { "name": "p" },
            "target": { "kind": "Node", "name": node },
        })
    };
    cluster.post(&format!("{PODS}/p/binding"), &binding("n1")).await.ok();
    let bound = cluster.get(&format!("{PODS}/p")).await.ok();
    assert_eq!(bound["spec"]["nodeName"], "n1");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
    let refusal = cluster.post(&format!("{PODS}/p/binding"), &binding("n2")).await;
    assert_eq!(
        refusal.refused(409, "Conflict"),
        "Operation cannot be fulfilled on pods \"p\": pod p is already assigned to node \"n1\""
    );
}

#[tokio::test]
async fn a_dry_run_stores_nothing() {
    let cluster = Cluster::start().await;
    let shown = cluster.post(&format!("{MAPS}?dryRun=All"), &config_map("a", "1")).await.ok();
    assert_eq!(shown["data"]["v"], "1");
    cluster.get(&format!("{MAPS}/a")).await.refused(404, "NotFound");
    cluster
        .post(&format!("{MAPS}?dryRun=Some"), &config_map("a", "1"))
        .await
        .refused(400, "BadRequest");
}

#[tokio::test]
async fn mistakes_are_named() {
    let cluster = Cluster::start().await;
    let mut wrong = config_map("a", "1");
    wrong["dta"] = json!({});
    let strict = format!("{MAPS}?fieldValidation=Strict");
    let message = cluster.post(&strict, &wrong).await.refused(400, "BadRequest");
    assert!(message.contains("unknown field \"dta\""), "{message}");
    let warned = cluster.post(MAPS, &wrong).await;
    let warning = warned.headers["warning"].to_str().unwrap().to_owned();
    assert_eq!(warning, "299 - \"unknown field \\\"dta\\\"\"");
    let elsewhere = "/api/v1/namespaces/nowhere/configmaps";
    assert_eq!(
        cluster.post(elsewhere, &config_map("a", "1")).await.refused(404, "NotFound"),
        "namespaces \"nowhere\" not found"
    );
    let huge = config_map("a", &"x".repeat(4 << 20));
    cluster.post(MAPS, &huge).await.refused(413, "RequestEntityTooLarge");
    cluster.get("/apis/none/v1/things").await.refused(404, "NotFound");
    cluster.post(&format!("{PODS}/p/exec"), &json!({})).await.refused(404, "NotFound");
}

//! Collections.

use corten_apiserver_store::Store as _;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::cluster::{Answer, Cluster, MAPS, PODS, config_map, names, pod, send};

async fn filled() -> Cluster {
    let cluster = Cluster::start().await;
    for name in ["a", "b", "c", "d", "e"] {
        let value = if name < "c" { "low" } else { "high" };
        cluster.post(MAPS, &config_map(name, value)).await.ok();
    }
    cluster
}

async fn accepting(cluster: &Cluster, path: &str, accept: &str) -> Answer {
    let request = http::Request::get(path).header("accept", accept);
    send(cluster.admin(), request.body(Full::default()).unwrap()).await
}

#[tokio::test]
async fn pages_show_one_moment() {
    let cluster = filled().await;
    let first = cluster.get(&format!("{MAPS}?limit=2")).await.ok();
    assert_eq!(first["kind"], "ConfigMapList");
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    cluster.delete(&format!("{MAPS}/c"), &Value::Null).await.ok();
    cluster.post(MAPS, &config_map("cc", "new")).await.ok();
    let token = first["metadata"]["continue"].as_str().unwrap();
    let rest = cluster.get(&format!("{MAPS}?limit=10&continue={token}")).await.ok();
    assert_eq!(names(&rest), ["c", "d", "e"]);
    assert_eq!(rest["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert_eq!(rest["metadata"]["continue"], Value::Null);
}

#[tokio::test]
async fn a_page_that_is_too_late_gets_a_token_that_goes_on() {
    let cluster = filled().await;
    let first = cluster.get(&format!("{MAPS}?limit=2")).await.ok();
    cluster.delete(&format!("{MAPS}/c"), &Value::Null).await.ok();
    cluster.store.compact(cluster.store.revision());
    // The writer takes orders in turn: this one comes after the compaction.
    cluster.post(MAPS, &config_map("z", "1")).await.ok();
    let token = first["metadata"]["continue"].as_str().unwrap();
    let late = cluster.get(&format!("{MAPS}?continue={token}")).await;
    assert_eq!(late.body["reason"], "Expired");
    let token = late.body["metadata"]["continue"].as_str().unwrap().to_owned();
    late.refused(410, "Expired");
    let rest = cluster.get(&format!("{MAPS}?continue={token}")).await.ok();
    assert_eq!(names(&rest), ["d", "e", "z"]);
}

#[tokio::test]
async fn selectors_pick() {
    let cluster = filled().await;
    let picked = cluster.get(&format!("{MAPS}?labelSelector=v%3Dlow")).await.ok();
    assert_eq!(names(&picked), ["a", "b"]);
    let picked = cluster.get(&format!("{MAPS}?labelSelector=v%3Dhigh&limit=2")).await.ok();
    assert_eq!(names(&picked), ["c", "d"]);
    let token = picked["metadata"]["continue"].as_str().unwrap();
    let path = format!("{MAPS}?labelSelector=v%3Dhigh&limit=2&continue={token}");
    assert_eq!(names(&cluster.get(&path).await.ok()), ["e"]);
    let picked = cluster.get(&format!("{MAPS}?fieldSelector=metadata.name%3Dd")).await.ok();
    assert_eq!(names(&picked), ["d"]);
    cluster.post(PODS, &pod("p")).await.ok();
    // A field that is absent is as if it were empty.
    let picked = cluster.get(&format!("{PODS}?fieldSelector=spec.nodeName%3D")).await.ok();
    assert_eq!(names(&picked), ["p"]);
    cluster
        .get(&format!("{PODS}?fieldSelector=spec.nonsense%3D1"))
        .await
        .refused(400, "BadRequest");
    cluster.get(&format!("{PODS}?labelSelector=%3D%3D")).await.refused(400, "BadRequest");
}

#[tokio::test]
async fn versions_bound_how_old_a_list_may_be() {
    let cluster = filled().await;
    let now = cluster.store.revision();
    let exact = format!("{MAPS}?resourceVersionMatch=Exact&resourceVersion={}", now - 2);
    assert_eq!(names(&cluster.get(&exact).await.ok()), ["a", "b", "c"]);
    cluster.get(&format!("{MAPS}?resourceVersion=0")).await.ok();
    cluster.get(&format!("{MAPS}?resourceVersion={now}")).await.ok();
    cluster.get(&format!("{MAPS}?resourceVersion=x")).await.refused(400, "BadRequest");
    let future = cluster.get(&format!("{MAPS}?resourceVersion={}", now + 1000)).await;
    let cause = future.body["details"]["causes"][0]["reason"].clone();
    assert_eq!(cause, "ResourceVersionTooLarge");
    future.refused(504, "Timeout");
}

#[tokio::test]
async fn views_are_negotiated() {
    let cluster = filled().await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let shown = accepting(&cluster, MAPS, table).await.ok();
    assert_eq!(shown["kind"], "Table");
    assert_eq!(shown["columnDefinitions"][0]["name"], "Name");
    assert_eq!(shown["rows"][0]["cells"][0], "a");
    assert_eq!(shown["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let shown = accepting(&cluster, MAPS, partial).await.ok();
    assert_eq!(shown["kind"], "PartialObjectMetadataList");
    assert_eq!(shown["items"][0]["metadata"]["name"], "a");
    assert_eq!(shown["items"][0]["data"], Value::Null);
    let yaml = accepting(&cluster, &format!("{MAPS}/a"), "application/yaml").await;
    assert_eq!(yaml.headers["content-type"], "application/yaml");
    assert!(yaml.body.as_str().unwrap().contains("kind: ConfigMap"));
    let protobuf = "application/vnd.kubernetes.protobuf";
    accepting(&cluster, MAPS, protobuf).await.refused(406, "NotAcceptable");
    let both = format!("{protobuf},application/json");
    assert_eq!(accepting(&cluster, MAPS, &both).await.ok()["kind"], "ConfigMapList");
}

#[tokio::test]
async fn events_have_two_views_of_one_storage() {
    let cluster = Cluster::start().await;
    let event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": "e", "namespace": "default" },
        "involvedObject": { "kind": "Pod", "name": "p", "namespace": "default" },
        "reason": "Why",
        "message": "what",
        "type": "Normal",
    });
    cluster.post("/api/v1/namespaces/default/events", &event).await.ok();
    let list = cluster.get("/apis/events.k8s.io/v1/namespaces/default/events").await.ok();
    assert_eq!(list["items"][0]["note"], "what");
    assert_eq!(list["items"][0]["regarding"]["name"], "p");
    assert_eq!(list["items"][0]["apiVersion"], "events.k8s.io/v1");
}

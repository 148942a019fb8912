//! Streams of changes.

use bytes::Bytes;
use corten_apiserver_server::Body;
use corten_apiserver_store::Store as _;
use futures::StreamExt as _;
use http_body_util::{BodyDataStream, BodyExt as _, Full};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::cluster::{Cluster, MAPS, PODS, SOON, config_map, pod};

/// The events of a watch, one by one.
struct Stream {
    data: BodyDataStream<Body>,
    rest: Vec<u8>,
}

impl Stream {
    async fn open(cluster: &Cluster, path: &str) -> Self {
        let request = http::Request::get(path).body(Full::<Bytes>::default()).unwrap();
        let response = cluster.admin().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        Self { data: response.into_body().into_data_stream(), rest: Vec::new() }
    }

    /// The next event's type and object; none at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line).unwrap();
                return Some((event["type"].as_str().unwrap().to_owned(), event["object"].clone()));
            }
            let piece = tokio::time::timeout(SOON, self.data.next()).await.unwrap()?;
            self.rest.extend_from_slice(&piece.unwrap());
        }
    }

    async fn expect(&mut self, what: &str, name: &str) -> Value {
        let (kind, object) = self.next().await.unwrap();
        assert_eq!((kind.as_str(), object["metadata"]["name"].as_str()), (what, Some(name)));
        object
    }
}

#[tokio::test]
async fn changes_come_in_order_with_their_versions() {
    let cluster = Cluster::start().await;
    let first = cluster.post(MAPS, &config_map("a", "1")).await.ok();
    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    let second = cluster.merge(&format!("{MAPS}/a"), &json!({ "data": { "v": "2" } })).await.ok();
    let mut stream =
        Stream::open(&cluster, &format!("{MAPS}?watch=1&resourceVersion={version}")).await;
    assert_eq!(stream.expect("MODIFIED", "a").await, second);
    cluster.post(MAPS, &config_map("b", "1")).await.ok();
    stream.expect("ADDED", "b").await;
    cluster.delete(&format!("{MAPS}/a"), &Value::Null).await.ok();
    let deleted = stream.expect("DELETED", "a").await;
    assert_eq!(deleted["data"]["v"], "2");
    let revision: u64 = deleted["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert_eq!(revision, cluster.store.revision());
}

#[tokio::test]
async fn moving_into_and_out_of_a_selection_is_adding_and_deleting() {
    let cluster = Cluster::start().await;
    cluster.post(MAPS, &config_map("a", "out")).await.ok();
    let path = format!("{MAPS}?watch=1&labelSelector=v%3Din&resourceVersion=0");
    let mut stream = Stream::open(&cluster, &path).await;
    let set = async |value: &str| {
        let patch = json!({ "metadata": { "labels": { "v": value } } });
        cluster.merge(&format!("{MAPS}/a"), &patch).await.ok()
    };
    set("in").await;
    stream.expect("ADDED", "a").await;
    let patch = json!({ "data": { "v": "x" } });
    cluster.merge(&format!("{MAPS}/a"), &patch).await.ok();
    stream.expect("MODIFIED", "a").await;
    let moved = set("out").await;
    let deleted = stream.expect("DELETED", "a").await;
    assert_eq!(deleted["metadata"]["labels"]["v"], "in");
    assert_eq!(deleted["metadata"]["resourceVersion"], moved["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn field_selections_follow_a_pod_to_its_node() {
    let cluster = Cluster::start().await;
    cluster.post(PODS, &pod("p")).await.ok();
    let path = "/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dn1";
    let mut stream = Stream::open(&cluster, path).await;
    let binding =
        json!({ "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n1" } });
    cluster.post(&format!("{PODS}/p/binding"), &binding).await.ok();
    stream.expect("ADDED", "p").await;
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let cluster = Cluster::start().await;
    cluster.post(MAPS, &config_map("a", "1")).await.ok();
    let path = format!(
        "{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let mut stream = Stream::open(&cluster, &path).await;
    stream.expect("ADDED", "a").await;
    let (kind, bookmark) = stream.next().await.unwrap();
    assert_eq!(kind, "BOOKMARK");
    assert_eq!(bookmark["kind"], "ConfigMap");
    assert_eq!(bookmark["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    cluster.post(MAPS, &config_map("b", "1")).await.ok();
    stream.expect("ADDED", "b").await;
    let path = format!("{MAPS}?watch=1&sendInitialEvents=true");
    cluster.get(&path).await.refused(400, "BadRequest");
}

#[tokio::test]
async fn a_watch_from_a_forgotten_version_says_so() {
    let cluster = Cluster::start().await;
    let first = cluster.post(MAPS, &config_map("a", "1")).await.ok();
    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    cluster.post(MAPS, &config_map("b", "1")).await.ok();
    cluster.store.compact(cluster.store.revision());
    cluster.post(MAPS, &config_map("c", "1")).await.ok();
    let mut stream =
        Stream::open(&cluster, &format!("{MAPS}?watch=1&resourceVersion={version}")).await;
    let (kind, status) = stream.next().await.unwrap();
    assert_eq!(kind, "ERROR");
    assert_eq!((&status["code"], &status["reason"]), (&json!(410), &json!("Expired")));
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_watch_ends_in_time_with_a_bookmark() {
    let cluster = Cluster::start().await;
    let version = cluster.store.revision();
    let path = format!(
        "{MAPS}?watch=1&timeoutSeconds=7&allowWatchBookmarks=true&resourceVersion={version}"
    );
    // Something else happens: only the bookmark tells this watch that time went on.
    cluster.post(PODS, &pod("p")).await.ok();
    tokio::time::pause();
    let mut stream = Stream::open(&cluster, &path).await;
    let (kind, bookmark) = stream.next().await.unwrap();
    assert_eq!(kind, "BOOKMARK");
    let told: u64 = bookmark["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert!(told > version);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_kube_client_works_in_process() {
    let cluster = Cluster::start().await;
    let api: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    let mut events = Box::pin(watcher(api.clone(), watcher::Config::default()).applied_objects());
    let map: ConfigMap = serde_json::from_value(config_map("a", "1")).unwrap();
    api.create(&PostParams::default(), &map).await.unwrap();
    let seen = tokio::time::timeout(SOON, events.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(seen.metadata.name.as_deref(), Some("a"));
    let missing = api.get("b").await.unwrap_err();
    assert!(matches!(missing, kube::Error::Api(status) if status.code == 404));
    let streaming = watcher::Config::default().streaming_lists();
    let mut events = Box::pin(watcher(api, streaming).applied_objects());
    let seen = tokio::time::timeout(SOON, events.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(seen.metadata.name.as_deref(), Some("a"));
}

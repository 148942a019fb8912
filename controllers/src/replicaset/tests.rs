//! The controller against a scripted API server, on paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use corten_client::Informers;
use corten_task::Tasks;
use futures::stream::{self, BoxStream, StreamExt as _};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::{Clock, Config};

/// What the server has been asked to do.
#[derive(Debug, Default)]
struct Asked {
    created: AtomicU64,
    version: AtomicU64,
}

type Frames = BoxStream<'static, Result<Frame<Bytes>, std::io::Error>>;

fn replica_set(version: u64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": { "name": "web", "namespace": "n", "uid": "rs", "generation": 1,
            "resourceVersion": version.to_string() },
        "spec": { "replicas": 3, "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [] } } },
    })
}

fn once(value: &Value) -> Frames {
    let bytes = Bytes::from(format!("{value}\n"));
    stream::once(async move { Ok(Frame::data(bytes)) }).boxed()
}

/// A watch that, for ReplicaSets, tells of a change every 500 ms, and of pods nothing, ever.
fn watch(path: &str) -> Frames {
    if path != "/apis/apps/v1/replicasets" {
        return stream::pending().boxed();
    }
    let changes = stream::unfold(11, |version| async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let event = json!({ "type": "MODIFIED", "object": replica_set(version) });
        Some((Ok(Frame::data(Bytes::from(format!("{event}\n")))), version + 1))
    });
    changes.boxed()
}

async fn answer(asked: Arc<Asked>, request: Request<Body>) -> Frames {
    let (head, body) = request.into_parts();
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    if head.method == Method::GET && query.contains("watch=true") {
        return watch(path);
    }
    if head.method == Method::GET {
        let is_sets = path.ends_with("/replicasets");
        let items = if is_sets { vec![replica_set(10)] } else { Vec::new() };
        return once(&json!({ "metadata": { "resourceVersion": "10" }, "items": items }));
    }
    let mut object: Value = serde_json::from_slice(&body).unwrap_or_default();
    let version = 100 + asked.version.fetch_add(1, Ordering::Relaxed);
    if head.method == Method::POST && path.ends_with("/pods") {
        let number = asked.created.fetch_add(1, Ordering::Relaxed);
        object["metadata"]["name"] = json!(format!("web-{number}"));
        object["metadata"]["uid"] = json!(format!("pod{number}"));
        object["metadata"]["resourceVersion"] = json!(version.to_string());
    }
    once(&object)
}

#[tokio::test(start_paused = true)]
async fn pods_that_the_watch_does_not_show_yet_are_not_made_twice() {
    let asked = Arc::new(Asked::default());
    let server = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let server = Arc::clone(&server);
        async move {
            let frames = answer(server, request).await;
            Ok::<_, std::io::Error>(Response::new(StreamBody::new(frames)))
        }
    });
    let client = kube::Client::new(service, "default");
    let tasks = Tasks::new();
    let informers = Informers::new(client.clone(), tasks.clone());
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let context = Context::new(Config::default(), client, informers, tasks.clone(), clock);
    start(&context);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(asked.created.load(Ordering::Relaxed), 3);
    tasks.shutdown(Duration::from_secs(5)).await.unwrap();
}

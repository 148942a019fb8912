//! A server of its own for each test.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corten_apiserver_server::{
    Body, Config, Handle, InProcess, KeyPairPem, KubeletConfig, SigningKeyPem, serve,
};
use corten_apiserver_store::{Embedded, Options, Store};
use corten_pki::{Authority, Issued, Request, San, ServiceAccountKey, Usage};
use corten_task::Tasks;
use http::StatusCode;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// How long a test waits for what must come.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Cluster {
    pub(crate) handle: Handle,
    pub(crate) store: Arc<Embedded>,
    pub(crate) ca: Authority,
    pub(crate) tasks: Tasks,
    _folder: tempfile::TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

pub(crate) fn issue(ca: &Authority, name: &str, group: Option<&str>, usage: Usage) -> Issued {
    let request = Request {
        common_name: name.to_owned(),
        organization: group.map(str::to_owned),
        sans: vec![San::Ip([127, 0, 0, 1].into()), San::Dns("localhost".to_owned())],
        usage,
        lifetime: Duration::from_secs(3600),
    };
    ca.issue(&request).unwrap()
}

fn pair(issued: Issued) -> KeyPairPem {
    KeyPairPem { certificate_pem: issued.certificate_pem, key_pem: issued.key_pem }
}

fn config(ca: &Authority, folder: &Path) -> Config {
    let key = ServiceAccountKey::load_or_create(folder).unwrap();
    let mut config = Config::new(
        SocketAddr::from(([127, 0, 0, 1], 0)),
        pair(issue(ca, "kube-apiserver", None, Usage::Server)),
        ca.certificate_pem().to_owned(),
        SigningKeyPem {
            private_pem: key.private_pem().to_owned(),
            public_pem: key.public_pem().to_owned(),
            public_point: key.public_point().to_owned(),
        },
        KubeletConfig {
            client: pair(issue(ca, "kube-apiserver-kubelet-client", None, Usage::Client)),
            ca_pem: ca.certificate_pem().to_owned(),
        },
    );
    config.advertise_address = Some([192, 0, 2, 7].into());
    config
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = Authority::load_or_create(folder.path(), "ca", "test").unwrap();
        let options = Options::default();
        let store = Arc::new(Embedded::open(&folder.path().join("store"), &options).unwrap());
        let tasks = Tasks::new();
        let shared: Arc<dyn Store> = Arc::<Embedded>::clone(&store);
        let handle = serve(config(&ca, folder.path()), shared, &tasks).await.unwrap();
        let cluster = Self { handle, store, ca, tasks, _folder: folder };
        // The service-account controller's work.
        let account = json!({ "metadata": { "name": "default" } });
        cluster.post("/api/v1/namespaces/default/serviceaccounts", &account).await;
        cluster
    }

    pub(crate) fn admin(&self) -> InProcess {
        self.handle.service_as("admin", &["system:masters"])
    }

    pub(crate) fn client(&self) -> kube::Client {
        kube::Client::new(self.admin(), "default")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        call(self.admin(), "GET", path, "", &Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        call(self.admin(), "POST", path, "application/json", body).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        call(self.admin(), "PUT", path, "application/json", body).await
    }

    pub(crate) async fn merge(&self, path: &str, body: &Value) -> Answer {
        call(self.admin(), "PATCH", path, "application/merge-patch+json", body).await
    }

    pub(crate) async fn delete(&self, path: &str, body: &Value) -> Answer {
        call(self.admin(), "DELETE", path, "application/json", body).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

/// One request, `body` being sent unless it is null.
pub(crate) async fn call(
    service: InProcess,
    method: &str,
    path: &str,
    content_type: &str,
    body: &Value,
) -> Answer {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let mut request = http::Request::builder().method(method).uri(path);
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    send(service, request.body(Full::new(Bytes::from(text))).unwrap()).await
}

pub(crate) async fn send(service: InProcess, request: http::Request<Full<Bytes>>) -> Answer {
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    let bytes = whole(body).await;
    let body = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    Answer { status: head.status, headers: head.headers, body }
}

async fn whole(body: Body) -> Bytes {
    tokio::time::timeout(SOON, body.collect()).await.unwrap().unwrap().to_bytes()
}

impl Answer {
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.body);
        self.body
    }

    #[track_caller]
    pub(crate) fn refused(self, code: u16, reason: &str) -> String {
        assert_eq!(self.status.as_u16(), code, "{}", self.body);
        assert_eq!(self.body["kind"], "Status");
        assert_eq!(self.body["reason"], reason, "{}", self.body);
        self.body["message"].as_str().unwrap_or_default().to_owned()
    }
}

pub(crate) fn config_map(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": name, "labels": { "v": value } },
        "data": { "v": value },
    })
}

pub(crate) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": { "containers": [{ "name": "c", "image": "i" }] },
    })
}

pub(crate) fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

pub(crate) const MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";

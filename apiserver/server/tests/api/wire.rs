//! Over TLS, as clients and kubelets do it.

use std::sync::Arc;

use bytes::Bytes;
use corten_pki::Usage;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::cluster::{Cluster, PODS, issue, pod};

fn connector(cluster: &Cluster, user: Option<(&str, &str)>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(cluster.ca.certificate_pem().as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match user {
        None => builder.with_no_client_auth(),
        Some((name, group)) => {
            let issued = issue(&cluster.ca, name, Some(group), Usage::Client);
            let chain = CertificateDer::pem_slice_iter(issued.certificate_pem.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

async fn get(cluster: &Cluster, user: Option<(&str, &str)>, path: &str) -> (u16, Value) {
    let stream = TcpStream::connect(cluster.handle.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connector(cluster, user).connect(name, stream).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    cluster.tasks.spawn("client connection", async move {
        drop(connection.await);
    });
    let request = http::Request::get(path)
        .header("host", "localhost")
        .body(Full::<Bytes>::default())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn a_certificate_says_who_asks() {
    let cluster = Cluster::start().await;
    let (status, _) = get(&cluster, Some(("root", "system:masters")), PODS).await;
    assert_eq!(status, 200);
    let (status, body) = get(&cluster, Some(("jane", "staff")), PODS).await;
    assert_eq!(status, 403);
    assert!(body["message"].as_str().unwrap().contains("User \"jane\""));
    let (status, body) = get(&cluster, None, PODS).await;
    assert_eq!(status, 403);
    assert!(body["message"].as_str().unwrap().contains("system:anonymous"));
}

/// A kubelet that answers one request with what it was asked and two pieces of log.
async fn kubelet(cluster: &Cluster) -> u16 {
    let issued = issue(&cluster.ca, "system:node:n", Some("system:nodes"), Usage::Server);
    let ca = cluster.ca.certificate_pem();
    let config =
        corten_pki::server_config(&issued.certificate_pem, &issued.key_pem, Some(ca)).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    cluster.tasks.spawn("fake kubelet", async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
        let user = corten_pki::client_subject(&certificate).unwrap().common_name;
        let mut head = vec![0; 4096];
        let read = stream.read(&mut head).await.unwrap();
        let head = String::from_utf8_lossy(&head[..read]).into_owned();
        let line = head.lines().next().unwrap().to_owned();
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.write_all(format!("{user}\n").as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    port
}

#[tokio::test]
async fn logs_come_from_the_pods_kubelet() {
    let cluster = Cluster::start().await;
    cluster.post(PODS, &pod("p")).await.ok();
    let path = format!("{PODS}/p/log");
    let message = cluster.get(&path).await.refused(400, "BadRequest");
    assert_eq!(message, "pod p does not have a host assigned");
    let port = kubelet(&cluster).await;
    let mut node = json!({ "metadata": { "name": "n" } });
    node = cluster.post("/api/v1/nodes", &node).await.ok();
    node["status"] = json!({
        "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
    });
    cluster.put("/api/v1/nodes/n/status", &node).await.ok();
    let binding = json!({ "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n" } });
    cluster.post(&format!("{PODS}/p/binding"), &binding).await.ok();
    let log = cluster.get(&format!("{path}?tailLines=5&follow=true")).await.ok();
    assert_eq!(
        log,
        json!(
            "kube-apiserver-kubelet-client\n\
             GET /containerLogs/default/p/c?follow=true&tailLines=5 HTTP/1.1\n"
        )
    );
    let message = cluster.get(&format!("{path}?container=x")).await.refused(400, "BadRequest");
    assert_eq!(message, "container x is not valid for pod p");
}

#[tokio::test]
async fn documents_describe_the_api() {
    let cluster = Cluster::start().await;
    let index = cluster.get("/openapi/v3").await.ok();
    let address = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let document = cluster.get(address).await;
    let etag = document.headers["etag"].clone();
    assert!(document.headers["cache-control"].to_str().unwrap().contains("immutable"));
    assert!(document.ok()["components"]["schemas"].to_string().contains("DeploymentSpec"));
    let request = http::Request::get(address).header("if-none-match", etag);
    let again = crate::cluster::send(cluster.admin(), request.body(Full::default()).unwrap()).await;
    assert_eq!(again.status, 304);
    let request = http::Request::get("/apis").header(
        "accept",
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
    );
    let all = crate::cluster::send(cluster.admin(), request.body(Full::default()).unwrap()).await;
    assert_eq!(all.ok()["kind"], "APIGroupDiscoveryList");
    assert_eq!(cluster.get("/apis").await.ok()["kind"], "APIGroupList");
    assert_eq!(cluster.get("/api/v1").await.ok()["kind"], "APIResourceList");
    assert_eq!(cluster.get("/readyz?verbose").await.ok().as_str().unwrap().lines().count(), 5);
}

#[tokio::test]
async fn the_older_document_comes_as_json_and_as_protobuf() {
    let cluster = Cluster::start().await;
    let document = cluster.get("/openapi/v2").await.ok();
    assert_eq!(document["swagger"], "2.0");
    let get = async |accept: &str, etag: Option<http::HeaderValue>| {
        let mut request = http::Request::get("/openapi/v2").header("accept", accept);
        if let Some(etag) = etag {
            request = request.header("if-none-match", etag);
        }
        crate::cluster::send(cluster.admin(), request.body(Full::default()).unwrap()).await
    };
    let kubectl = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let answer = get(kubectl, None).await;
    assert_eq!(
        answer.headers["content-type"],
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    );
    let etag = answer.headers["etag"].clone();
    assert_eq!(get(kubectl, Some(etag.clone())).await.status, 304);
    assert_eq!(get("application/json", Some(etag)).await.status, 200);
    assert_eq!(get("text/html", None).await.status, 406);
}

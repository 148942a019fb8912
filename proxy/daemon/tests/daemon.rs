//! The daemon against a scripted API server, with real packets in a namespace of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use corten_client::Informers;
use corten_proxy_daemon::Config;
use corten_sys_netlink::route::{Address, Links, Route};
use corten_sys_netlink::tables::Tables;
use corten_task::Tasks;
use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip_unless};
use futures::StreamExt as _;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

const LIMIT: Duration = Duration::from_secs(20);
const ASK_LIMIT: Duration = Duration::from_millis(500);

/// Lists, watches and events; nothing else.
#[derive(Clone)]
struct Server {
    objects: Arc<Mutex<BTreeMap<(String, String), Value>>>,
    changes: broadcast::Sender<(String, Value)>,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Server {
    fn new() -> Self {
        let (changes, _) = broadcast::channel(1000);
        Self { objects: Arc::default(), changes, events: Arc::default() }
    }

    fn client(&self) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        kube::Client::new(service, "default")
    }

    async fn answer(&self, request: Request<Body>) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
        let whole = |value: Value| {
            Response::new(UnsyncBoxBody::new(Full::new(Bytes::from(value.to_string()))))
        };
        let resource = request.uri().path().rsplit('/').next().unwrap().to_owned();
        if request.method() == Method::POST {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let event: Value = serde_json::from_slice(&body).unwrap();
            self.events.lock().unwrap().push(event.clone());
            return whole(event);
        }
        if request.uri().query().unwrap_or_default().contains("watch=true") {
            let changes = BroadcastStream::new(self.changes.subscribe());
            // What has changed between the list and now.
            let objects = self.objects.lock().unwrap().clone();
            let present = objects.into_iter().map(|((kind, _name), object)| {
                (kind, json!({"type": "MODIFIED", "object": object}))
            });
            let changes = changes.map(Result::unwrap);
            let changes = futures::stream::iter(present).chain(changes);
            let frames = changes.filter_map(move |(kind, change)| {
                let mine = kind == resource;
                async move {
                    let line = Bytes::from(format!("{change}\n"));
                    mine.then(|| Ok(hyper::body::Frame::data(line)))
                }
            });
            return Response::new(UnsyncBoxBody::new(StreamBody::new(frames)));
        }
        let objects = self.objects.lock().unwrap();
        let items: Vec<_> =
            objects.iter().filter(|(key, _)| key.0 == resource).map(|(_, it)| it).collect();
        whole(json!({"metadata": {"resourceVersion": "1"}, "items": items}))
    }

    fn set(&self, resource: &str, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.objects.lock().unwrap().insert((resource.to_owned(), name), object.clone());
        let change = json!({"type": "MODIFIED", "object": object});
        drop(self.changes.send((resource.to_owned(), change)));
    }

    fn delete(&self, resource: &str, name: &str) {
        let key = (resource.to_owned(), name.to_owned());
        let object = self.objects.lock().unwrap().remove(&key).unwrap();
        let change = json!({"type": "DELETED", "object": object});
        drop(self.changes.send((resource.to_owned(), change)));
    }

    fn set_service(&self, name: &str, extra: &Value) {
        let mut spec = json!({
            "clusterIP": "10.43.0.9", "clusterIPs": ["10.43.0.9"],
            "ports": [{"port": 80, "protocol": "TCP"}],
        });
        for (key, value) in extra.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let metadata = json!({"name": name, "namespace": "default", "resourceVersion": "2"});
        let kind =
            json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec});
        self.set("services", &kind);
    }

    fn set_endpoints(&self, addresses: &[&str]) {
        let endpoints: Vec<_> = addresses
            .iter()
            .map(|address| json!({"addresses": [address], "nodeName": "n1"}))
            .collect();
        self.set(
            "endpointslices",
            &json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {"name": "web-1", "namespace": "default", "resourceVersion": "2",
                    "labels": {"kubernetes.io/service-name": "web"}},
                "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": endpoints,
            }),
        );
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Pods are addresses of loopback, which each say their own name.
fn pods(addresses: &[&str]) {
    let mut links = Links::open().unwrap();
    let lo = links.link("lo").unwrap().unwrap().index;
    for address in addresses {
        let address = Address { link: lo, address: ip(address), prefix: 32 };
        links.add_address(address, false).unwrap();
        let listener = TcpListener::bind(SocketAddr::new(address.address, 8080)).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                use std::io::Write as _;
                let mut stream = stream;
                drop(stream.write_all(address.address.to_string().as_bytes()));
            }
        });
    }
    links.add_route(&Route::new(ip("10.43.0.0"), 16, None, lo)).unwrap();
}

/// Who answers at an address.
fn ask(address: &str) -> std::io::Result<IpAddr> {
    let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), ASK_LIMIT)?;
    stream.set_read_timeout(Some(ASK_LIMIT))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(ip(&text))
}

/// Waits for an answer, whatever came before it.
async fn until(what: &str, done: impl Fn() -> bool + Send + Sync + 'static) {
    let started = Instant::now();
    let done = Arc::new(done);
    loop {
        // Asking blocks, and the daemon is to run meanwhile.
        let done = Arc::clone(&done);
        if tokio::task::spawn_blocking(move || done()).await.unwrap() {
            return;
        }
        assert!(started.elapsed() < LIMIT, "{what} does not come about");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn refused() -> bool {
    ask("10.43.0.9:80").is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

fn answers(address: &'static str) -> impl Fn() -> bool {
    move || (0..20).all(|_| ask("10.43.0.9:80").is_ok_and(|answer| answer == ip(address)))
}

/// Runs `test` while the daemon runs; the daemon must end when it is told to.
async fn with_daemon(server: &Server, test: impl AsyncFnOnce()) {
    let tasks = Tasks::new();
    let client = server.client();
    let informers = Informers::new(client.clone(), tasks.clone());
    let config = Config { node_name: Some("n1".into()), ..Config::default() };
    let daemon = corten_proxy_daemon::run(config, client, informers, tasks.clone());
    let (outcome, ()) = tokio::join!(daemon, async {
        test().await;
        tasks.cancel();
    });
    outcome.unwrap();
    tasks.shutdown(LIMIT).await.unwrap();
}

fn in_host(test: impl Future<Output = ()> + Send) {
    skip_unless!(is_root(), "network namespaces need root");
    in_new_namespaces(NamespaceOptions::default(), || {
        pods(&["10.42.0.2", "10.42.0.3"]);
        // Threads inherit the namespace of the one that makes them.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test);
    });
}

#[test]
fn services_follow_their_endpoints() {
    in_host(async {
        let server = Server::new();
        server.set_service("web", &json!({}));
        server.set_endpoints(&["10.42.0.2"]);
        with_daemon(&server, async || {
            until("the first endpoint", answers("10.42.0.2")).await;
            server.set_endpoints(&["10.42.0.3"]);
            until("the second endpoint", answers("10.42.0.3")).await;
            server.set_endpoints(&[]);
            until("refusal", refused).await;
            server.set_endpoints(&["10.42.0.2"]);
            until("the first endpoint again", answers("10.42.0.2")).await;
        })
        .await;
        // The rules outlive the process, and the next one takes them over.
        assert!(answers("10.42.0.2")());
        server.set_endpoints(&["10.42.0.3"]);
        with_daemon(&server, async || {
            until("what changed meanwhile", answers("10.42.0.3")).await;
            server.delete("services", "web");
            until("refusal", refused).await;
        })
        .await;
        corten_proxy_daemon::cleanup().unwrap();
        assert_eq!(Tables::open().unwrap().tables().unwrap(), []);
    });
}

#[test]
fn rules_that_somebody_removed_come_back() {
    in_host(async {
        let server = Server::new();
        server.set_service("web", &json!({}));
        server.set_endpoints(&["10.42.0.2"]);
        with_daemon(&server, async || {
            until("the first endpoint", answers("10.42.0.2")).await;
            corten_proxy_daemon::cleanup().unwrap();
            // The next change fails, and then everything is made anew.
            server.set_endpoints(&["10.42.0.3"]);
            until("the second endpoint", answers("10.42.0.3")).await;
        })
        .await;
    });
}

#[test]
fn authors_are_told_of_what_is_not_honoured() {
    in_host(async {
        let server = Server::new();
        with_daemon(&server, async || {
            server.set_service("web", &json!({"trafficDistribution": "PreferClose"}));
            server.set_service("wub", &json!({}));
            let asked = server.clone();
            let reasons = move || -> Vec<_> {
                let events = asked.events.lock().unwrap();
                let mut reasons: Vec<_> = events
                    .iter()
                    .map(|event| {
                        let name = event["involvedObject"]["name"].as_str().unwrap();
                        (name.to_owned(), event["reason"].as_str().unwrap().to_owned())
                    })
                    .collect();
                reasons.sort();
                reasons
            };
            let expected = vec![
                ("web".to_owned(), "TrafficDistributionNotSupported".to_owned()),
                ("wub".to_owned(), "AddressTaken".to_owned()),
            ];
            until("the events", move || reasons() == expected).await;
        })
        .await;
    });
}

//! What every cluster has from the start: its namespaces, the roles, the `kubernetes` Service; and
//! what the server keeps doing: that Service's endpoints, aggregated roles, expiring Events.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use corten_api_k8s::kinds::{self, Kind};
use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use corten_apiserver_store::{Expect, Op, Range, Watch};
use corten_task::Tasks;
use serde_json::{Value, json};

use crate::authz;
use crate::rest::{self, storage};
use crate::state::Api;

const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];
const SERVICE_INTERVAL: Duration = Duration::from_secs(10);
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(5);

fn kind(group: &str, name: &str) -> Result<&'static Kind, Status> {
    kinds::by_gvk(group, "v1", name)
        .ok_or_else(|| status::internal(&format!("{name} is not served")))
}

/// Makes what every cluster has. Repeating it changes nothing.
pub(crate) async fn create(api: &Api, port: u16) -> Result<(), Status> {
    for name in NAMESPACES {
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": { "name": name },
        });
        ensure(api, kind("", "Namespace")?, namespace).await?;
    }
    authz::bootstrap::reconcile(api).await?;
    publish_service(api, port).await?;
    api.ready.store(true, Ordering::Release);
    Ok(())
}

async fn ensure(api: &Api, kind: &'static Kind, object: Value) -> Result<(), Status> {
    let key = storage::key(kind, meta::namespace(&object), meta::name(&object));
    if api.store.get(&key).is_some() {
        return Ok(());
    }
    match rest::create_internal(api, kind, object).await {
        Err(status) if status.reason == Some(status::Reason::AlreadyExists) => Ok(()),
        outcome => outcome,
    }
}

fn service(address: IpAddr) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": { "component": "apiserver", "provider": "kubernetes" },
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address.to_string(),
            "ports": [{ "name": "https", "protocol": "TCP", "port": 443, "targetPort": 6443 }],
            "sessionAffinity": "None",
        },
    })
}

/// The `kubernetes` Service, which comes back when somebody deletes it, and its endpoints.
async fn publish_service(api: &Api, port: u16) -> Result<(), Status> {
    let address = api.allocators.first_address();
    ensure(api, kind("", "Service")?, service(address)).await?;
    publish_endpoints(api, port).await
}

/// The endpoints of the `kubernetes` Service are this server. The slice is not the endpoint-slice
/// controller's, as the Service selects no pods.
async fn publish_endpoints(api: &Api, port: u16) -> Result<(), Status> {
    // Pods have a loopback of their own: such an address is of no use to them, nor valid here.
    let address = api.config.advertise_address;
    let Some(address) = address.filter(|a| !a.is_loopback() && !a.is_unspecified()) else {
        return Ok(());
    };
    let endpoints = json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" },
        },
        "subsets": [{
            "addresses": [{ "ip": address.to_string() }],
            "ports": [{ "name": "https", "port": port, "protocol": "TCP" }],
        }],
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": { "kubernetes.io/service-name": "kubernetes" },
        },
        "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": [{
            "addresses": [address.to_string()],
            "conditions": { "ready": true },
        }],
        "ports": [{ "name": "https", "port": port, "protocol": "TCP" }],
    });
    keep(api, kind("", "Endpoints")?, endpoints, &["subsets"]).await?;
    keep(api, kind("discovery.k8s.io", "EndpointSlice")?, slice, &["endpoints", "ports"]).await
}

/// Creates an object, or sets those of its fields that differ.
async fn keep(
    api: &Api,
    kind: &'static Kind,
    wanted: Value,
    fields: &[&str],
) -> Result<(), Status> {
    let key = storage::key(kind, meta::namespace(&wanted), meta::name(&wanted));
    let Some(entry) = api.store.get(&key) else {
        return ensure(api, kind, wanted).await;
    };
    let current = storage::parsed(&entry);
    let mut object = current.as_ref().clone();
    for field in fields {
        object[*field] = wanted[*field].clone();
    }
    if object == *current {
        return Ok(());
    }
    let put = Op::Put { key, value: storage::encode(&object)?, expect: Expect::Any };
    match api.store.txn(vec![put]).await {
        Ok(_) => Ok(()),
        Err(failed) => Err(crate::error::from_txn(kind, meta::name(&wanted), &failed)),
    }
}

/// Starts what the server keeps doing.
pub(crate) fn keep_up(api: &Api, port: u16, tasks: &Tasks) {
    let own = api.clone();
    tasks.spawn("kubernetes service", async move {
        let mut interval = tokio::time::interval(SERVICE_INTERVAL);
        loop {
            interval.tick().await;
            if let Err(error) = publish_service(&own, port).await {
                tracing::warn!(cause = %error, "the kubernetes Service could not be published");
            }
        }
    });
    let own = api.clone();
    tasks.spawn("role aggregation", async move { aggregate_roles(&own).await });
    let own = api.clone();
    tasks.spawn("event expiry", async move {
        let mut interval = tokio::time::interval(EXPIRY_INTERVAL);
        loop {
            interval.tick().await;
            expire_events(&own).await;
        }
    });
}

async fn aggregate_roles(api: &Api) {
    let Ok(kind) = kind("rbac.authorization.k8s.io", "ClusterRole") else { return };
    let prefix = storage::prefix(kind, "");
    loop {
        let Ok(mut watch) = api.store.watch(&prefix, api.store.revision()) else { return };
        loop {
            if let Err(error) = authz::bootstrap::aggregate(api, kind).await {
                tracing::warn!(cause = %error, "roles could not be aggregated");
                tokio::time::sleep(RETRY).await;
            }
            if watch.next().await.is_err() || !drained(&mut watch) {
                break;
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Takes what waits already; whether the watch goes on.
fn drained(watch: &mut Watch) -> bool {
    loop {
        match watch.try_next() {
            Ok(Some(_event)) => {}
            Ok(None) => return true,
            Err(_ended) => return false,
        }
    }
}

/// Removes Events that are older than they are kept.
async fn expire_events(api: &Api) {
    let prefix = storage::core_key("events", "", "");
    let Ok(found) = api.store.range(&Range { prefix: &prefix, ..Range::default() }) else { return };
    let now = api.now();
    for entry in found.items {
        let event = storage::parsed(&entry);
        let time = ["/lastTimestamp", "/series/lastObservedTime", "/eventTime"]
            .iter()
            .filter_map(|pointer| event.pointer(pointer)?.as_str())
            .find_map(corten_api_k8s::time::parse)
            .or_else(|| meta::creation_timestamp(&event));
        let age = time.map(|time| now.duration_since(time));
        let old =
            age.is_some_and(|age| age.unsigned_abs() > api.config.event_ttl && age.is_positive());
        if !old {
            continue;
        }
        let expect = Expect::Revision(entry.modified());
        let delete = Op::Delete { key: Arc::clone(entry.key()), expect };
        if let Err(error) = api.store.txn(vec![delete]).await {
            // Changed meanwhile: then it is not old any more.
            tracing::debug!(cause = %error, "an Event was not removed");
        }
    }
}

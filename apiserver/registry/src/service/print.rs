//! The printed row.

use corten_api_k8s::meta;
use jiff::Timestamp;
use serde_json::Value;

use crate::read::Read;
use crate::strategy::{Column, age, or_none};

pub(super) const COLUMNS: &[Column] = &[
    Column::text("Name"),
    Column::text("Type"),
    Column::text("Cluster-IP"),
    Column::text("External-IP"),
    Column::text("Port(s)"),
    Column::text("Age"),
    Column::wide("Selector"),
];

pub(super) fn row(service: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = service
        .items("/spec/ports")
        .iter()
        .map(|port| {
            let (number, protocol) =
                (port.int("/port").unwrap_or_default(), port.text("/protocol"));
            match port.int("/nodePort").unwrap_or_default() {
                0 => format!("{number}/{protocol}"),
                node => format!("{number}:{node}/{protocol}"),
            }
        })
        .collect();
    let mut selector: Vec<String> = service
        .entries("/spec/selector")
        .into_iter()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    selector.sort_unstable();
    let cluster_ip = match service.text("/spec/clusterIPs/0") {
        "" => service.text("/spec/clusterIP"),
        ip => ip,
    };
    vec![
        meta::name(service).into(),
        service.text("/spec/type").into(),
        or_none(cluster_ip),
        external_ip(service).into(),
        or_none(&ports.join(",")),
        age(service, now),
        or_none(&selector.join(",")),
    ]
}

fn external_ip(service: &Value) -> String {
    let given: Vec<&str> =
        service.items("/spec/externalIPs").iter().filter_map(Value::as_str).collect();
    match service.text("/spec/type") {
        "ClusterIP" | "NodePort" if given.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => given.join(","),
        "LoadBalancer" => {
            let ingress = service.items("/status/loadBalancer/ingress").iter();
            let mut all: Vec<&str> = ingress
                .map(|i| match i.text("/ip") {
                    "" => i.text("/hostname"),
                    ip => ip,
                })
                .filter(|i| !i.is_empty())
                .collect();
            all.sort_unstable();
            all.dedup();
            all.extend(given);
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => service.text("/spec/externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

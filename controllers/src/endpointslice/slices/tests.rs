use std::fmt::Write as _;

use expect_test::{Expect, expect};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::service_endpoints::backends;

fn service(spec: Value) -> Service {
    let mut service = json!({
        "metadata": { "name": "web", "namespace": "n", "uid": "s", "labels": { "team": "a" } },
        "spec": { "clusterIP": "10.43.0.5", "selector": { "app": "web" },
            "ports": [{ "name": "http", "port": 80, "targetPort": "http" }] },
    });
    for (key, value) in spec.as_object().unwrap() {
        service["spec"][key] = value.clone();
    }
    serde_json::from_value(service).unwrap()
}

fn pod(number: usize, ready: bool, extra: Value) -> Arc<Pod> {
    let mut pod = json!({
        "metadata": { "name": format!("p{number:03}"), "namespace": "n", "uid": format!("u{number}"),
            "labels": { "app": "web" } },
        "spec": { "nodeName": "node1", "containers": [{ "name": "c",
            "ports": [{ "name": "http", "containerPort": 8080 }] }] },
        "status": { "podIP": format!("10.42.{}.{}", number / 250, number % 250), "phase": "Running",
            "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }] },
    });
    for (path, value) in extra.as_object().unwrap() {
        *pod.pointer_mut(path).unwrap() = value.clone();
    }
    Arc::new(serde_json::from_value(pod).unwrap())
}

/// What the API server holds after the changes.
fn apply(slices: &mut Vec<Arc<EndpointSlice>>, changes: Vec<Change>, made: &mut usize) {
    for change in changes {
        match change {
            Change::Create(mut slice) => {
                *made += 1;
                slice.metadata.name = Some(format!("web-{made}"));
                slices.push(Arc::from(slice));
            }
            Change::Update(slice) => {
                let at = slices.iter().position(|one| name(&**one) == name(&*slice)).unwrap();
                slices[at] = Arc::from(slice);
            }
            Change::Delete(slice) => slices.retain(|one| name(&**one) != name(&*slice)),
        }
    }
}

fn changes_for(
    service: &Service,
    pods: &[Arc<Pod>],
    existing: &[Arc<EndpointSlice>],
) -> Vec<Change> {
    let zone = |node: &str| (node == "node1").then(|| "zone1".to_owned());
    changes(service, &backends(service, pods.to_vec()), existing, &zone)
}

fn show(slices: &[Arc<EndpointSlice>]) -> String {
    let mut text = String::new();
    for slice in slices {
        let ports: Vec<String> = ports_of(slice)
            .iter()
            .map(|port| format!("{}={}/{}", port.name, port.number, port.protocol))
            .collect();
        writeln!(text, "{} {} [{}]", name(&**slice), slice.address_type, ports.join(" ")).unwrap();
        for endpoint in slice.endpoints.iter().flatten() {
            let is = endpoint.conditions.as_ref().unwrap();
            let flag = |value: Option<bool>, text: &'static str| {
                if value == Some(true) { text } else { "-" }
            };
            writeln!(
                text,
                "  {} {} {} {}",
                endpoint.addresses.join(","),
                flag(is.ready, "ready"),
                flag(is.serving, "serving"),
                flag(is.terminating, "terminating"),
            )
            .unwrap();
        }
    }
    text
}

fn check(service: &Service, pods: &[Arc<Pod>], expected: &Expect) {
    let mut slices = Vec::new();
    apply(&mut slices, changes_for(service, pods, &[]), &mut 0);
    expected.assert_eq(&show(&slices));
    assert_eq!(changes_for(service, pods, &slices), [], "not stable");
}

#[test]
fn conditions_follow_the_pods() {
    let terminating = json!({ "/metadata": { "name": "p009", "namespace": "n", "uid": "u9",
        "labels": { "app": "web" }, "deletionTimestamp": "2026-01-01T00:00:00Z" } });
    let pods = [
        pod(1, true, json!({})),
        pod(2, false, json!({})),
        pod(9, true, terminating),
        pod(4, true, json!({ "/status/phase": "Failed" })),
        pod(5, true, json!({ "/status/podIP": "" })),
        pod(6, true, json!({ "/metadata/labels": { "app": "other" } })),
        pod(7, true, json!({ "/metadata/namespace": "other" })),
    ];
    check(
        &service(json!({})),
        &pods,
        &expect![[r#"
            web-1 IPv4 [http=8080/TCP]
              10.42.0.1 ready serving -
              10.42.0.2 - - -
              10.42.0.9 - serving terminating
        "#]],
    );
    check(
        &service(json!({ "publishNotReadyAddresses": true })),
        &pods[1..3],
        &expect![[r#"
            web-1 IPv4 [http=8080/TCP]
              10.42.0.2 ready - -
              10.42.0.9 ready serving terminating
        "#]],
    );
}

#[test]
fn without_pods_one_empty_slice_says_so() {
    check(
        &service(json!({})),
        &[],
        &expect![[r#"
            web-1 IPv4 []
        "#]],
    );
}

#[test]
fn pods_with_other_numbers_for_a_named_port_get_their_own_slice() {
    let other = json!({ "/spec/containers/0/ports/0/containerPort": 9090 });
    let unnamed = json!({ "/spec/containers/0/ports/0/name": "admin" });
    let pods = [pod(1, true, json!({})), pod(2, true, other), pod(3, true, unnamed)];
    check(
        &service(json!({})),
        &pods,
        &expect![[r#"
            web-1 IPv4 [http=8080/TCP]
              10.42.0.1 ready serving -
            web-2 IPv4 [http=9090/TCP]
              10.42.0.2 ready serving -
        "#]],
    );
}

#[test]
fn a_headless_service_without_ports_has_addresses() {
    check(
        &service(json!({ "clusterIP": "None", "ports": [] })),
        &[pod(1, true, json!({}))],
        &expect![[r#"
            web-1 IPv4 []
              10.42.0.1 ready serving -
        "#]],
    );
}

#[test]
fn each_family_has_its_own_slices() {
    let dual = json!({ "/status": { "podIP": "10.42.0.1", "phase": "Running",
        "podIPs": [{ "ip": "10.42.0.1" }, { "ip": "fd00::1" }],
        "conditions": [{ "type": "Ready", "status": "True" }] } });
    check(
        &service(json!({ "ipFamilies": ["IPv4", "IPv6"] })),
        &[pod(1, true, dual)],
        &expect![[r#"
            web-1 IPv4 [http=8080/TCP]
              10.42.0.1 ready serving -
            web-2 IPv6 [http=8080/TCP]
              fd00::1 ready serving -
        "#]],
    );
}

#[test]
fn slices_hold_at_most_a_hundred_and_change_little() {
    let service = service(json!({}));
    let mut pods: Vec<Arc<Pod>> = (0..250).map(|at| pod(at, true, json!({}))).collect();
    let (mut slices, mut made) = (Vec::new(), 0);
    apply(&mut slices, changes_for(&service, &pods, &[]), &mut made);
    let sizes = |slices: &[Arc<EndpointSlice>]| -> Vec<usize> {
        slices.iter().map(|slice| slice.endpoints.as_ref().unwrap().len()).collect()
    };
    assert_eq!(sizes(&slices), [100, 100, 50]);
    // One pod becomes unready: one slice changes.
    pods[7] = pod(7, false, json!({}));
    let changes = changes_for(&service, &pods, &slices);
    assert!(matches!(changes.as_slice(), [Change::Update(_)]), "{changes:?}");
    apply(&mut slices, changes, &mut made);
    // Pods go and come: the gaps are filled.
    pods.drain(..30);
    pods.extend((250..290).map(|at| pod(at, true, json!({}))));
    let changes = changes_for(&service, &pods, &slices);
    assert!(changes.iter().all(|change| matches!(change, Change::Update(_))), "{changes:?}");
    apply(&mut slices, changes, &mut made);
    assert_eq!(sizes(&slices).iter().sum::<usize>(), 260);
    assert!(sizes(&slices).iter().all(|size| *size <= ENDPOINTS_MAX));
    // All go: one empty slice remains.
    let changes = changes_for(&service, &[], &slices);
    apply(&mut slices, changes, &mut made);
    assert_eq!(sizes(&slices), [0]);
    assert_eq!(changes_for(&service, &[], &slices), []);
}

#[test]
fn labels_name_the_service_and_its_manager() {
    let service = service(json!({ "clusterIP": "None" }));
    let labels = labels(&service);
    expect![[r#"{"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"web","service.kubernetes.io/headless":"","team":"a"}"#]]
    .assert_eq(&serde_json::to_string(&labels).unwrap());
}

#[test]
fn hints_follow_the_traffic_distribution() {
    let pods = [pod(1, true, json!({}))];
    let hints = |distribution: &str| -> Value {
        let service = service(json!({ "trafficDistribution": distribution }));
        let mut slices = Vec::new();
        apply(&mut slices, changes_for(&service, &pods, &[]), &mut 0);
        serde_json::to_value(&slices[0].endpoints.as_ref().unwrap()[0].hints).unwrap()
    };
    assert_eq!(hints("PreferClose"), json!({ "forZones": [{ "name": "zone1" }] }));
    assert_eq!(
        hints("PreferSameNode"),
        json!({ "forNodes": [{ "name": "node1" }], "forZones": [{ "name": "zone1" }] })
    );
}

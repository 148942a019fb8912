use std::sync::Arc;

use expect_test::expect;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::*;
use crate::service_endpoints::backends;

fn service() -> Service {
    serde_json::from_value(json!({
        "metadata": { "name": "web", "namespace": "n", "uid": "s" },
        "spec": { "clusterIP": "10.43.0.5", "selector": { "app": "web" },
            "ports": [{ "port": 80, "targetPort": 8080 }] },
    }))
    .unwrap()
}

fn pod(number: usize, ready: bool, deleted: bool) -> Arc<Pod> {
    let ip = format!("10.42.{}.{}", number / 250, number % 250);
    let pod = json!({
        "metadata": { "name": format!("p{number}"), "namespace": "n", "uid": format!("u{number}"),
            "labels": { "app": "web" },
            "deletionTimestamp": deleted.then_some("2026-01-01T00:00:00Z") },
        "spec": { "nodeName": "node1", "containers": [] },
        "status": { "podIP": ip, "phase": "Running",
            "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }] },
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}

#[test]
fn ready_and_other_pods_are_listed_apart_and_ending_ones_not_at_all() {
    let service = service();
    let backends =
        backends(&service, [pod(1, true, false), pod(2, false, false), pod(3, true, true)]);
    let made = change(&service, &backends, None).unwrap();
    expect![[r#"[{"addresses":[{"ip":"10.42.0.1","nodeName":"node1","targetRef":{"kind":"Pod","name":"p1","namespace":"n","uid":"u1"}}],"notReadyAddresses":[{"ip":"10.42.0.2","nodeName":"node1","targetRef":{"kind":"Pod","name":"p2","namespace":"n","uid":"u2"}}],"ports":[{"port":8080,"protocol":"TCP"}]}]"#]]
    .assert_eq(&serde_json::to_string(&made.subsets).unwrap());
    assert!(is_ours(&made));
    assert_eq!(change(&service, &backends, Some(&made)), None);
}

#[test]
fn too_many_addresses_are_cut_ready_ones_last() {
    let service = service();
    let pods = (0..1100).map(|number| pod(number, number >= 200, false));
    let made = change(&service, &backends(&service, pods), None).unwrap();
    let subset = &made.subsets.as_ref().unwrap()[0];
    assert_eq!(subset.addresses.as_ref().unwrap().len(), 900);
    assert_eq!(subset.not_ready_addresses.as_ref().unwrap().len(), 100);
    assert_eq!(made.metadata.annotations.unwrap()[OVER_CAPACITY], "truncated");
}

#[test]
fn without_pods_the_object_is_empty_but_there() {
    let service = service();
    let made = change(&service, &[], None).unwrap();
    assert_eq!(made.subsets, None);
    assert_eq!(change(&service, &[], Some(&made)), None);
}

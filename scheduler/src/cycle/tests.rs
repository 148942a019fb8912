use std::sync::Arc;

use expect_test::{Expect, expect};
use rand::SeedableRng as _;
use serde_json::{Value, json};

use super::*;
use crate::plugins::ignored_preferences;

fn chance() -> Chance {
    Chance { start: 0, rng: StdRng::seed_from_u64(7), percentage: 0 }
}

fn node(name: &str, cpu: &str, patch: Value) -> Value {
    let mut node = json!({
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
        "spec": {},
        "status": { "allocatable": {
            "cpu": cpu, "memory": "4Gi", "pods": "10", "ephemeral-storage": "10Gi", "example.com/gpu": "1",
        } },
    });
    json_patch(&mut node, &patch);
    node
}

fn json_patch(to: &mut Value, patch: &Value) {
    match (to, patch) {
        (Value::Object(to), Value::Object(patch)) => {
            for (key, value) in patch {
                json_patch(to.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (to, patch) => *to = patch.clone(),
    }
}

fn pod(name: &str, requests: Value, spec: Value) -> Arc<PodInfo> {
    let container = json!({ "name": "c", "resources": { "requests": requests } });
    let mut pod = json!({
        "metadata": { "name": name, "namespace": "default", "uid": name },
        "spec": { "containers": [container] },
    });
    json_patch(&mut pod["spec"], &spec);
    Arc::new(PodInfo::new(Arc::new(serde_json::from_value(pod).unwrap())).unwrap())
}

fn cluster(nodes: &[Value]) -> Cluster {
    let mut cluster = Cluster::default();
    for node in nodes {
        cluster.apply_node(Arc::new(serde_json::from_value(node.clone()).unwrap())).unwrap();
    }
    cluster
}

fn check(cluster: &Cluster, pod: &PodInfo, expected: &Expect) {
    let outcome = match schedule(cluster, pod, &mut chance()) {
        Outcome::Node(node) => format!("-> {node}"),
        Outcome::Unschedulable(diagnosis) => diagnosis.to_string(),
    };
    expected.assert_eq(&outcome);
}

#[test]
fn without_nodes() {
    let expected = expect!["no nodes available to schedule pods"];
    check(&cluster(&[]), &pod("p", json!({}), json!({})), &expected);
}

#[test]
fn resources_that_are_short_are_named() {
    let mut short = cluster(&[node("a", "1", json!({})), node("b", "500m", json!({}))]);
    short.apply_pod(pod("other", json!({ "cpu": "800m" }), json!({})), "a");
    check(
        &short,
        &pod("p", json!({ "cpu": "900m", "memory": "5Gi" }), json!({})),
        &expect![
            "0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient memory. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
        ],
    );
    check(
        &short,
        &pod("p", json!({ "cpu": "600m" }), json!({})),
        &expect![
            "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."
        ],
    );
    check(
        &short,
        &pod("p", json!({ "cpu": "600m" }), json!({ "priority": 10 })),
        &expect![
            "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 1 Preemption is not helpful for scheduling, 1 Preemption of pods with a lower priority is not supported."
        ],
    );
    check(
        &short,
        &pod("p", json!({ "cpu": "600m" }), json!({ "preemptionPolicy": "Never" })),
        &expect![
            "0/2 nodes are available: 2 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."
        ],
    );
    check(
        &short,
        &pod("p", json!({ "example.com/gpu": "2", "ephemeral-storage": "1Gi" }), json!({})),
        &expect![
            "0/2 nodes are available: 2 Insufficient example.com/gpu. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
        ],
    );
    check(&short, &pod("p", json!({ "cpu": "200m" }), json!({})), &expect!["-> b"]);
}

#[test]
fn a_node_takes_only_so_many_pods() {
    let full = node("a", "1", json!({ "status": { "allocatable": { "pods": "1" } } }));
    let mut full = cluster(&[full]);
    full.apply_pod(pod("other", json!({}), json!({})), "a");
    check(
        &full,
        &pod("p", json!({}), json!({})),
        &expect![
            "0/1 nodes are available: 1 Too many pods. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
        ],
    );
    let waits = pod("p", json!({}), json!({}));
    full.remove_pod(&crate::pod::PodUid("other".to_owned()));
    check(&full, &waits, &expect!["-> a"]);
}

#[test]
fn taints_and_cordons_repel() {
    let tainted = node(
        "a",
        "1",
        json!({ "spec": { "taints": [{ "key": "k", "value": "v", "effect": "NoSchedule" }] } }),
    );
    let cordoned = node("b", "1", json!({ "spec": { "unschedulable": true } }));
    let repelling = cluster(&[tainted, cordoned]);
    check(
        &repelling,
        &pod("p", json!({}), json!({})),
        &expect![
            "0/2 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
        ],
    );
    let equal = json!({ "tolerations": [{ "key": "k", "value": "v" }] });
    check(&repelling, &pod("p", json!({}), equal), &expect!["-> a"]);
    let exists = json!({ "tolerations": [
        { "key": "node.kubernetes.io/unschedulable", "operator": "Exists" },
    ] });
    check(&repelling, &pod("p", json!({}), exists), &expect!["-> b"]);
    let wrong_effect = json!({ "tolerations": [
        { "key": "k", "operator": "Exists", "effect": "NoExecute" },
    ] });
    let outcome = schedule(&repelling, &pod("p", json!({}), wrong_effect), &mut chance());
    assert!(matches!(outcome, Outcome::Unschedulable(_)));
}

#[test]
fn a_soft_taint_is_avoided() {
    let soft = json!({ "spec": { "taints": [{ "key": "k", "effect": "PreferNoSchedule" }] } });
    let nodes = cluster(&[node("a", "1", soft), node("b", "1", json!({}))]);
    check(&nodes, &pod("p", json!({}), json!({})), &expect!["-> b"]);
}

#[test]
fn labels_select_nodes() {
    let zones = cluster(&[
        node("a", "1", json!({ "metadata": { "labels": { "zone": "x", "gen": "3" } } })),
        node("b", "1", json!({ "metadata": { "labels": { "zone": "y", "gen": "7" } } })),
    ]);
    let selector = |zone: &str| json!({ "nodeSelector": { "zone": zone } });
    check(&zones, &pod("p", json!({}), selector("y")), &expect!["-> b"]);
    check(
        &zones,
        &pod("p", json!({}), selector("z")),
        &expect![
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
        ],
    );
    let required = |term: Value| {
        json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution":
            { "nodeSelectorTerms": [term] } } } })
    };
    let expression = |key: &str, operator: &str, values: &[&str]| {
        let one = json!({ "key": key, "operator": operator, "values": values });
        required(json!({ "matchExpressions": [one] }))
    };
    let on = |spec: Value| pod("p", json!({}), spec);
    check(&zones, &on(expression("gen", "Gt", &["5"])), &expect!["-> b"]);
    check(&zones, &on(expression("gen", "Lt", &["5"])), &expect!["-> a"]);
    check(&zones, &on(expression("zone", "NotIn", &["x"])), &expect!["-> b"]);
    check(&zones, &on(expression("zone", "In", &["x", "z"])), &expect!["-> a"]);
    let field = json!({ "key": "metadata.name", "operator": "In", "values": ["b"] });
    check(&zones, &on(required(json!({ "matchFields": [field] }))), &expect!["-> b"]);
    assert!(matches!(
        schedule(&zones, &on(required(json!({}))), &mut chance()),
        Outcome::Unschedulable(_)
    ));
    let preferred = json!({ "affinity": { "nodeAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 1, "preference":
            { "matchExpressions": [{ "key": "zone", "operator": "In", "values": ["x"] }] } }],
    } } });
    check(&zones, &on(preferred), &expect!["-> a"]);
}

#[test]
fn ports_of_the_host_are_taken_once() {
    let port = |ip: &str| {
        json!({ "containers": [{ "name": "c", "ports":
            [{ "containerPort": 80, "hostPort": 8080, "hostIP": ip }] }] })
    };
    let mut one = cluster(&[node("a", "1", json!({}))]);
    one.apply_pod(pod("other", json!({}), port("127.0.0.1")), "a");
    check(&one, &pod("p", json!({}), port("127.0.0.2")), &expect!["-> a"]);
    check(
        &one,
        &pod("p", json!({}), port("")),
        &expect![
            "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
        ],
    );
}

#[test]
fn what_is_not_honoured_is_refused_by_name() {
    let one = cluster(&[node("a", "1", json!({}))]);
    let spec = json!({
        "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution":
            [{ "topologyKey": "kubernetes.io/hostname" }] } },
        "topologySpreadConstraints": [
            { "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule" },
        ],
        "resourceClaims": [{ "name": "gpu" }],
        "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "data" } }],
    });
    check(
        &one,
        &pod("p", json!({}), spec),
        &expect![
            "0/1 nodes are available: the pod demands what this scheduler does not support: spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution, spec.topologySpreadConstraints[0].whenUnsatisfiable=DoNotSchedule, spec.resourceClaims, spec.volumes[0].persistentVolumeClaim. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        ],
    );
}

#[test]
fn preferences_that_are_not_honoured_are_named_but_do_not_hinder() {
    let one = cluster(&[node("a", "1", json!({}))]);
    let spec = json!({
        "affinity": { "podAffinity": { "preferredDuringSchedulingIgnoredDuringExecution":
            [{ "weight": 1, "podAffinityTerm": { "topologyKey": "zone" } }] } },
        "topologySpreadConstraints": [
            { "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway" },
        ],
    });
    let pod = pod("p", json!({}), spec);
    check(&one, &pod, &expect!["-> a"]);
    expect![[r#"
        [
            "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution",
            "spec.topologySpreadConstraints[0]",
        ]
    "#]]
    .assert_debug_eq(&ignored_preferences(pod.spec().unwrap()));
}

#[test]
fn the_emptier_node_is_chosen() {
    let mut two = cluster(&[node("a", "2", json!({})), node("b", "2", json!({}))]);
    two.apply_pod(pod("other", json!({ "cpu": "1", "memory": "2Gi" }), json!({})), "a");
    check(
        &two,
        &pod("p", json!({ "cpu": "100m", "memory": "200Mi" }), json!({})),
        &expect!["-> b"],
    );
}

#[test]
fn a_large_cluster_is_sampled_in_turns() {
    let nodes: Vec<Value> = (0..300).map(|at| node(&format!("n{at}"), "1", json!({}))).collect();
    let cluster = cluster(&nodes);
    let mut chance = chance();
    let pod = pod("p", json!({}), json!({}));
    let mut seen = BTreeSet::new();
    for _ in 0..30 {
        if let Outcome::Node(name) = schedule(&cluster, &pod, &mut chance) {
            seen.insert(name[1..].parse::<usize>().unwrap() / 100);
        }
    }
    assert_eq!(seen, BTreeSet::from([0, 1, 2]));
    assert_eq!(sample_size(300, 0), 144);
    assert_eq!(sample_size(5000, 0), 500);
    assert_eq!(sample_size(5000, 100), 5000);
}

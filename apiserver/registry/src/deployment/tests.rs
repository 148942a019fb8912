use corten_api_k8s::kinds;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;
use crate::{lifecycle, scale};

fn kind() -> &'static kinds::Kind {
    kinds::by_resource("apps", "v1", "deployments").unwrap()
}

fn manifest() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:1"}]},
            },
        },
    })
}

fn created() -> Value {
    let mut object = manifest();
    lifecycle::default(kind(), &mut object);
    lifecycle::before_create(kind(), &mut object).unwrap();
    object
}

fn check(changes: &[(&str, Value)], expected: &Expect) {
    let mut object = manifest();
    for (field, value) in changes {
        object["spec"][field] = value.clone();
    }
    lifecycle::default(kind(), &mut object);
    let shown = match lifecycle::before_create(kind(), &mut object) {
        Ok(()) => "ok".to_owned(),
        Err(status) => status.message,
    };
    expected.assert_eq(&shown);
}

#[test]
fn defaults() {
    let spec = created()["spec"].clone();
    assert_eq!(spec["replicas"], 1);
    assert_eq!(
        spec["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}})
    );
    assert_eq!(
        (&spec["revisionHistoryLimit"], &spec["progressDeadlineSeconds"]),
        (&json!(10), &json!(600))
    );
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["containers"][0]["imagePullPolicy"], "IfNotPresent");
    // Only a pod has these, not a template.
    assert_eq!(pod.get("enableServiceLinks"), None);
}

#[test]
fn validation() {
    check(&[], &expect!["ok"]);
    check(
        &[("replicas", json!(-1))],
        &expect![[
            r#"Deployment.apps "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"#
        ]],
    );
    check(
        &[("selector", json!({"matchLabels": {"app": "db"}}))],
        &expect![[
            r#"Deployment.apps "web" is invalid: spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`"#
        ]],
    );
    check(
        &[("selector", Value::Null)],
        &expect![[
            r#"Deployment.apps "web" is invalid: [spec.selector: Required value, spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`]"#
        ]],
    );
    check(
        &[("selector", json!({}))],
        &expect![[
            r#"Deployment.apps "web" is invalid: spec.selector: Invalid value: {}: empty selector is invalid for deployment"#
        ]],
    );
    check(
        &[("strategy", json!({"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}))],
        &expect![[
            r#"Deployment.apps "web" is invalid: spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"#
        ]],
    );
    check(
        &[
            ("strategy", json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}})),
            ("minReadySeconds", json!(700)),
        ],
        &expect![[
            r#"Deployment.apps "web" is invalid: [spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0, spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds]"#
        ]],
    );
    check(
        &[("strategy", json!({"rollingUpdate": {"maxSurge": "many", "maxUnavailable": "101%"}}))],
        &expect![[
            r#"Deployment.apps "web" is invalid: [spec.strategy.rollingUpdate.maxSurge: Invalid value: "many": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%'), spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%]"#
        ]],
    );
    check(
        &[(
            "template",
            json!({"metadata": {"labels": {"app": "web"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "web"}]}}),
        )],
        &expect![[
            r#"Deployment.apps "web" is invalid: [spec.template.spec.containers[0].image: Required value, spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"]"#
        ]],
    );
}

#[test]
fn generation_counts_what_rollout_reads() {
    let old = created();
    let generation = |change: &dyn Fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new);
        lifecycle::before_update(kind(), &mut new, &old).unwrap();
        new["metadata"]["generation"].as_i64().unwrap()
    };
    assert_eq!(generation(&|_| {}), 1);
    assert_eq!(generation(&|d| d["spec"]["replicas"] = json!(2)), 2);
    assert_eq!(generation(&|d| d["metadata"]["annotations"] = json!({"a": "b"})), 2);
    assert_eq!(generation(&|d| d["metadata"]["labels"] = json!({"a": "b"})), 1);
    assert_eq!(generation(&|d| d["metadata"]["generation"] = json!(77)), 1);
    assert_eq!(generation(&|d| d["status"] = json!({"replicas": 5})), 1);
}

#[test]
fn the_selector_never_changes() {
    let old = created();
    let mut new = old.clone();
    new["spec"]["selector"] = json!({"matchLabels": {"app": "db"}});
    new["spec"]["template"]["metadata"]["labels"] = json!({"app": "db"});
    let status = lifecycle::before_update(kind(), &mut new, &old).unwrap_err();
    expect![[r#"Deployment.apps "web" is invalid: spec.selector: Invalid value: {"matchLabels":{"app":"db"}}: field is immutable"#]]
        .assert_eq(&status.message);
}

#[test]
fn a_status_update_changes_only_the_status() {
    let old = created();
    let mut new = old.clone();
    new["spec"]["replicas"] = json!(9);
    new["metadata"]["labels"] = json!({"x": "y"});
    new["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "1"});
    new["status"] = json!({"replicas": 1, "observedGeneration": 1});
    lifecycle::before_status_update(kind(), &mut new, &old).unwrap();
    assert_eq!(new["spec"], old["spec"]);
    assert_eq!(new["metadata"].get("labels"), None);
    assert_eq!(new["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    assert_eq!(new["metadata"]["generation"], 1);
    assert_eq!(new["status"]["replicas"], 1);
    new["status"] = json!({"replicas": 1, "readyReplicas": 2});
    let status = lifecycle::before_status_update(kind(), &mut new, &old).unwrap_err();
    expect![[r#"Deployment.apps "web" is invalid: status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"#]]
        .assert_eq(&status.message);
}

#[test]
fn scaling() {
    let mut object = created();
    object["metadata"]["resourceVersion"] = json!("7");
    object["status"] = json!({"replicas": 1});
    let mut wanted = scale::read(kind(), &object).unwrap();
    expect![[r#"{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"web","namespace":"default","resourceVersion":"7"},"spec":{"replicas":1},"status":{"replicas":1,"selector":"app=web"}}"#]]
        .assert_eq(&wanted.to_string());
    wanted["spec"]["replicas"] = json!(5);
    assert_eq!(scale::write(kind(), &object, &wanted).unwrap()["spec"]["replicas"], 5);
    wanted["spec"]["replicas"] = json!(-5);
    expect![[r#"Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -5: must be greater than or equal to 0"#]]
        .assert_eq(&scale::write(kind(), &object, &wanted).unwrap_err().message);
}

#[test]
fn row() {
    let mut object = created();
    object["status"] = json!({"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 3});
    object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let now = "2026-01-01T00:05:00Z".parse().unwrap();
    expect![[r#"["web","1/1",2,3,"5m","web","web:1","app=web"]"#]]
        .assert_eq(&Value::from(Deployment.row(&object, now)).to_string());
}

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::schema;

fn deployment() -> Value {
    json!({"metadata": {"name": "web", "labels": {"a": "1"}}, "spec": {
        "replicas": 3,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
        "template": {"spec": {
            "containers": [
                {"name": "web", "image": "web:1", "ports": [{"containerPort": 80, "protocol": "TCP"}],
                 "env": [{"name": "A", "value": "1"}]},
                {"name": "log", "image": "log:1"},
            ],
            "tolerations": [{"key": "x"}],
        }},
    }})
}

fn check(patch: Value, pointer: &str, expected: &Expect) {
    let ty = schema::by_gvk("apps", "v1", "Deployment").unwrap();
    let shown = match strategic(ty, &deployment(), patch) {
        Ok(value) => value.pointer(pointer).unwrap_or(&Value::Null).to_string(),
        Err(status) => format!("{}: {status}", status.code),
    };
    expected.assert_eq(&shown);
}

fn containers(patch: impl Into<Value>) -> Value {
    json!({"spec": {"template": {"spec": patch.into()}}})
}

const CONTAINERS: &str = "/spec/template/spec/containers";

#[test]
fn lists_merge_by_key() {
    check(
        containers(json!({"containers": [{"name": "log", "image": "log:2"}]})),
        CONTAINERS,
        &expect![[
            r#"[{"name":"web","image":"web:1","ports":[{"containerPort":80,"protocol":"TCP"}],"env":[{"name":"A","value":"1"}]},{"name":"log","image":"log:2"}]"#
        ]],
    );
    check(
        containers(
            json!({"containers": [{"name": "web", "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 81}]}]}),
        ),
        "/spec/template/spec/containers/0/ports",
        &expect![[r#"[{"containerPort":80,"protocol":"TCP","name":"http"},{"containerPort":81}]"#]],
    );
    check(
        containers(json!({"containers": [{"image": "x"}]})),
        "",
        &expect![[
            r#"422: the server rejected our request due to an error in our request: map: {"image":"x"} does not contain declared merge key: name (in containers)"#
        ]],
    );
}

#[test]
fn directives() {
    check(
        containers(json!({"containers": [{"name": "web", "$patch": "delete"}]})),
        CONTAINERS,
        &expect![[r#"[{"name":"log","image":"log:1"}]"#]],
    );
    check(
        containers(json!({"containers": [{"$patch": "replace"}, {"name": "one", "image": "i"}]})),
        CONTAINERS,
        &expect![[r#"[{"name":"one","image":"i"}]"#]],
    );
    check(
        json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
        "/spec/strategy",
        &expect![[r#"{"type":"Recreate"}"#]],
    );
    check(
        json!({"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}}}),
        "/spec/strategy",
        &expect![[r#"{"type":"Recreate"}"#]],
    );
    check(
        json!({"spec": {"strategy": {"$patch": "remove"}}}),
        "",
        &expect![[
            r#"400: error decoding patch: unknown patch type "remove": it must be delete, replace or merge"#
        ]],
    );
    check(
        json!({"metadata": {"labels": {"a": null, "b": "2"}}}),
        "/metadata/labels",
        &expect![[r#"{"b":"2"}"#]],
    );
}

#[test]
fn element_order() {
    let names = |patch: Value| {
        let ty = schema::by_gvk("apps", "v1", "Deployment").unwrap();
        let out = strategic(ty, &deployment(), containers(patch)).unwrap();
        let list = out.pointer(CONTAINERS).unwrap().as_array().unwrap().clone();
        list.iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        names(json!({"$setElementOrder/containers": [{"name": "log"}, {"name": "web"}]})),
        ["log", "web"]
    );
    assert_eq!(
        names(json!({
            "$setElementOrder/containers": [{"name": "new"}, {"name": "log"}],
            "containers": [{"name": "new", "image": "n"}],
        })),
        // `web`, which the patch does not know, keeps its place before `log`.
        ["new", "web", "log"]
    );
    check(
        containers(json!({
            "$setElementOrder/containers": [{"name": "web"}, {"name": "log"}],
            "containers": [{"name": "log", "image": "l"}, {"name": "web", "image": "w"}],
        })),
        "",
        &expect![
            "400: error decoding patch: the order in patch list containers doesn't match $setElementOrder/containers"
        ],
    );
}

#[test]
fn primitive_lists() {
    let ty = schema::by_gvk("", "v1", "Pod").unwrap();
    let pod =
        json!({"metadata": {"finalizers": ["a", "b"]}, "spec": {"tolerations": [{"key": "x"}]}});
    let out = strategic(ty, &pod, json!({"metadata": {"finalizers": ["c"]}})).unwrap();
    let sorted = |v: &Value| {
        let mut list: Vec<String> = v["metadata"]["finalizers"]
            .as_array()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        list.sort();
        list.join(",")
    };
    assert_eq!(sorted(&out), r#""a","b","c""#);
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}});
    let out = strategic(ty, &pod, patch).unwrap();
    assert_eq!(sorted(&out), r#""b""#);
    // Tolerations are atomic: replaced.
    let out = strategic(ty, &pod, json!({"spec": {"tolerations": [{"key": "y"}]}})).unwrap();
    assert_eq!(out["spec"]["tolerations"], json!([{"key": "y"}]));
}

#[test]
fn service_ports_merge_by_port() {
    let ty = schema::by_gvk("", "v1", "Service").unwrap();
    let service = json!({"spec": {"ports": [{"port": 80, "nodePort": 30080}]}});
    let patch = json!({"spec": {"ports": [{"port": 80, "targetPort": 8080}]}});
    let out = strategic(ty, &service, patch).unwrap();
    assert_eq!(out["spec"]["ports"], json!([{"port": 80, "nodePort": 30080, "targetPort": 8080}]));
}

#[test]
fn new_values_carry_no_directives() {
    check(
        json!({"spec": {"template": {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name"], "emptyDir": {"x": null}}, {"name": "w", "$patch": "delete"}]}}}}),
        "/spec/template/spec/volumes",
        &expect![[r#"[{"name":"v","emptyDir":{}}]"#]],
    );
}

#[test]
fn json_patch() {
    let apply = |patch: Value| match json(&deployment(), patch) {
        Ok(value) => value["spec"]["replicas"].to_string(),
        Err(status) => format!("{}: {status}", status.code),
    };
    assert_eq!(apply(json!([{"op": "replace", "path": "/spec/replicas", "value": 5}])), "5");
    expect!["422: the server rejected our request due to an error in our request: operation 0: path is invalid"]
        .assert_eq(&apply(json!([{"op": "remove", "path": "/spec/nope"}])));
    expect!["422: the server rejected our request due to an error in our request: operation 0: value did not match"]
        .assert_eq(&apply(json!([{"op": "test", "path": "/spec/replicas", "value": 4}])));
    assert!(apply(json!({"op": "x"})).starts_with("400: error decoding patch: "));
}

#[test]
fn json_patch_copies_are_bounded() {
    let doubling: Vec<Value> = (0..64)
        .map(|i| json!({"op": "copy", "from": "/spec", "path": format!("/spec/x{i}")}))
        .collect();
    let status = json(&deployment(), Value::Array(doubling)).unwrap_err();
    assert_eq!(status.code, 413);
}

#[test]
fn merge_patch() {
    let out = merge(
        &deployment(),
        &json!({"spec": {"replicas": null, "template": {"spec": {"containers": []}}}}),
    )
    .unwrap();
    assert_eq!(out["spec"].get("replicas"), None);
    assert_eq!(out.pointer(CONTAINERS), Some(&json!([])));
    assert_eq!(merge(&deployment(), &json!([])).unwrap_err().code, 400);
}

fn containers_list() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::btree_map("[a-e]", "[x-z]", 0..5).prop_map(|map| {
        map.into_iter().map(|(name, image)| json!({"name": name, "image": image})).collect()
    })
}

proptest! {
    #[test]
    fn strategic_is_idempotent(old in containers_list(), new in containers_list()) {
        let ty = schema::by_gvk("", "v1", "Pod").unwrap();
        let pod = json!({"spec": {"containers": old}});
        let patch = json!({"spec": {"containers": new}});
        let once = strategic(ty, &pod, patch.clone()).unwrap();
        prop_assert_eq!(strategic(ty, &once, patch).unwrap(), once.clone());
        // Every element of the patch is there, and nothing of the original is lost.
        let merged = once["spec"]["containers"].as_array().unwrap();
        for element in &new {
            prop_assert!(merged.contains(element));
        }
        for element in &old {
            prop_assert!(merged.iter().any(|m| m["name"] == element["name"]));
        }
    }

    #[test]
    fn the_patch_with_order_gives_that_order(old in containers_list(), mut new in containers_list(), reverse: bool) {
        if reverse {
            new.reverse();
        }
        let ty = schema::by_gvk("", "v1", "Pod").unwrap();
        let order: Vec<Value> = new.iter().map(|e| json!({"name": e["name"]})).collect();
        let gone: Vec<Value> = old.iter().filter(|o| !new.iter().any(|n| n["name"] == o["name"]))
            .map(|o| json!({"name": o["name"], "$patch": "delete"})).collect();
        let elements: Vec<Value> = new.iter().cloned().chain(gone).collect();
        let patch = json!({"spec": {"$setElementOrder/containers": order, "containers": elements}});
        let out = strategic(ty, &json!({"spec": {"containers": old}}), patch).unwrap();
        prop_assert_eq!(&out["spec"]["containers"], &Value::Array(new));
    }

    #[test]
    fn an_empty_patch_changes_nothing(old in containers_list()) {
        let ty = schema::by_gvk("", "v1", "Pod").unwrap();
        let pod = json!({"spec": {"containers": old}});
        prop_assert_eq!(strategic(ty, &pod, json!({})).unwrap(), pod.clone());
        prop_assert_eq!(merge(&pod, &json!({})).unwrap(), pod);
    }
}

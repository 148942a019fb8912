use std::borrow::Borrow;

use corten_api_k8s::kinds;
use corten_api_k8s::selector::FieldSelector;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;
use crate::lifecycle;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

/// Ready, status and restarts of a pod with that spec and status.
fn check(pod: impl Borrow<Value>, expected: &Expect) {
    let row = Pod.row(pod.borrow(), now());
    let cells: Vec<String> = row
        .iter()
        .take(4)
        .skip(1)
        .map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned))
        .collect();
    expected.assert_eq(&cells.join(" | "));
}

fn pod(status: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}]},
    });
    pod["status"] = status;
    pod
}

#[test]
fn status_of_running_pods() {
    check(pod(json!({"phase": "Pending"})), &expect!["0/2 | Pending | 0"]);
    check(pod(json!({"phase": "Failed", "reason": "Evicted"})), &expect!["0/2 | Evicted | 0"]);
    let running = json!({"name": "a", "ready": true, "restartCount": 3, "state": {"running": {}},
        "lastState": {"terminated": {"finishedAt": "2026-01-01T00:57:00Z"}}});
    check(
        pod(
            json!({"phase": "Running", "containerStatuses": [running.clone(), {"name": "b", "ready": false, "restartCount": 0, "state": {"running": {}}}]}),
        ),
        &expect!["1/2 | Running | 3 (3m ago)"],
    );
    check(
        pod(
            json!({"phase": "Running", "containerStatuses": [running, {"name": "b", "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
        ),
        &expect!["1/2 | CrashLoopBackOff | 7 (3m ago)"],
    );
    check(
        pod(
            json!({"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"reason": "Completed", "exitCode": 0}}}]}),
        ),
        &expect!["0/2 | Completed | 0"],
    );
    check(
        pod(
            json!({"phase": "Running", "containerStatuses": [{"state": {"terminated": {"signal": 9, "exitCode": 137}}}]}),
        ),
        &expect!["0/2 | Signal:9 | 0"],
    );
    check(
        pod(
            json!({"phase": "Running", "containerStatuses": [{"state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]}),
        ),
        &expect!["0/2 | OOMKilled | 0"],
    );
}

#[test]
fn status_when_one_of_two_is_done() {
    let status = |ready: &str| {
        pod(json!({
            "phase": "Running", "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [
                {"state": {"terminated": {"reason": "Completed", "exitCode": 0}}},
                {"ready": true, "state": {"running": {}}},
            ],
        }))
    };
    check(status("True"), &expect!["1/2 | Running | 0"]);
    check(status("False"), &expect!["1/2 | NotReady | 0"]);
}

#[test]
fn status_of_initializing_pods() {
    let with_init = |statuses: Value| {
        let mut pod = pod(json!({"phase": "Pending", "initContainerStatuses": statuses}));
        pod["spec"]["initContainers"] =
            json!([{"name": "i"}, {"name": "j"}, {"name": "s", "restartPolicy": "Always"}]);
        pod
    };
    let done = json!({"name": "i", "state": {"terminated": {"exitCode": 0}}});
    check(
        with_init(json!([{"name": "i", "state": {"running": {}}}])),
        &expect!["0/3 | Init:0/3 | 0"],
    );
    check(
        with_init(
            json!([done.clone(), {"name": "j", "state": {"waiting": {"reason": "PodInitializing"}}}]),
        ),
        &expect!["0/3 | Init:1/3 | 0"],
    );
    check(
        with_init(
            json!([{"name": "i", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]),
        ),
        &expect!["0/3 | Init:CrashLoopBackOff | 2"],
    );
    check(
        with_init(json!([{"name": "i", "state": {"terminated": {"exitCode": 2}}}])),
        &expect!["0/3 | Init:ExitCode:2 | 0"],
    );
    check(
        with_init(
            json!([done, {"name": "j", "state": {"terminated": {"exitCode": 0}}}, {"name": "s", "started": true, "ready": true, "state": {"running": {}}}]),
        ),
        &expect!["1/3 | Pending | 0"],
    );
}

#[test]
fn status_of_pods_being_deleted() {
    let mut deleted = pod(json!({"phase": "Running"}));
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:59:00Z");
    check(deleted.clone(), &expect!["0/2 | Terminating | 0"]);
    deleted["status"]["reason"] = json!("NodeLost");
    check(deleted, &expect!["0/2 | Unknown | 0"]);
    let gated = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]});
    check(pod(gated), &expect!["0/2 | SchedulingGated | 0"]);
}

fn created() -> Value {
    let kind = kinds::by_resource("", "v1", "pods").unwrap();
    let mut pod = json!({
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [{"name": "a", "image": "a:1"}], "tolerations": [{"key": "x", "operator": "Exists"}]},
        "status": {"phase": "Running", "podIP": "1.2.3.4"},
    });
    lifecycle::default(kind, &mut pod);
    lifecycle::before_create(kind, &mut pod).unwrap();
    pod
}

#[test]
fn a_new_pod_is_pending() {
    assert_eq!(created()["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
    assert_eq!(created()["metadata"]["generation"], 1);
}

#[test]
fn quality_of_service() {
    let class =
        |resources: Value| qos::class(&json!({"spec": {"containers": [{"resources": resources}]}}));
    assert_eq!(class(json!({})), "BestEffort");
    assert_eq!(class(json!({"requests": {"cpu": "1"}})), "Burstable");
    let all = json!({"cpu": "1", "memory": "1Gi"});
    assert_eq!(
        class(json!({"requests": all, "limits": {"cpu": "1000m", "memory": "1024Mi"}})),
        "Guaranteed"
    );
    assert_eq!(class(json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}})), "Burstable");
    assert_eq!(class(json!({"requests": {"example.com/gpu": "1"}})), "BestEffort");
}

fn check_update(pointer: &str, value: Value, expected: &Expect) {
    let kind = kinds::by_resource("", "v1", "pods").unwrap();
    let old = created();
    let mut new = old.clone();
    *new.pointer_mut(pointer).unwrap() = value;
    let shown = match lifecycle::before_update(kind, &mut new, &old) {
        Ok(()) => format!("generation {}", new["metadata"]["generation"]),
        Err(status) => status.message,
    };
    expected.assert_eq(&shown);
}

#[test]
fn what_may_change() {
    check_update("/spec/containers/0/image", json!("a:2"), &expect!["generation 2"]);
    check_update("/status/phase", json!("Failed"), &expect!["generation 1"]);
    check_update(
        "/spec/tolerations",
        json!([{"key": "x", "operator": "Exists"}, {"key": "y", "operator": "Exists"}]),
        &expect!["generation 2"],
    );
    check_update(
        "/spec/tolerations",
        json!([]),
        &expect![[
            r#"Pod "p" is invalid: spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"#
        ]],
    );
    check_update(
        "/spec/containers/0/name",
        json!("b"),
        &expect![[r#"
            Pod "p" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)
            changed: spec.containers[0].name"#]],
    );
    check_update(
        "/metadata/name",
        json!("q"),
        &expect![[r#"Pod "q" is invalid: metadata.name: Invalid value: "q": field is immutable"#]],
    );
}

#[test]
fn deletion() {
    let mut pod = created();
    assert_eq!(Pod.grace(&pod, None), Grace::Now);
    pod["spec"]["nodeName"] = json!("n");
    assert_eq!(Pod.grace(&pod, None), Grace::Seconds(30));
    assert_eq!(Pod.grace(&pod, Some(5)), Grace::Seconds(5));
    assert_eq!(Pod.grace(&pod, Some(0)), Grace::Now);
    assert_eq!(Pod.grace(&pod, Some(-1)), Grace::Seconds(1));
    meta::set_deletion(&mut pod, now(), Some(10));
    assert_eq!(Pod.grace(&pod, None), Grace::Seconds(10));
    pod["status"]["phase"] = json!("Succeeded");
    assert_eq!(Pod.grace(&pod, None), Grace::Now);
}

#[test]
fn field_selectors() {
    let kind = kinds::by_resource("", "v1", "pods").unwrap();
    let pod = created();
    let matches = |text: &str| {
        let selector: FieldSelector = text.parse().unwrap();
        lifecycle::check_field_selector(kind, &selector).unwrap();
        lifecycle::matches_fields(kind, &pod, &selector)
    };
    for text in [
        "spec.nodeName=",
        "status.phase=Pending",
        "spec.hostNetwork=false",
        "metadata.name=p,metadata.namespace!=x",
    ] {
        assert!(matches(text), "{text}");
    }
    assert!(!matches("status.phase!=Pending"));
    let unknown: FieldSelector = "spec.foo=1".parse().unwrap();
    let status = lifecycle::check_field_selector(kind, &unknown).unwrap_err();
    assert_eq!(
        (status.code, status.message.as_str()),
        (400, "field label not supported: spec.foo")
    );
}

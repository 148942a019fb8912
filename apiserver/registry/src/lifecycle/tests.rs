use corten_api_k8s::kinds;
use expect_test::{Expect, expect};
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::table::{IncludeObject, table};

fn kind(name: &str) -> &'static Kind {
    kinds::all().iter().find(|k| k.kind == name).unwrap()
}

/// Creates an object; shows what would be stored, or why not.
fn check(name: &str, object: Value, expected: &Expect) {
    let kind = kind(name);
    let mut object = object;
    default(kind, &mut object);
    let shown = match before_create(kind, &mut object) {
        Ok(()) => object.to_string(),
        Err(status) => status.message,
    };
    expected.assert_eq(&shown);
}

fn check_update(name: &str, old: &Value, new: &Value, expected: &Expect) {
    let (kind, mut new) = (kind(name), new.clone());
    let shown = match before_update(kind, &mut new, old) {
        Ok(()) => new.to_string(),
        Err(status) => status.message,
    };
    expected.assert_eq(&shown);
}

#[test]
fn metadata_is_validated() {
    check(
        "ConfigMap",
        json!({"metadata": {"namespace": "a"}}),
        &expect![[
            r#"ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required"#
        ]],
    );
    check(
        "ConfigMap",
        json!({"metadata": {"name": "A", "namespace": "a", "labels": {"a": "b c"}, "annotations": {"/x": "y"}, "ownerReferences": [{"kind": "Pod", "controller": true}], "finalizers": ["a b"]}}),
        &expect![[
            r#"ConfigMap "A" is invalid: [metadata.name: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'), metadata.labels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?'), metadata.annotations: Invalid value: "/x": prefix part must be non-empty, metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty, metadata.ownerReferences.name: Invalid value: "": must not be empty, metadata.ownerReferences.uid: Invalid value: "": must not be empty, metadata.finalizers: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')]"#
        ]],
    );
    check(
        "Node",
        json!({"metadata": {"name": "n", "namespace": "a"}}),
        &expect![[
            r#"Node "n" is invalid: metadata.namespace: Forbidden: not allowed on this type"#
        ]],
    );
    let huge = "x".repeat(300 << 10);
    check(
        "ConfigMap",
        json!({"metadata": {"name": "a", "namespace": "a", "annotations": {"a": huge}}}),
        &expect![[
            r#"ConfigMap "a" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes"#
        ]],
    );
}

#[test]
fn a_client_cannot_set_what_the_server_decides() {
    check(
        "Deployment",
        json!({"metadata": {"name": "a", "namespace": "a", "generation": 7, "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}},
            "status": {"replicas": 3}}),
        &expect![[
            r#"{"metadata":{"name":"a","namespace":"a","generation":1},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"a","image":"a:1","imagePullPolicy":"IfNotPresent","terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","resources":{}}],"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","terminationGracePeriodSeconds":30,"securityContext":{}}},"replicas":1,"revisionHistoryLimit":10,"progressDeadlineSeconds":600,"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":"25%","maxSurge":"25%"}}}}"#
        ]],
    );
}

#[test]
fn finalizers_of_what_is_being_deleted() {
    let old = json!({"metadata": {"name": "a", "namespace": "a", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x.y/z"]}});
    let mut new = old.clone();
    new["metadata"]["finalizers"] = json!([]);
    check_update(
        "ConfigMap",
        &old,
        &new,
        &expect![[
            r#"{"metadata":{"name":"a","namespace":"a","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":[]}}"#
        ]],
    );
    new["metadata"]["finalizers"] = json!(["x.y/z", "new"]);
    check_update(
        "ConfigMap",
        &old,
        &new,
        &expect![[
            r#"ConfigMap "a" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"new"}"#
        ]],
    );
}

#[test]
fn config_maps() {
    check(
        "ConfigMap",
        json!({"metadata": {"name": "a", "namespace": "a"}, "data": {"a b": "", "k": ""}, "binaryData": {"k": ""}}),
        &expect![[
            r#"ConfigMap "a" is invalid: [data[a b]: Invalid value: "a b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+'), data[k]: Invalid value: "k": duplicate of key present in binaryData]"#
        ]],
    );
    let old =
        json!({"metadata": {"name": "a", "namespace": "a"}, "immutable": true, "data": {"a": "1"}});
    let mut new = old.clone();
    new["data"]["a"] = json!("2");
    new["immutable"] = json!(false);
    check_update(
        "ConfigMap",
        &old,
        &new,
        &expect![[
            r#"ConfigMap "a" is invalid: [immutable: Forbidden: field is immutable when `immutable` is set, data: Forbidden: field is immutable when `immutable` is set]"#
        ]],
    );
    check(
        "ConfigMap",
        json!({"metadata": {"name": "a", "namespace": "a"}, "data": {"a": "x".repeat(2 << 20)}}),
        &expect![[r#"ConfigMap "a" is invalid: []: Too long: may not be more than 1048576 bytes"#]],
    );
}

#[test]
fn secrets() {
    check(
        "Secret",
        json!({"metadata": {"name": "a", "namespace": "a"}, "stringData": {"k": "v"}, "data": {"k": "b2xk"}}),
        &expect![[
            r#"{"metadata":{"name":"a","namespace":"a"},"data":{"k":"dg=="},"type":"Opaque"}"#
        ]],
    );
    check(
        "Secret",
        json!({"metadata": {"name": "a", "namespace": "a"}, "type": "kubernetes.io/tls", "data": {"tls.crt": ""}}),
        &expect![[r#"Secret "a" is invalid: data[tls.key]: Required value"#]],
    );
    check(
        "Secret",
        json!({"metadata": {"name": "a", "namespace": "a"}, "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "c2VjcmV0"}}),
        &expect![[
            r#"Secret "a" is invalid: data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": must be a JSON object"#
        ]],
    );
    let old = json!({"metadata": {"name": "a", "namespace": "a"}, "type": "Opaque"});
    let mut new = old.clone();
    new["type"] = json!("x");
    check_update(
        "Secret",
        &old,
        &new,
        &expect![[r#"Secret "a" is invalid: type: Invalid value: "x": field is immutable"#]],
    );
}

#[test]
fn namespaces() {
    check(
        "Namespace",
        json!({"metadata": {"name": "a"}}),
        &expect![[
            r#"{"metadata":{"name":"a","labels":{"kubernetes.io/metadata.name":"a"}},"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Active"}}"#
        ]],
    );
    check(
        "Namespace",
        json!({"metadata": {"name": "a.b"}}),
        &expect![[
            r#"Namespace "a.b" is invalid: metadata.name: Invalid value: "a.b": must not contain dots"#
        ]],
    );
    let old = json!({"metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
    let new = json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"finalizers": []}});
    check_update(
        "Namespace",
        &old,
        &new,
        &expect![[
            r#"{"metadata":{"name":"a","labels":{"x":"y"}},"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Active"}}"#
        ]],
    );
}

#[test]
fn nodes() {
    check(
        "Node",
        json!({"metadata": {"name": "n"}, "spec": {"podCIDR": "10.42.0.0/24"}, "status": {"capacity": {"cpu": "2"}}}),
        &expect![[
            r#"{"metadata":{"name":"n"},"spec":{"podCIDR":"10.42.0.0/24","podCIDRs":["10.42.0.0/24"]},"status":{"capacity":{"cpu":"2"},"allocatable":{"cpu":"2"}}}"#
        ]],
    );
    check(
        "Node",
        json!({"metadata": {"name": "n"}, "spec": {"podCIDRs": ["10.42.0.0"], "taints": [{"key": "a", "effect": "No"}, {"key": "a", "effect": "No"}]}}),
        &expect![[
            r#"Node "n" is invalid: [spec.taints[0].effect: Unsupported value: "No": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute", spec.taints[1].effect: Unsupported value: "No": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute", spec.taints[1]: Duplicate value: {"key":"a","effect":"No"}: taints must be unique by key and effect pair, spec.podCIDRs[0]: Invalid value: "10.42.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)]"#
        ]],
    );
    let old = json!({"metadata": {"name": "n"}, "spec": {"podCIDR": "10.42.0.0/24", "podCIDRs": ["10.42.0.0/24"]}});
    let new = json!({"metadata": {"name": "n"}, "spec": {"podCIDR": "10.42.1.0/24", "podCIDRs": ["10.42.1.0/24"]}});
    check_update(
        "Node",
        &old,
        &new,
        &expect![[
            r#"Node "n" is invalid: spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid"#
        ]],
    );
}

#[test]
fn endpoints() {
    check(
        "Endpoints",
        json!({"metadata": {"name": "a", "namespace": "a"}, "subsets": [{"addresses": [{"ip": "127.0.0.1"}, {"ip": "x"}], "ports": [{"port": 80}, {"port": 81, "name": "b"}]}, {}]}),
        &expect![[
            r#"Endpoints "a" is invalid: [subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128), subsets[0].addresses[1].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff), subsets[0].ports[0].name: Required value, subsets[1]: Required value: must specify `addresses` or `notReadyAddresses`]"#
        ]],
    );
    check(
        "EndpointSlice",
        json!({"metadata": {"name": "a", "namespace": "a"}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}),
        &expect![[
            r#"{"metadata":{"name":"a","namespace":"a","generation":1},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"]}],"ports":[{"port":80,"name":"","protocol":"TCP"}]}"#
        ]],
    );
    check(
        "EndpointSlice",
        json!({"metadata": {"name": "a", "namespace": "a"}, "addressType": "IPv4", "endpoints": [{"addresses": []}, {"addresses": ["fd00::1"]}], "ports": [{"port": 80}, {"port": 81}]}),
        &expect![[
            r#"EndpointSlice.discovery.k8s.io "a" is invalid: [ports[1].name: Duplicate value: "", endpoints[0].addresses: Required value: must contain at least 1 address, endpoints[1].addresses: Invalid value: "fd00::1": must be an IPv4 address]"#
        ]],
    );
}

#[test]
fn roles() {
    check(
        "Role",
        json!({"metadata": {"name": "a:b", "namespace": "a"}, "rules": [{"nonResourceURLs": ["/x"], "verbs": ["get"]}, {"resources": ["pods"]}]}),
        &expect![[
            r#"Role.rbac.authorization.k8s.io "a:b" is invalid: [rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs, rules[1].verbs: Required value: verbs must contain at least one value, rules[1].apiGroups: Required value: resource rules must supply at least one api group]"#
        ]],
    );
    check(
        "ClusterRoleBinding",
        json!({"metadata": {"name": "a"}, "roleRef": {"kind": "Role", "name": "x"}, "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}]}),
        &expect![[
            r#"ClusterRoleBinding.rbac.authorization.k8s.io "a" is invalid: [roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole", subjects[1].namespace: Required value]"#
        ]],
    );
    let old = json!({"metadata": {"name": "a", "namespace": "a"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "x"}});
    let mut new = old.clone();
    new["roleRef"]["name"] = json!("y");
    check_update(
        "RoleBinding",
        &old,
        &new,
        &expect![[
            r#"RoleBinding.rbac.authorization.k8s.io "a" is invalid: roleRef: Invalid value: {"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"y"}: cannot change roleRef"#
        ]],
    );
}

#[test]
fn events() {
    check(
        "Event",
        json!({"metadata": {"name": "a", "namespace": "x"}, "involvedObject": {"kind": "Pod", "namespace": "y"}}),
        &expect![[
            r#"Event "a" is invalid: involvedObject.namespace: Invalid value: "y": does not match event.namespace"#
        ]],
    );
    check(
        "Event",
        json!({"metadata": {"name": "a", "namespace": "x"}, "involvedObject": {"kind": "Pod", "namespace": "x"}, "eventTime": "2026-01-01T00:00:00.000000Z", "reason": "r"}),
        &expect![[
            r#"Event "a" is invalid: [reportingComponent: Required value, reportingComponent: Invalid value: "": name part must be non-empty, reportingComponent: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'), reportingInstance: Required value, action: Required value]"#
        ]],
    );
}

#[test]
fn answers() {
    let refused = |name: &str, object: Value| match before_answer(kind(name), &object) {
        Ok(()) => "ok".to_owned(),
        Err(status) => status.message,
    };
    assert_eq!(
        refused(
            "SelfSubjectAccessReview",
            json!({"spec": {"resourceAttributes": {"verb": "get"}}})
        ),
        "ok"
    );
    expect![[r#"SubjectAccessReview.authorization.k8s.io "" is invalid: [spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified, spec.user: Invalid value: "": at least one of user or group must be specified]"#]]
        .assert_eq(&refused("SubjectAccessReview", json!({"spec": {}})));
    expect![[r#"TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes"#]]
        .assert_eq(&refused("TokenRequest", json!({"spec": {"expirationSeconds": 10}})));
    expect![[r#"Binding "" is invalid: target.name: Required value"#]]
        .assert_eq(&refused("Binding", json!({"target": {"kind": "Node"}})));
}

#[test]
fn field_selectors_of_kinds_without_any() {
    let selector: FieldSelector = "spec.x=1".parse().unwrap();
    let status = check_field_selector(kind("Deployment"), &selector).unwrap_err();
    expect![[
        r#""spec.x" is not a known field selector: only "metadata.name", "metadata.namespace""#
    ]]
    .assert_eq(&status.message);
    let selector: FieldSelector = "metadata.namespace=x".parse().unwrap();
    check_field_selector(kind("Deployment"), &selector).unwrap();
    check_field_selector(kind("ClusterRole"), &selector).unwrap_err();
}

#[test]
fn tables() {
    let now: Timestamp = "2026-01-01T00:05:00Z".parse().unwrap();
    let shown = |name: &str, object: Value| {
        let table = table(kind(name), &[object], now, IncludeObject::Metadata);
        let names: Vec<&str> = table["columnDefinitions"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|c| c["name"].as_str())
            .collect();
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        format!("{}\n{}", names.join(" "), table["rows"][0]["cells"])
    };
    let metadata =
        json!({"name": "a", "namespace": "n", "creationTimestamp": "2026-01-01T00:00:00Z"});
    expect![[r#"
        Name Status Roles Age Version Internal-IP External-IP OS-Image Kernel-Version Container-Runtime
        ["a","Ready,SchedulingDisabled","control-plane,worker","<unknown>","v1.36.0","10.0.0.1","<none>","Debian","6.1 (amd64)","<unknown>"]"#]]
    .assert_eq(&shown("Node", json!({
        "metadata": {"name": "a", "labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
        "spec": {"unschedulable": true},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.36.0", "osImage": "Debian", "kernelVersion": "6.1", "architecture": "amd64"}},
    })));
    expect![[r#"
        Last Seen Type Reason Object Subobject Source Message First Seen Count Name
        ["60s","Normal","Pulled","pod/p","spec.containers{a}","kubelet, n","done","5m",3,"a"]"#]]
    .assert_eq(&shown("Event", json!({
        "metadata": metadata, "type": "Normal", "reason": "Pulled", "message": " done\n", "count": 3,
        "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{a}"}, "source": {"component": "kubelet", "host": "n"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:04:00Z",
    })));
    expect![[r#"
        Name Endpoints Age
        ["a","10.0.0.1:80,10.0.0.2:80,10.0.0.1:81 + 1 more...","5m"]"#]]
    .assert_eq(&shown("Endpoints", json!({"metadata": metadata, "subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"port": 80}, {"port": 81}]}]})));
    expect![[r#"
        Name AddressType Ports Endpoints Age
        ["a","IPv4","80","<unset>","5m"]"#]]
    .assert_eq(&shown(
        "EndpointSlice",
        json!({"metadata": metadata, "addressType": "IPv4", "ports": [{"port": 80}]}),
    ));
    expect![[r#"
        Name Role Age Users Groups ServiceAccounts
        ["a","ClusterRole/view","5m","u, v","","n/s"]"#]]
    .assert_eq(&shown("RoleBinding", json!({"metadata": metadata, "roleRef": {"kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "u"}, {"kind": "User", "name": "v"}, {"kind": "ServiceAccount", "namespace": "n", "name": "s"}]})));
    expect![[r#"
        Name Created At
        ["a","2026-01-01T00:00:00Z"]"#]]
    .assert_eq(&shown("Role", json!({"metadata": metadata})));
    expect![[r#"
        Name Desired Current Ready Age Containers Images Selector
        ["a",3,2,1,"5m","","",""]"#]]
    .assert_eq(&shown("ReplicaSet", json!({"metadata": metadata, "spec": {"replicas": 3}, "status": {"replicas": 2, "readyReplicas": 1}})));
}

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn check(kind: &str, body: &str, validation: FieldValidation, expected: &Expect) {
    let kind = kinds::all().iter().find(|k| k.kind == kind).unwrap();
    let content_type = if body.starts_with('{') { ContentType::Json } else { ContentType::Yaml };
    let shown = match decode(kind, body.as_bytes(), content_type, validation) {
        Ok(decoded) => {
            let warnings: String =
                decoded.warnings.iter().map(|w| format!("\nwarning: {w}")).collect();
            format!("{}{warnings}", decoded.object)
        }
        Err(status) => format!("{}: {status}", status.code),
    };
    expected.assert_eq(&shown);
}

use FieldValidation::{Ignore, Strict, Warn};

#[test]
fn unknown_fields() {
    let body = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x"},"spec":{"replica":1,"template":{"spec":{"containers":[{"name":"a","imagee":"b"}]}}}}"#;
    check(
        "Deployment",
        body,
        Strict,
        &expect![[
            r#"400: Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.replica", unknown field "spec.template.spec.containers[0].imagee""#
        ]],
    );
    check(
        "Deployment",
        body,
        Warn,
        &expect![[r#"
        {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x"},"spec":{"template":{"spec":{"containers":[{"name":"a"}]}}}}
        warning: unknown field "spec.replica"
        warning: unknown field "spec.template.spec.containers[0].imagee""#]],
    );
    check(
        "Deployment",
        body,
        Ignore,
        &expect![[
            r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x"},"spec":{"template":{"spec":{"containers":[{"name":"a"}]}}}}"#
        ]],
    );
}

#[test]
fn duplicate_fields() {
    let body =
        r#"{"kind":"ConfigMap","metadata":{"name":"x","name":"y"},"data":{"a":"1","a":"2"}}"#;
    check(
        "ConfigMap",
        body,
        Strict,
        &expect![[
            r#"400: ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: duplicate field "metadata.name", duplicate field "data.a""#
        ]],
    );
    check(
        "ConfigMap",
        body,
        Warn,
        &expect![[r#"
        {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"y"},"data":{"a":"2"}}
        warning: duplicate field "metadata.name"
        warning: duplicate field "data.a""#]],
    );
}

#[test]
fn wrong_types() {
    let pod = |spec: &str| format!(r#"{{"apiVersion":"v1","kind":"Pod","spec":{spec}}}"#);
    check(
        "Deployment",
        r#"{"spec":{"replicas":"3"}}"#,
        Warn,
        &expect![[
            r#"400: Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"#
        ]],
    );
    check(
        "Deployment",
        r#"{"spec":{"replicas":3000000000}}"#,
        Warn,
        &expect![[
            r#"400: Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32"#
        ]],
    );
    check(
        "Pod",
        &pod(r#"{"containers":{"name":"a"}}"#),
        Warn,
        &expect![[
            r#"400: Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"#
        ]],
    );
    check(
        "Pod",
        &pod(r#"{"containers":[{"name":"a","args":[1]}]}"#),
        Warn,
        &expect![[
            r#"400: Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field Container.spec.containers.args of type string"#
        ]],
    );
    check(
        "Pod",
        &pod(r#"{"hostNetwork":"yes"}"#),
        Warn,
        &expect![[
            r#"400: Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool"#
        ]],
    );
    check(
        "ConfigMap",
        r#"{"data":{"a":1}}"#,
        Warn,
        &expect![[
            r#"400: ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string"#
        ]],
    );
    check(
        "Pod",
        &pod("7"),
        Warn,
        &expect![[
            r#"400: Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field Pod.spec of type v1.PodSpec"#
        ]],
    );
    check(
        "Secret",
        r#"{"data":{"a":"x!"}}"#,
        Warn,
        &expect![[
            r#"400: Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 1 (at data.a)"#
        ]],
    );
    check(
        "Service",
        r#"{"spec":{"ports":[{"port":80,"targetPort":true}]}}"#,
        Warn,
        &expect![[
            r#"400: Service in version "v1" cannot be handled as a Service: json: cannot unmarshal bool into Go value of type int32 (at spec.ports[0].targetPort)"#
        ]],
    );
    check(
        "Pod",
        r#"{"metadata":{"creationTimestamp":"yesterday"}}"#,
        Warn,
        &expect![[
            r#"400: Pod in version "v1" cannot be handled as a Pod: parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": not an RFC 3339 time (at metadata.creationTimestamp)"#
        ]],
    );
}

#[test]
fn quantities() {
    let pod = |q: &str| {
        format!(
            r#"{{"spec":{{"containers":[{{"name":"a","resources":{{"limits":{{"cpu":{q}}}}}}}]}}}}"#
        )
    };
    check(
        "Pod",
        &pod("\"1000m\""),
        Warn,
        &expect![[
            r#"{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"1"}}}]}}"#
        ]],
    );
    check(
        "Pod",
        &pod("0.5"),
        Warn,
        &expect![[
            r#"{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"500m"}}}]}}"#
        ]],
    );
    check(
        "Pod",
        &pod("\"lots\""),
        Warn,
        &expect![[
            r#"400: Pod in version "v1" cannot be handled as a Pod: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$' (at spec.containers[0].resources.limits.cpu: "lots")"#
        ]],
    );
}

#[test]
fn kind_and_version() {
    check(
        "Pod",
        r#"{"apiVersion":"v1","kind":"Service"}"#,
        Warn,
        &expect![[
            r#"400: Service in version "v1" cannot be handled as a Pod: converting (Service) to (Pod): unknown conversion"#
        ]],
    );
    check(
        "Pod",
        r#"{"apiVersion":"v1","kind":"Foo"}"#,
        Warn,
        &expect![[
            r#"400: Foo in version "v1" cannot be handled as a Pod: no kind "Foo" is registered for version "v1""#
        ]],
    );
    check(
        "Deployment",
        r#"{"apiVersion":"apps/v1beta1","kind":"Deployment"}"#,
        Warn,
        &expect![
            "400: the API version in the data (apps/v1beta1) does not match the expected API version (apps/v1)"
        ],
    );
    check("Pod", r#"{}"#, Strict, &expect![[r#"{"apiVersion":"v1","kind":"Pod"}"#]]);
}

#[test]
fn delete_options_of_any_group() {
    let ty = crate::schema::by_name("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions").unwrap();
    for body in [
        r#"{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0}"#,
        r#"{"kind":"DeleteOptions","apiVersion":"meta.k8s.io/v1","gracePeriodSeconds":0}"#,
        r#"{"kind":"DeleteOptions","apiVersion":"apps/v1","gracePeriodSeconds":0}"#,
        r#"{"gracePeriodSeconds":0}"#,
    ] {
        let decoded = decode_type(ty, body.as_bytes(), ContentType::Json, Strict).unwrap();
        assert_eq!(decoded.object["gracePeriodSeconds"], 0);
    }
    let wrong = br#"{"kind":"Pod","apiVersion":"v1"}"#;
    assert_eq!(decode_type(ty, wrong, ContentType::Json, Strict).unwrap_err().code, 400);
}

#[test]
fn empty_and_null_are_absent() {
    check(
        "Pod",
        r#"{"metadata":{"creationTimestamp":null,"labels":{},"name":""},"spec":{"nodeName":"","containers":[{"name":"a","command":[],"resources":{}}],"volumes":[{"name":"v","emptyDir":{}}]},"status":{}}"#,
        Strict,
        &expect![[
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{},"spec":{"containers":[{"name":"a","resources":{}}],"volumes":[{"name":"v","emptyDir":{}}]},"status":{}}"#
        ]],
    );
    check(
        "Lease",
        r#"{"spec":{"holderIdentity":"","renewTime":"2026-01-01T00:00:00.5+01:00"}}"#,
        Strict,
        &expect![[
            r#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","spec":{"holderIdentity":"","renewTime":"2025-12-31T23:00:00.500000Z"}}"#
        ]],
    );
}

#[test]
fn malformed_bodies() {
    check(
        "Pod",
        "{\"a\": }",
        Warn,
        &expect![[
            r#"400: the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: expected value at line 1 column 7 ({"a": })"#
        ]],
    );
    check(
        "Pod",
        "{\"a\": 1} x",
        Warn,
        &expect![[
            r#"400: the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: trailing characters at line 1 column 10 ({"a": 1} x)"#
        ]],
    );
    check(
        "Pod",
        "spec:\n  a: b\n c: d\n",
        Warn,
        &expect![
            "400: the object provided is unrecognized (must be of type Pod): couldn't get version/kind; yaml parse error: did not find expected key at line 3 column 2, while parsing a block mapping (737065633a0a2020613a20620a20633a20640a)"
        ],
    );
    check(
        "Pod",
        "- a\n",
        Warn,
        &expect![[
            r#"400: Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal array into Go value of type v1.Pod"#
        ]],
    );
    let deep = format!("{{\"spec\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    check(
        "Pod",
        &deep,
        Warn,
        &expect![[
            r#"400: the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: recursion limit exceeded at line 1 column 135 ({"spec":[[[[[[[[[[[[[[[[[[[[[[ ...)"#
        ]],
    );
}

#[test]
fn yaml() {
    check(
        "ConfigMap",
        "metadata:\n  name: x\n  labels: &l {a: \"1\"}\n  annotations:\n    <<: *l\n    b: \"2\"\ndata:\n  1: one\n  true: yes\n",
        Strict,
        &expect![[
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","labels":{"a":"1"},"annotations":{"b":"2","a":"1"}},"data":{"1":"one","true":"yes"}}"#
        ]],
    );
    check(
        "Pod",
        "spec:\n  hostNetwork: on\n  volumes:\n  - name: v\n    secret: {defaultMode: 0644}\n",
        Strict,
        &expect![[
            r#"{"apiVersion":"v1","kind":"Pod","spec":{"hostNetwork":true,"volumes":[{"name":"v","secret":{"defaultMode":420}}]}}"#
        ]],
    );
    check(
        "Pod",
        "metadata:\n  name: a\n  name: b\n",
        Strict,
        &expect![[
            r#"400: Pod in version "v1" cannot be handled as a Pod: strict decoding error: duplicate field "metadata.name""#
        ]],
    );
}

#[test]
fn alias_bombs_are_refused() {
    let mut body = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..12 {
        let aliases = vec![format!("*a{}", i - 1); 10].join(",");
        body.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
    }
    let status = parse(body.as_bytes(), ContentType::Yaml).unwrap_err();
    assert_eq!(status.code, 400);
}

proptest! {
    #[test]
    fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let pod = kinds::by_resource("", "v1", "pods").unwrap();
        for content_type in [ContentType::Json, ContentType::Yaml] {
            if let Err(status) = decode(pod, &body, content_type, Strict) {
                prop_assert_eq!(status.code, 400);
            }
        }
    }

    #[test]
    fn decoding_is_idempotent(replicas in any::<i32>(), cpu in "[0-9]{1,4}(m|Mi|k|)", name in "[a-z]{0,5}", port in prop_oneof![Just(json!(80)), Just(json!("http"))]) {
        let deployment = kinds::by_resource("apps", "v1", "deployments").unwrap();
        let value = json!({"metadata": {"name": name, "labels": {}}, "spec": {"replicas": replicas, "template": {"spec": {"containers": [
            {"name": "a", "resources": {"limits": {"cpu": cpu}}, "livenessProbe": {"httpGet": {"port": port}}}]}}}});
        let once = decode_value(deployment, value, Strict).unwrap().object;
        prop_assert_eq!(decode_value(deployment, once.clone(), Strict).unwrap().object, once);
    }
}

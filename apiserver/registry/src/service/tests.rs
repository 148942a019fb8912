use corten_api_k8s::kinds;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;
use crate::lifecycle;

fn kind() -> &'static kinds::Kind {
    kinds::by_resource("", "v1", "services").unwrap()
}

fn service(spec: Value) -> Value {
    let mut object = json!({"metadata": {"name": "web", "namespace": "default"}});
    object["spec"] = spec;
    lifecycle::default(kind(), &mut object);
    object
}

fn created(spec: Value) -> Value {
    let mut object = service(spec);
    lifecycle::before_create(kind(), &mut object).unwrap();
    object
}

fn check(spec: Value, expected: &Expect) {
    let mut object = service(spec);
    let shown = match lifecycle::before_create(kind(), &mut object) {
        Ok(()) => object["spec"].to_string(),
        Err(status) => status.message,
    };
    expected.assert_eq(&shown);
}

#[test]
fn defaults() {
    check(
        json!({"selector": {"app": "web"}, "ports": [{"port": 80}, ]}),
        &expect![[
            r#"{"selector":{"app":"web"},"ports":[{"port":80,"protocol":"TCP","targetPort":80}],"type":"ClusterIP","sessionAffinity":"None","internalTrafficPolicy":"Cluster"}"#
        ]],
    );
    check(
        json!({"type": "NodePort", "sessionAffinity": "ClientIP", "ports": [{"port": 80, "targetPort": "http"}]}),
        &expect![[
            r#"{"type":"NodePort","sessionAffinity":"ClientIP","ports":[{"port":80,"targetPort":"http","protocol":"TCP"}],"sessionAffinityConfig":{"clientIP":{"timeoutSeconds":10800}},"internalTrafficPolicy":"Cluster","externalTrafficPolicy":"Cluster"}"#
        ]],
    );
    check(
        json!({"clusterIP": "None"}),
        &expect![[
            r#"{"clusterIP":"None","type":"ClusterIP","sessionAffinity":"None","internalTrafficPolicy":"Cluster","clusterIPs":["None"]}"#
        ]],
    );
}

#[test]
fn validation() {
    check(json!({}), &expect![[r#"Service "web" is invalid: spec.ports: Required value"#]]);
    check(
        json!({"type": "Fancy", "ports": [{"port": 80}]}),
        &expect![[
            r#"Service "web" is invalid: spec.type: Unsupported value: "Fancy": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort""#
        ]],
    );
    check(
        json!({"ports": [{"port": 0}, {"port": 80, "nodePort": 30000, "name": "a"}, {"port": 80, "name": "a", "targetPort": "UPPER"}]}),
        &expect![[
            r#"Service "web" is invalid: [spec.ports[0].name: Required value, spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive, spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive, spec.ports[1].nodePort: Forbidden: may not be used when `type` is 'ClusterIP', spec.ports[2].name: Duplicate value: "a", spec.ports[2].targetPort: Invalid value: "UPPER": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-), spec.ports[2].targetPort: Invalid value: "UPPER": must contain at least one letter (a-z), spec.ports[2]: Duplicate value: {"port":80,"protocol":"TCP"}]"#
        ]],
    );
    check(
        json!({"type": "ExternalName"}),
        &expect![[r#"Service "web" is invalid: spec.externalName: Required value"#]],
    );
    check(
        json!({"clusterIP": "10.0.0", "ports": [{"port": 80}], "externalTrafficPolicy": "Local"}),
        &expect![[
            r#"Service "web" is invalid: [spec.clusterIPs[0]: Invalid value: "10.0.0": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff), spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services]"#
        ]],
    );
    let mut object = service(json!({"ports": [{"port": 80}]}));
    object["metadata"]["name"] = json!("1web");
    let status = lifecycle::before_create(kind(), &mut object).unwrap_err();
    assert!(status.message.contains("a DNS-1035 label must consist of"), "{status}");
}

#[test]
fn an_update_keeps_what_was_allocated() {
    let mut old = created(
        json!({"type": "NodePort", "ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]}),
    );
    old["spec"]["clusterIP"] = json!("10.43.0.7");
    old["spec"]["clusterIPs"] = json!(["10.43.0.7"]);
    old["spec"]["ports"][0]["nodePort"] = json!(30001);
    old["spec"]["ports"][1]["nodePort"] = json!(30002);
    let mut new = service(
        json!({"type": "NodePort", "ports": [{"port": 81, "name": "b"}, {"port": 82, "name": "c", "nodePort": 30001}]}),
    );
    lifecycle::before_update(kind(), &mut new, &old).unwrap();
    assert_eq!(new["spec"]["clusterIP"], "10.43.0.7");
    assert_eq!(new["spec"]["clusterIPs"], json!(["10.43.0.7"]));
    assert_eq!(new["spec"]["ports"][0]["nodePort"], 30002);
    assert_eq!(new["spec"]["ports"][1]["nodePort"], 30001);

    let mut new = old.clone();
    new["spec"]["clusterIP"] = json!("10.43.0.8");
    new["spec"]["clusterIPs"] = json!(["10.43.0.8"]);
    expect![[r#"Service "web" is invalid: spec.clusterIPs[0]: Invalid value: ["10.43.0.8"]: may not change once set"#]]
        .assert_eq(&lifecycle::before_update(kind(), &mut new, &old).unwrap_err().message);

    let mut new = old.clone();
    new["spec"]["type"] = json!("ClusterIP");
    lifecycle::before_update(kind(), &mut new, &old).unwrap();
    assert_eq!(new["spec"]["ports"][0].get("nodePort"), None);
    assert_eq!(new["spec"].get("externalTrafficPolicy"), None);

    let mut new = old.clone();
    new["spec"]["type"] = json!("ExternalName");
    new["spec"]["externalName"] = json!("example.com");
    lifecycle::before_update(kind(), &mut new, &old).unwrap();
    assert_eq!(new["spec"].get("clusterIP"), None);
}

#[test]
fn rows() {
    let shown = |spec: Value| {
        let row = Service.row(&service(spec), Timestamp::UNIX_EPOCH);
        row.iter().map(|c| c.as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" | ")
    };
    expect!["web | NodePort | 10.43.0.7 | <none> | 80:30001/TCP,53/UDP | <unknown> | a=b,c=d"].assert_eq(&shown(
        json!({"type": "NodePort", "clusterIPs": ["10.43.0.7"], "selector": {"c": "d", "a": "b"},
        "ports": [{"port": 80, "nodePort": 30001}, {"port": 53, "protocol": "UDP"}]}),
    ));
    expect!["web | ExternalName | <none> | example.com | <none> | <unknown> | <none>"]
        .assert_eq(&shown(json!({"type": "ExternalName", "externalName": "example.com"})));
    expect!["web | LoadBalancer | <none> | <pending> | <none> | <unknown> | <none>"]
        .assert_eq(&shown(json!({"type": "LoadBalancer"})));
}

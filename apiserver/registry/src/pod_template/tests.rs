use std::borrow::Borrow;

use corten_api_k8s::field::FieldPath;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

fn check_defaults(spec: Value, expected: &Expect) {
    let mut spec = spec;
    default_pod(&mut spec);
    expected.assert_eq(&format!("{spec:#}"));
}

#[test]
fn pod_defaults() {
    check_defaults(
        json!({
            "containers": [{
                "name": "web", "image": "nginx",
                "ports": [{"containerPort": 80}],
                "livenessProbe": {"httpGet": {"port": 80}},
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "resources": {"limits": {"cpu": "500u", "memory": "1Gi"}, "requests": {"memory": "1Mi"}},
            }],
            "serviceAccount": "robot",
            "volumes": [{"name": "a"}, {"name": "b", "secret": {"secretName": "s"}}],
        }),
        &expect![[r#"
            {
              "containers": [
                {
                  "name": "web",
                  "image": "nginx",
                  "ports": [
                    {
                      "containerPort": 80,
                      "protocol": "TCP"
                    }
                  ],
                  "livenessProbe": {
                    "httpGet": {
                      "port": 80,
                      "path": "/",
                      "scheme": "HTTP"
                    },
                    "timeoutSeconds": 1,
                    "periodSeconds": 10,
                    "successThreshold": 1,
                    "failureThreshold": 3
                  },
                  "env": [
                    {
                      "name": "A",
                      "valueFrom": {
                        "fieldRef": {
                          "fieldPath": "metadata.name",
                          "apiVersion": "v1"
                        }
                      }
                    }
                  ],
                  "resources": {
                    "limits": {
                      "cpu": "1m",
                      "memory": "1Gi"
                    },
                    "requests": {
                      "memory": "1Mi",
                      "cpu": "1m"
                    }
                  },
                  "imagePullPolicy": "Always",
                  "terminationMessagePath": "/dev/termination-log",
                  "terminationMessagePolicy": "File"
                }
              ],
              "serviceAccount": "robot",
              "volumes": [
                {
                  "name": "a",
                  "emptyDir": {}
                },
                {
                  "name": "b",
                  "secret": {
                    "secretName": "s",
                    "defaultMode": 420
                  }
                }
              ],
              "dnsPolicy": "ClusterFirst",
              "restartPolicy": "Always",
              "schedulerName": "default-scheduler",
              "terminationGracePeriodSeconds": 30,
              "securityContext": {},
              "serviceAccountName": "robot",
              "enableServiceLinks": true
            }"#]],
    );
}

#[test]
fn defaults_are_idempotent() {
    let mut once = json!({
        "hostNetwork": true,
        "containers": [{"name": "a", "image": "a:1", "ports": [{"containerPort": 80}],
            "resources": {"limits": {"cpu": "1"}}}],
        "volumes": [{"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
    });
    default_pod(&mut once);
    assert_eq!(once["containers"][0]["ports"][0]["hostPort"], 80);
    assert_eq!(
        once["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"],
        3600
    );
    let mut twice = once.clone();
    default_pod(&mut twice);
    assert_eq!(twice, once);
    assert!(validate_spec(&once, &FieldPath::new("spec")).is_empty());
}

#[test]
fn pull_policy_by_tag() {
    for (image, latest) in [
        ("nginx", true),
        ("nginx:latest", true),
        ("nginx:1.2", false),
        ("registry:5000/nginx", true),
        ("registry:5000/nginx:1", false),
        ("nginx@sha256:abc", false),
        ("nginx:latest@sha256:abc", true),
    ] {
        assert_eq!(defaults::has_latest_tag(image), latest, "{image}");
    }
}

/// A valid spec with some of its fields replaced; shows what is wrong with it.
fn check(changes: impl Borrow<Value>, expected: &Expect) {
    let mut spec = json!({"containers": [{"name": "a", "image": "a:1"}]});
    json_merge(&mut spec, changes.borrow());
    default_pod(&mut spec);
    let errors: Vec<String> =
        validate_spec(&spec, &FieldPath::new("spec")).iter().map(ToString::to_string).collect();
    expected.assert_eq(&errors.join("\n"));
}

fn json_merge(into: &mut Value, changes: &Value) {
    for (key, value) in changes.as_object().unwrap() {
        into[key] = value.clone();
    }
}

fn container(changes: impl Borrow<Value>) -> Value {
    let mut container = json!({"name": "a", "image": "a:1"});
    json_merge(&mut container, changes.borrow());
    json!({"containers": [container]})
}

#[test]
fn containers() {
    check(json!({}), &expect![""]);
    check(json!({"containers": []}), &expect!["spec.containers: Required value"]);
    check(
        json!({"containers": [{"name": "A_b", "image": ""}, {"image": " x"}, {"name": "b", "image": "b"}, {"name": "b", "image": "b"}]}),
        &expect![[r#"
            spec.containers[0].name: Invalid value: "A_b": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.containers[0].image: Required value
            spec.containers[1].name: Required value
            spec.containers[1].image: Invalid value: " x": must not have leading or trailing whitespace
            spec.containers[3].name: Duplicate value: "b""#]],
    );
    check(
        container(json!({"imagePullPolicy": "Sometimes"})),
        &expect![[
            r#"spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never""#
        ]],
    );
    check(
        json!({"initContainers": [{"name": "i", "image": "i", "readinessProbe": {"exec": {"command": ["x"]}}}]}),
        &expect![
            "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"
        ],
    );
}

#[test]
fn ports() {
    check(
        container(json!({"ports": [
            {"containerPort": 0}, {"containerPort": 70000}, {"containerPort": 80, "protocol": "ICMP"},
            {"containerPort": 80, "name": "Way-too-long-port-name"},
            {"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80},
        ]})),
        &expect![[r#"
            spec.containers[0].ports[0].containerPort: Required value
            spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive
            spec.containers[0].ports[2].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"
            spec.containers[0].ports[3].name: Invalid value: "Way-too-long-port-name": must be no more than 15 characters
            spec.containers[0].ports[3].name: Invalid value: "Way-too-long-port-name": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)
            spec.containers[0].ports[5].hostPort: Duplicate value: "TCP//80""#]],
    );
}

#[test]
fn resources_of_containers() {
    check(
        container(
            json!({"resources": {"limits": {"cpu": "100m", "memory": "-1", "disk": "1"}, "requests": {"cpu": "200m", "memory": "-1", "disk": "1"}}}),
        ),
        &expect![[r#"
            spec.containers[0].resources.limits[memory]: Invalid value: "-1": must be greater than or equal to 0
            spec.containers[0].resources.limits[disk]: Invalid value: "disk": must be a standard resource type or fully qualified
            spec.containers[0].resources.limits[disk]: Invalid value: "disk": must be a standard resource for containers
            spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0
            spec.containers[0].resources.requests[disk]: Invalid value: "disk": must be a standard resource type or fully qualified
            spec.containers[0].resources.requests[disk]: Invalid value: "disk": must be a standard resource for containers
            spec.containers[0].resources.requests: Invalid value: "200m": must be less than or equal to cpu limit of 100m"#]],
    );
    check(
        container(json!({"resources": {"requests": {"example.com/gpu": "500m"}}})),
        &expect![[r#"
            spec.containers[0].resources.requests[example.com/gpu]: Invalid value: "500m": must be an integer
            spec.containers[0].resources.requests[example.com/gpu]: Required value: Limit must be set for non overcommitable resources"#]],
    );
}

#[test]
fn environment() {
    check(
        container(json!({"env": [
            {"name": ""}, {"name": "a=b"},
            {"name": "x", "value": "v", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodename"}}},
            {"name": "y", "valueFrom": {}},
            {"name": "z", "valueFrom": {"secretKeyRef": {"name": "s"}}},
            {"name": "l", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        ], "envFrom": [{"configMapRef": {}}, {}]})),
        &expect![[r#"
            spec.containers[0].env[0].name: Required value
            spec.containers[0].env[1].name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than '='
            spec.containers[0].env[2].valueFrom: Invalid value: "": may not be specified when `value` is not empty
            spec.containers[0].env[2].valueFrom.fieldRef.fieldPath: Unsupported value: "spec.nodename": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"
            spec.containers[0].env[3].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`
            spec.containers[0].env[4].valueFrom.secretKeyRef.key: Required value
            spec.containers[0].envFrom[0].configMapRef.name: Required value
            spec.containers[0].envFrom[1]: Invalid value: "": must specify one of: `configMapRef` or `secretRef`"#]],
    );
}

#[test]
fn volumes_and_mounts() {
    let mut changes = container(json!({"volumeMounts": [
        {"name": "v", "mountPath": "/a"}, {"name": "nope", "mountPath": "/a"},
        {"name": "v", "mountPath": "/b", "subPath": "../x"}, {"name": "v", "mountPath": "/c", "subPath": "/x"},
        {"name": "v", "mountPath": "", "mountPropagation": "Bidirectional"},
    ]}));
    changes["volumes"] = json!([
        {"name": "v", "emptyDir": {}}, {"name": "v", "hostPath": {"path": "/a/../b", "type": "Dir"}},
        {"name": "two", "emptyDir": {}, "configMap": {"name": "c"}}, {"name": "cm", "configMap": {}},
        {"name": "s", "secret": {"secretName": "s", "defaultMode": 512, "items": [{"key": "k", "path": "../p"}]}},
    ]);
    check(
        changes,
        &expect![[r#"
            spec.volumes[1].name: Duplicate value: "v"
            spec.volumes[1].hostPath.path: Invalid value: "/a/../b": must not contain '..'
            spec.volumes[1].hostPath.type: Unsupported value: "Dir": supported values: "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"
            spec.volumes[2].configMap: Forbidden: may not specify more than 1 volume type
            spec.volumes[3].configMap.name: Required value
            spec.volumes[4].secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive
            spec.volumes[4].secret.items[0].path: Invalid value: "../p": must not contain '..'
            spec.containers[0].volumeMounts[1].name: Not found: "nope"
            spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/a": must be unique
            spec.containers[0].volumeMounts[2].subPath: Invalid value: "../x": must not contain '..'
            spec.containers[0].volumeMounts[3].subPath: Invalid value: "/x": must be a relative path
            spec.containers[0].volumeMounts[4].mountPath: Required value
            spec.containers[0].volumeMounts[4].mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers"#]],
    );
}

#[test]
fn probes() {
    check(
        container(json!({
            "livenessProbe": {"successThreshold": 2, "tcpSocket": {"port": 0}},
            "readinessProbe": {"exec": {"command": ["x"]}, "httpGet": {"port": "http"}, "periodSeconds": -1},
            "startupProbe": {},
            "lifecycle": {"preStop": {"exec": {}}},
        })),
        &expect![[r#"
            spec.containers[0].lifecycle.preStop.exec.command: Required value
            spec.containers[0].livenessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive
            spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1
            spec.containers[0].readinessProbe.httpGet: Forbidden: may not specify more than 1 handler type
            spec.containers[0].readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0
            spec.containers[0].startupProbe: Required value: must specify a handler type"#]],
    );
}

#[test]
fn the_rest_of_a_spec() {
    check(
        json!({"restartPolicy": "Maybe", "dnsPolicy": "None", "nodeSelector": {"a b": "c"}, "terminationGracePeriodSeconds": -1, "activeDeadlineSeconds": 0, "hostname": "A.b"}),
        &expect![[r#"
            spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"
            spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None
            spec.hostname: Invalid value: "A.b": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive
            spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0
            spec.nodeSelector: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#]],
    );
    check(
        json!({"tolerations": [
            {"operator": "Equal"}, {"key": "k", "operator": "Exists", "value": "v"},
            {"key": "k", "effect": "No"}, {"key": "k", "tolerationSeconds": 3, "effect": "NoSchedule"},
        ], "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "a", "operator": "In"}, {"key": "b", "operator": "Near"}]}]}},
            "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 101, "podAffinityTerm": {}}]}}}),
        &expect![[r#"
            spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"
            spec.tolerations[1].operator: Invalid value: "v": value must be empty when `operator` is 'Exists'
            spec.tolerations[2].effect: Unsupported value: "No": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"
            spec.tolerations[3].effect: Invalid value: "NoSchedule": effect must be 'NoExecute' when `tolerationSeconds` is set
            spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'
            spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[1].operator: Invalid value: "Near": not a valid selector operator
            spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: must be in the range 1-100
            spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey: Required value: can not be empty"#]],
    );
}

#[test]
fn security_contexts() {
    let mut changes = container(
        json!({"securityContext": {"runAsUser": -1, "privileged": true, "allowPrivilegeEscalation": false, "seccompProfile": {"type": "Localhost"}}}),
    );
    changes["securityContext"] =
        json!({"fsGroup": -5, "sysctls": [{"name": "net.core.somaxconn"}, {"name": "Bad!"}]});
    changes["hostNetwork"] = json!(true);
    check(
        changes,
        &expect![[r#"
            spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive
            spec.containers[0].securityContext.allowPrivilegeEscalation: Invalid value: false: cannot set `allowPrivilegeEscalation` to false and `privileged` to true
            spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost
            spec.securityContext.fsGroup: Invalid value: -5: must be between 0 and 2147483647, inclusive
            spec.securityContext.sysctls[0].name: Invalid value: "net.core.somaxconn": may not be specified when 'hostNetwork' is true
            spec.securityContext.sysctls[1].name: Invalid value: "Bad!": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"#]],
    );
}

use expect_test::expect;
use serde_json::{Value, json};

use super::*;

/// Every `$ref` of a document points to a component of it.
fn check_references(value: &Value, schemas: &Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                let name = reference.strip_prefix("#/components/schemas/").unwrap();
                assert!(schemas.get(name).is_some_and(Value::is_object), "{reference} dangles");
            }
            map.values().for_each(|v| check_references(v, schemas));
        }
        Value::Array(list) => list.iter().for_each(|v| check_references(v, schemas)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_document_is_whole() {
    let paths = index()["paths"].as_object().unwrap();
    assert!(paths.contains_key("api/v1") && paths.contains_key("apis/apps/v1"));
    for (group, versions) in kinds::groups() {
        for version in versions {
            let document = document(group, version).unwrap();
            check_references(&document, &document["components"]["schemas"]);
        }
    }
    assert!(document("apps", "v2").is_none());
}

#[test]
fn clients_find_what_a_patch_may_carry() {
    let document = document("apps", "v1").unwrap();
    let patch =
        &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "version": "v1", "kind": "Deployment"})
    );
    let parameters: Vec<&str> =
        patch["parameters"].as_array().unwrap().iter().filter_map(|p| p["name"].as_str()).collect();
    assert!(parameters.contains(&"fieldValidation") && parameters.contains(&"dryRun"));
    assert!(patch["requestBody"]["content"]["application/strategic-merge-patch+json"].is_object());
}

#[test]
fn extensions_are_kept() {
    let document = document("", "v1").unwrap();
    let spec = &document["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"];
    expect![[r##"{"type":"array","items":{"allOf":[{"$ref":"#/components/schemas/io.k8s.api.core.v1.Container"}]},"x-kubernetes-list-map-keys":["name"],"x-kubernetes-list-type":"map","x-kubernetes-patch-merge-key":"name","x-kubernetes-patch-strategy":"merge"}"##]]
        .assert_eq(&spec["properties"]["containers"].to_string());
    assert_eq!(spec["required"], json!(["containers"]));
}

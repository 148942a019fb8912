use expect_test::expect;

use super::*;

/// Every `$ref` points to a definition.
fn check_references(value: &Value, definitions: &Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                let name = reference.strip_prefix(V2_PREFIX).unwrap();
                assert!(definitions.get(name).is_some_and(Value::is_object), "{reference} dangles");
            }
            map.values().for_each(|v| check_references(v, definitions));
        }
        Value::Array(list) => list.iter().for_each(|v| check_references(v, definitions)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_document_is_whole() {
    let document = document();
    check_references(document, &document["definitions"]);
    for (kind, path) in kinds::all().iter().filter(|k| k.is_stored()).map(|kind| {
        let root = super::super::root(kind.group, kind.version);
        let namespace = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        (kind, format!("/{root}{namespace}/{}/{{name}}", kind.plural))
    }) {
        let patch = &document["paths"][&path]["patch"];
        assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], kind.kind, "{path}");
        let parameters = patch["parameters"].as_array().unwrap();
        assert!(parameters.iter().any(|p| p["name"] == "fieldValidation"), "{path}");
    }
}

#[test]
fn things_stand_where_version_2_has_them() {
    let document = document();
    let post = &document["paths"]["/api/v1/namespaces"]["post"];
    expect![[r##"{"in":"body","name":"body","required":true,"schema":{"$ref":"#/definitions/io.k8s.api.core.v1.Namespace"}}"##]]
        .assert_eq(&post["parameters"][0].to_string());
    assert_eq!(post["consumes"], json!(["application/json", "application/yaml"]));
    let spec = &document["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"];
    expect![[r##"{"items":{"$ref":"#/definitions/io.k8s.api.core.v1.Container"},"type":"array","x-kubernetes-list-map-keys":["name"],"x-kubernetes-list-type":"map","x-kubernetes-patch-merge-key":"name","x-kubernetes-patch-strategy":"merge"}"##]]
        .assert_eq(&sorted(&spec["containers"]));
    let quantity = "io.k8s.apimachinery.pkg.api.resource.Quantity";
    assert_eq!(document["definitions"][quantity], json!({"type": "string"}));
}

/// Its members in the order of their names, whatever the order of maps is built to be.
fn sorted(value: &Value) -> String {
    let map: std::collections::BTreeMap<_, _> = entries(value).collect();
    serde_json::to_string(&map).unwrap()
}

/// The content of each field of that number.
fn fields(mut message: &[u8], wanted: u64) -> Vec<&[u8]> {
    fn varint(message: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = message[0];
            *message = &message[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut out = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        let length = varint(&mut message);
        if tag & 7 == 2 {
            let (content, rest) = message.split_at(usize::try_from(length).unwrap());
            message = rest;
            if tag >> 3 == wanted {
                out.push(content);
            }
        }
    }
    out
}

#[test]
fn the_message_says_what_the_document_says() {
    let message = protobuf();
    assert_eq!(fields(&message, 1), [b"2.0"]);
    let definitions = fields(fields(&message, 9)[0], 1);
    assert_eq!(definitions.len(), entries(&document()["definitions"]).count());
    let named = |name: &str| {
        let found = definitions.iter().find(|entry| fields(entry, 1) == [name.as_bytes()]);
        fields(found.unwrap(), 2)[0]
    };
    let pod = named("io.k8s.api.core.v1.Pod");
    let extension = fields(pod, 31)[0];
    assert_eq!(fields(extension, 1), [b"x-kubernetes-group-version-kind"]);
    let yaml = fields(fields(extension, 2)[0], 2)[0];
    let gvks: Value = serde_json::from_slice(yaml).unwrap();
    assert_eq!(gvks, json!([{"group": "", "kind": "Pod", "version": "v1"}]));
    assert_eq!(fields(named("io.k8s.api.core.v1.PodSpec"), 19), [b"containers"]);
    assert_eq!(fields(fields(&message, 8)[0], 2).len(), entries(&document()["paths"]).count());
}

use corten_api_k8s::schema::{FieldType, Type, by_gvk};
use serde_json::json;

use super::*;

/// All leaves of the schema that no rule covers, and whether each rule was of use.
fn uncovered(ty: &'static Type, pattern: &str, used: &mut Vec<String>, out: &mut Vec<String>) {
    for field in ty.fields {
        cover(field.ty, &format!("{pattern}.{}", field.name), used, out);
    }
}

fn cover(ty: FieldType, pattern: &str, used: &mut Vec<String>, out: &mut Vec<String>) {
    if rule(pattern).is_some() {
        used.push(pattern.to_owned());
    }
    match (rule(pattern), ty) {
        (Some(Rule::Elsewhere | Rule::Refused(_) | Rule::Warned(_)), _) => {}
        (_, FieldType::Obj(inner)) => uncovered(inner, pattern, used, out),
        (_, FieldType::List(item)) => cover_item(*item, pattern, used, out),
        (Some(Rule::Honoured | Rule::ByValue(_)), _) => {}
        (None, _) => out.push(pattern.to_owned()),
    }
}

fn cover_item(ty: FieldType, pattern: &str, used: &mut Vec<String>, out: &mut Vec<String>) {
    if let FieldType::Obj(inner) = ty {
        uncovered(inner, &format!("{pattern}[]"), used, out);
    } else if rule(pattern).is_none() {
        out.push(pattern.to_owned());
    }
}

#[test]
fn every_field_of_the_schema_has_its_rule() {
    let pod = by_gvk("", "v1", "Pod").unwrap();
    let Some(FieldType::Obj(spec)) = pod.field("spec").map(|f| f.ty) else { panic!("no spec") };
    let (mut used, mut missing) = (Vec::new(), Vec::new());
    uncovered(spec, "spec", &mut used, &mut missing);
    assert!(missing.is_empty(), "fields without a rule:\n{}", missing.join("\n"));
    let stale: Vec<&str> = table::TABLE
        .iter()
        .map(|(path, _)| *path)
        .filter(|path| !used.iter().any(|u| u == path))
        .collect();
    assert!(stale.is_empty(), "rules for fields that are not in the schema: {stale:?}");
    let mut paths: Vec<&str> = table::TABLE.iter().map(|(path, _)| *path).collect();
    paths.sort_unstable();
    let count = paths.len();
    paths.dedup();
    assert_eq!(paths.len(), count, "a field has two rules");
}

#[test]
fn a_plain_pod_is_taken() {
    let pod = json!({"spec": {
        "containers": [{"name": "a", "image": "i", "resources": {"limits": {"cpu": "1"}},
            "securityContext": {"seccompProfile": {"type": "Unconfined"}}}],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "hostUsers": true, "tolerations": [{"operator": "Exists"}],
    }});
    assert_eq!(check(&pod), Findings::default());
}

#[test]
fn what_is_not_honoured_is_named_with_its_place() {
    let pod = json!({"spec": {
        "containers": [
            {"name": "a", "livenessProbe": {"grpc": {"port": 1}}},
            {"name": "b", "securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}],
        "volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}],
        "hostUsers": false,
    }});
    let findings = check(&pod);
    let paths = |list: &[Finding]| -> Vec<String> { list.iter().map(|f| f.path.clone()).collect() };
    let mut refused = paths(&findings.refused);
    refused.sort();
    assert_eq!(
        refused,
        ["spec.containers[0].livenessProbe.grpc", "spec.hostUsers", "spec.volumes[0].nfs"]
    );
    let warned = ["spec.containers[1].securityContext.appArmorProfile.type"];
    assert_eq!(paths(&findings.warned), warned);
}

/// A pod that sets nothing but the field of this path.
fn only(path: &str) -> Value {
    path.rsplit('.').fold(json!("given"), |inner, name| match name.strip_suffix("[]") {
        Some(name) => json!({ name: [inner] }),
        None => json!({ name: inner }),
    })
}

#[test]
fn each_field_that_is_not_honoured_is_found_where_it_stands() {
    let mut fields = 0;
    for (path, rule) in table::TABLE {
        let findings = check(&only(path));
        let found = match rule {
            Rule::Refused(_) => &findings.refused,
            Rule::Warned(_) => &findings.warned,
            Rule::Honoured | Rule::Elsewhere | Rule::ByValue(_) => continue,
        };
        let place = path.replace("[]", "[0]");
        assert!(found.iter().any(|finding| finding.path == place), "{path}: {findings:?}");
        fields += 1;
    }
    assert!(fields > 20, "the table names few fields: {fields}");
}

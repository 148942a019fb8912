use serde_json::json;

use super::*;

#[test]
fn every_kind_agrees_with_its_schema() {
    for kind in all() {
        assert!(
            kind.schema.gvks.contains(&(kind.group, kind.version, kind.kind)),
            "{kind:?} has the schema of {:?}",
            kind.schema
        );
        if kind.role != Role::Body {
            assert!(
                by_resource(kind.group, kind.version, kind.plural)
                    .is_some_and(|k| std::ptr::eq(k, kind))
            );
        }
        for sub in kind.subresources {
            assert!(by_gvk(sub.group, sub.version, sub.kind).is_some(), "{sub:?}");
        }
        for sorted in [kind.verbs].into_iter().chain(kind.subresources.iter().map(|s| s.verbs)) {
            assert!(sorted.is_sorted(), "{sorted:?}");
        }
        if kind.is_stored() {
            let list = crate::schema::by_gvk(kind.group, kind.version, kind.list_kind);
            assert!(list.is_some(), "{} is not in the schema", kind.list_kind);
            assert_eq!(kind.storage_kind().plural, kind.plural);
        }
    }
}

#[test]
fn names() {
    let deployment = by_api_version("apps/v1", "Deployment").unwrap();
    assert_eq!(deployment.api_version(), "apps/v1");
    assert_eq!(deployment.group_resource(), "deployments.apps");
    assert_eq!(deployment.qualified_kind(), "Deployment.apps");
    let pod = by_resource("", "v1", "pods").unwrap();
    assert_eq!(pod.group_resource(), "pods");
    assert!(by_resource("autoscaling", "v1", "").is_none());
}

#[test]
fn events_have_two_views() {
    let core = by_gvk("", "v1", "Event").unwrap();
    let events = by_gvk("events.k8s.io", "v1", "Event").unwrap();
    assert!(std::ptr::eq(events.storage_kind(), core));
    let stored = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "x"},
        "involvedObject": {"kind": "Pod"}, "message": "m", "count": 2, "reason": "r",
    });
    let viewed = convert(stored.clone(), core, events);
    assert_eq!(
        viewed,
        json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "x"},
            "regarding": {"kind": "Pod"}, "note": "m", "deprecatedCount": 2, "reason": "r",
        })
    );
    assert_eq!(convert(viewed, events, core), stored);
}

use super::*;
use k8s_openapi::api::core::v1::ConfigMap;

fn map(name: &str, value: &str) -> ConfigMap {
    let json = serde_json::json!({
        "metadata": { "name": name, "namespace": "default" }, "data": { "key": value },
    });
    serde_json::from_value(json).unwrap()
}

fn informer() -> (Informer<ConfigMap>, Writer<ConfigMap>) {
    let writer = Writer::default();
    let (changes, _) = broadcast::channel(2);
    (Informer { store: writer.as_reader(), changes }, writer)
}

#[tokio::test]
async fn a_subscriber_sees_changes_in_order_after_a_restart() {
    let (informer, mut writer) = informer();
    let mut changes = informer.subscribe().boxed();
    informer.apply(&mut writer, &watcher::Event::Apply(map("a", "1")));
    informer.apply(&mut writer, &watcher::Event::Delete(map("a", "1")));
    assert!(matches!(changes.next().await, Some(Change::Restarted)));
    assert!(matches!(changes.next().await, Some(Change::Applied(_))));
    assert!(matches!(changes.next().await, Some(Change::Deleted(_))));
    assert!(informer.object(Some("default"), "a").is_none());
}

#[tokio::test]
async fn a_subscriber_that_fell_behind_is_told_to_read_the_store() {
    let (informer, mut writer) = informer();
    let mut changes = informer.subscribe().boxed();
    for value in ["1", "2", "3", "4"] {
        informer.apply(&mut writer, &watcher::Event::Apply(map("a", value)));
    }
    assert!(matches!(changes.next().await, Some(Change::Restarted)));
    assert!(matches!(changes.next().await, Some(Change::Restarted)));
    let last = informer.object(Some("default"), "a").unwrap();
    assert_eq!(last.data.as_ref().unwrap()["key"], "4");
}

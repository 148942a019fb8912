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
    (Informer { store: writer.as_reader(), changes, filled: watch::Sender::new(false) }, writer)
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

#[tokio::test]
async fn all_who_wait_for_the_first_filling_are_woken() {
    let (informer, mut writer) = informer();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let informer = informer.clone();
            // Tasks of their own, as each must have its own waker.
            #[expect(clippy::disallowed_methods, reason = "joined below")]
            tokio::spawn(async move { informer.ready().await })
        })
        .collect();
    tokio::task::yield_now().await;
    informer.apply(&mut writer, &watcher::Event::Init);
    informer.apply(&mut writer, &watcher::Event::InitDone);
    for one in waiting {
        let woken = tokio::time::timeout(std::time::Duration::from_secs(5), one).await;
        assert!(matches!(woken, Ok(Ok(()))), "still waiting");
    }
}

//! What a user of the embedded store notices.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use corten_apiserver_store::{
    Compacted, Embedded, Expect, Key, Op, OpenError, Options, Range, Store, TxnError, WatchError,
};

fn open(dir: &Path) -> Embedded {
    Embedded::open(&dir.join("store"), &Options::default()).unwrap()
}

fn put(key: &str, value: &str, expect: Expect) -> Vec<Op> {
    vec![Op::Put { key: Key::from(key), value: value.to_owned().into(), expect }]
}

fn delete(key: &str) -> Vec<Op> {
    vec![Op::Delete { key: Key::from(key), expect: Expect::Any }]
}

fn keys(store: &Embedded, range: &Range<'_>) -> Vec<String> {
    store.range(range).unwrap().items.iter().map(|e| e.key().to_string()).collect()
}

#[test]
fn of_two_writers_that_saw_the_same_version_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let first = store.txn(put("a", "1", Expect::Absent)).wait().unwrap();
    let winner = store.txn(put("a", "2", Expect::Revision(first.revision)));
    let loser = store.txn(put("a", "3", Expect::Revision(first.revision)));
    assert_eq!(winner.wait().unwrap().revision, 2);
    match loser.wait() {
        Err(TxnError::Conflict { current: Some(entry), .. }) => {
            assert_eq!(&entry.value()[..], b"2");
        }
        other => panic!("not a conflict: {other:?}"),
    }
    assert!(matches!(
        store.txn(put("a", "4", Expect::Absent)).wait(),
        Err(TxnError::Conflict { .. })
    ));
}

#[test]
fn a_transaction_is_applied_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut ops = put("a", "1", Expect::Any);
    ops.extend(put("b", "1", Expect::Revision(7)));
    assert!(matches!(store.txn(ops).wait(), Err(TxnError::Conflict { .. })));
    assert!(store.get("a").is_none());
    let mut ops = put("a", "1", Expect::Any);
    ops.extend(put("a", "2", Expect::Any));
    assert!(matches!(store.txn(ops).wait(), Err(TxnError::DuplicateKey { .. })));
    assert_eq!(store.revision(), 0);
}

#[test]
fn pages_pinned_at_a_revision_do_not_see_later_writes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for key in ["p/a", "p/b", "p/c", "q/z"] {
        store.txn(put(key, "1", Expect::Any)).wait().unwrap();
    }
    let first = store.range(&Range { prefix: "p/", limit: 1, ..Range::default() }).unwrap();
    assert_eq!(first.remaining, 2);
    store.txn(delete("p/b")).wait().unwrap();
    store.txn(put("p/bb", "1", Expect::Any)).wait().unwrap();
    let at = Some(first.revision);
    let rest = Range { prefix: "p/", after: Some("p/a"), limit: 0, at };
    assert_eq!(keys(&store, &rest), ["p/b", "p/c"]);
    assert_eq!(keys(&store, &Range { at: None, ..rest }), ["p/bb", "p/c"]);
}

#[tokio::test]
async fn a_watch_replays_what_was_missed_and_then_follows() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.txn(put("p/a", "1", Expect::Any)).await.unwrap();
    store.txn(put("q/a", "1", Expect::Any)).await.unwrap();
    store.txn(put("p/a", "2", Expect::Any)).await.unwrap();
    let mut watch = store.watch("p/", 1).unwrap();
    assert_eq!(watch.progress(), None);
    store.txn(delete("p/a")).await.unwrap();
    let changed = watch.next().await.unwrap();
    assert_eq!(changed.revision, 3);
    assert_eq!(&changed.previous.as_ref().unwrap().value()[..], b"1");
    let gone = watch.next().await.unwrap();
    assert!(gone.entry.is_none());
    assert_eq!(gone.key(), "p/a");
    assert_eq!(watch.progress(), Some(4));
    drop(store);
    assert_eq!(watch.next().await.unwrap_err(), WatchError::Closed);
}

#[tokio::test]
async fn a_watcher_that_does_not_keep_up_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { watch_queue_max: 2, ..Options::default() };
    let store = Embedded::open(&dir.path().join("store"), &options).unwrap();
    let mut watch = store.watch("", 0).unwrap();
    for n in 0..3 {
        store.txn(put("a", &n.to_string(), Expect::Any)).await.unwrap();
    }
    assert_eq!(watch.next().await.unwrap().revision, 1);
    assert_eq!(watch.next().await.unwrap().revision, 2);
    assert_eq!(watch.next().await.unwrap_err(), WatchError::Lagged);
}

#[test]
fn compaction_forgets_the_past_but_nothing_current() {
    let dir = tempfile::tempdir().unwrap();
    {
        let options = Options { history_events_max: 10, ..Options::default() };
        let store = Embedded::open(&dir.path().join("store"), &options).unwrap();
        store.txn(put("kept", "since the start", Expect::Any)).wait().unwrap();
        for n in 0..50 {
            store.txn(put("a", &n.to_string(), Expect::Any)).wait().unwrap();
        }
        let oldest = store.watch("", 5).unwrap_err().oldest;
        assert!(oldest >= 40, "{oldest}");
        let past = Range { at: Some(5), ..Range::default() };
        assert_eq!(store.range(&past).unwrap_err(), Compacted { requested: 5, oldest });
    }
    let store = open(dir.path());
    assert_eq!(store.revision(), 51);
    assert_eq!(keys(&store, &Range::default()), ["a", "kept"]);
    assert_eq!(&store.get("a").unwrap().value()[..], b"49");
    store.watch("", 5).unwrap_err();
}

#[test]
fn history_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = open(dir.path());
        store.txn(put("a", "1", Expect::Any)).wait().unwrap();
        store.txn(delete("a")).wait().unwrap();
    }
    let store = open(dir.path());
    let mut watch = store.watch("", 1).unwrap();
    let event = watch.try_next().unwrap().unwrap();
    assert!(event.entry.is_none());
    assert_eq!(&event.previous.as_ref().unwrap().value()[..], b"1");
    assert_eq!(store.txn(put("b", "1", Expect::Any)).wait().unwrap().revision, 3);
}

#[test]
fn space_of_deleted_entries_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    {
        let options = Options { history_events_max: 1, ..Options::default() };
        let store = Embedded::open(&path, &options).unwrap();
        let big = "x".repeat(1 << 20);
        for n in 0..64 {
            store.txn(put(&format!("k{n}"), &big, Expect::Any)).wait().unwrap();
        }
        for n in 0..64 {
            store.txn(delete(&format!("k{n}"))).wait().unwrap();
        }
        store.compact(store.revision());
        store.txn(put("last", "1", Expect::Any)).wait().unwrap();
    }
    let store = open(dir.path());
    assert_eq!(keys(&store, &Range::default()), ["last"]);
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < 32 << 20, "{size}");
}

#[test]
fn a_damaged_file_is_named_with_the_fix() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    std::fs::write(&path, "this is no datastore at all, ".repeat(1000)).unwrap();
    let error = Embedded::open(&path, &Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    assert!(text.contains("restore the file from a snapshot"), "{text}");
}

#[test]
fn a_file_altered_by_another_hand_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    {
        let store = open(dir.path());
        for n in 0..200 {
            store.txn(put(&format!("k{n}"), &"v".repeat(500), Expect::Any)).wait().unwrap();
        }
    }
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(20).position(|w| w == [b'v'; 20]).unwrap();
    for byte in &mut bytes[at..at + 4096] {
        *byte ^= 0x55;
    }
    std::fs::write(&path, bytes).unwrap();
    let error = Embedded::open(&path, &Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open(dir.path());
    let error = Embedded::open(&dir.path().join("store"), &Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
}

#[test]
fn a_derived_value_is_made_once_per_version() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.txn(put("a", "12", Expect::Any)).wait().unwrap();
    let entry = store.get("a").unwrap();
    let length = entry.derived(|e| e.value().len());
    assert_eq!(*length, 2);
    assert!(Arc::ptr_eq(&length, &store.get("a").unwrap().derived(|_| 99_usize)));
}

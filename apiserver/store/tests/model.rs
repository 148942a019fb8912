//! The store against a model that remembers every version of everything.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use corten_apiserver_store::{Embedded, Expect, Key, Op, Options, Range, Revision, Store};
use proptest::prelude::*;

type Snapshot = BTreeMap<String, (Revision, Vec<u8>)>;

#[derive(Clone, Debug)]
enum Step {
    Put { key: u8, value: u8, stale: bool },
    Create { key: u8, value: u8 },
    Delete { key: u8 },
    Both { put: u8, delete: u8 },
    Read { back: u64, limit: usize, after: u8 },
    Watch { back: u64 },
    Compact { back: u64 },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0_u8..12;
    prop_oneof![
        8 => (key.clone(), any::<u8>(), prop::bool::weighted(0.2))
            .prop_map(|(key, value, stale)| Step::Put { key, value, stale }),
        3 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Step::Create { key, value }),
        4 => key.clone().prop_map(|key| Step::Delete { key }),
        2 => (key.clone(), key.clone()).prop_map(|(put, delete)| Step::Both { put, delete }),
        4 => (0_u64..20, 0_usize..5, key)
            .prop_map(|(back, limit, after)| Step::Read { back, limit, after }),
        2 => (0_u64..20).prop_map(|back| Step::Watch { back }),
        1 => (0_u64..10).prop_map(|back| Step::Compact { back }),
        1 => Just(Step::Reopen),
    ]
}

/// Half of the keys lie under one prefix, half under another.
fn name(key: u8) -> String {
    format!("{}/{key:02}", if key.is_multiple_of(2) { "even" } else { "odd" })
}

struct Model {
    /// The state after each revision, from 0.
    history: Vec<Snapshot>,
    compacted: Revision,
}

impl Model {
    fn now(&self) -> &Snapshot {
        self.history.last().unwrap()
    }

    fn revision(&self) -> Revision {
        self.history.len() as u64 - 1
    }

    fn modified(&self, key: &str) -> Option<Revision> {
        self.now().get(key).map(|(revision, _)| *revision)
    }

    /// Applies puts (some) and deletes (none); whether anything changed.
    fn apply(&mut self, changes: &[(String, Option<Vec<u8>>)]) {
        let mut next = self.now().clone();
        let revision = self.revision() + 1;
        let mut changed = false;
        for (key, value) in changes {
            match value {
                Some(value) => {
                    next.insert(key.clone(), (revision, value.clone()));
                    changed = true;
                }
                None => changed |= next.remove(key).is_some(),
            }
        }
        if changed {
            self.history.push(next);
        }
    }
}

fn open(dir: &Path) -> Embedded {
    Embedded::open(&dir.join("store"), &Options::default()).unwrap()
}

fn put(key: &str, value: u8, expect: Expect) -> Op {
    Op::Put { key: Key::from(key), value: vec![value].into(), expect }
}

fn write(store: &Embedded, model: &mut Model, step: &Step) {
    match step {
        Step::Put { key, value, stale } => {
            let key = name(*key);
            let expect = match model.modified(&key) {
                Some(revision) => Expect::Revision(revision - u64::from(*stale)),
                None => Expect::Absent,
            };
            let fails = *stale && model.modified(&key).is_some();
            let outcome = store.txn(vec![put(&key, *value, expect)]).wait();
            assert_eq!(outcome.is_err(), fails);
            if !fails {
                model.apply(&[(key, Some(vec![*value]))]);
            }
        }
        Step::Create { key, value } => {
            let key = name(*key);
            let exists = model.modified(&key).is_some();
            let outcome = store.txn(vec![put(&key, *value, Expect::Absent)]).wait();
            assert_eq!(outcome.is_err(), exists);
            if !exists {
                model.apply(&[(key, Some(vec![*value]))]);
            }
        }
        Step::Delete { key } => {
            let key = name(*key);
            let op = Op::Delete { key: Key::from(key.as_str()), expect: Expect::Any };
            store.txn(vec![op]).wait().unwrap();
            model.apply(&[(key, None)]);
        }
        Step::Both { put: added, delete } if added != delete => {
            let (added, gone) = (name(*added), name(*delete));
            let delete = Op::Delete { key: Key::from(gone.as_str()), expect: Expect::Any };
            store.txn(vec![delete, put(&added, 7, Expect::Any)]).wait().unwrap();
            model.apply(&[(gone, None), (added, Some(vec![7]))]);
        }
        Step::Both { .. }
        | Step::Read { .. }
        | Step::Watch { .. }
        | Step::Compact { .. }
        | Step::Reopen => {}
    }
}

fn read(store: &Embedded, model: &Model, back: u64, limit: usize, after: u8) {
    let at = model.revision().saturating_sub(back);
    let after = name(after);
    let range = Range { prefix: "even/", after: Some(&after), limit, at: Some(at) };
    let outcome = store.range(&range);
    if at < model.compacted {
        assert!(outcome.is_err());
        return;
    }
    let got = outcome.unwrap();
    let expected: Vec<_> = model.history[at as usize]
        .iter()
        .filter(|(key, _)| key.starts_with("even/") && **key > after)
        .map(|(key, (revision, value))| (key.clone(), *revision, value.clone()))
        .collect();
    let shown = if limit == 0 { expected.len() } else { limit.min(expected.len()) };
    let items: Vec<_> =
        got.items.iter().map(|e| (e.key().to_string(), e.modified(), e.value().to_vec())).collect();
    assert_eq!(items, expected[..shown]);
    assert_eq!(got.remaining, expected.len() - shown);
    assert_eq!(got.revision, at);
}

/// Replaying the events after a revision over the snapshot at it gives the present.
fn watch(store: &Embedded, model: &Model, back: u64) {
    let after = model.revision().saturating_sub(back);
    let outcome = store.watch("odd/", after);
    if after < model.compacted {
        assert!(outcome.is_err());
        return;
    }
    let mut watch = outcome.unwrap();
    let odd = |snapshot: &Snapshot| -> Snapshot {
        snapshot
            .iter()
            .filter(|(k, _)| k.starts_with("odd/"))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    let mut replayed = odd(&model.history[after as usize]);
    let mut last = after;
    while let Some(event) = watch.try_next().unwrap() {
        assert!(event.revision >= last);
        last = event.revision;
        let before = event.previous.as_ref().map(|e| (e.modified(), e.value().to_vec()));
        assert_eq!(replayed.get(event.key()).cloned(), before);
        match &event.entry {
            Some(e) => {
                replayed.insert(event.key().to_owned(), (e.modified(), e.value().to_vec()));
            }
            None => {
                replayed.remove(event.key());
            }
        }
    }
    assert_eq!(replayed, odd(model.now()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn behaves_as_the_model(steps in prop::collection::vec(step(), 1..80)) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        let mut model = Model { history: vec![Snapshot::new()], compacted: 0 };
        for step in &steps {
            match step {
                Step::Read { back, limit, after } => read(&store, &model, *back, *limit, *after),
                Step::Watch { back } => watch(&store, &model, *back),
                Step::Compact { back } => {
                    let revision = model.revision().saturating_sub(*back);
                    store.compact(revision);
                    // The order of the writer's queue makes this the end of the compaction.
                    let check = Op::Check { key: Key::from("none"), expect: Expect::Any };
                    store.txn(vec![check]).wait().unwrap();
                    drop(store);
                    store = open(dir.path());
                    model.compacted = model.compacted.max(revision);
                }
                Step::Reopen => {
                    drop(store);
                    store = open(dir.path());
                }
                Step::Put { .. } | Step::Create { .. } | Step::Delete { .. } | Step::Both { .. } => {
                    write(&store, &mut model, step);
                }
            }
            prop_assert_eq!(store.revision(), model.revision());
        }
        let all = store.range(&Range::default()).unwrap();
        prop_assert_eq!(all.items.len(), model.now().len());
    }
}

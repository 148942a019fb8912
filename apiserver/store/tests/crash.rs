//! A writer killed without warning: what it acknowledged is there.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use corten_apiserver_store::{Embedded, Expect, Key, Op, Options, Store};

const DIR: &str = "CORTEN_STORE_CRASH_DIR";
const WRITERS: usize = 16;
const ROUNDS: usize = 5;

/// Writes until killed, and tells of each write only after it was acknowledged.
fn write_until_killed(path: &Path) {
    let options = Options { history_events_max: 500, ..Options::default() };
    let store = Arc::new(Embedded::open(path, &options).unwrap());
    let threads: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = Arc::clone(&store);
            std::thread::spawn(move || {
                for n in 0_u64.. {
                    // Half of the writes go over a few keys, so that compaction has work.
                    let key = if n % 2 == 0 {
                        format!("new/{writer}/{}/{n}", std::process::id())
                    } else {
                        format!("again/{writer}")
                    };
                    let put = Op::Put {
                        key: Key::from(key.as_str()),
                        value: "x".repeat(300).into(),
                        expect: Expect::Any,
                    };
                    let done = store.txn(vec![put]).wait().unwrap();
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "ACK {key} {}", done.revision).unwrap();
                    out.flush().unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn acknowledged_writes_survive_sigkill() {
    if let Some(dir) = std::env::var_os(DIR) {
        return write_until_killed(&Path::new(&dir).join("store"));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: HashMap<String, u64> = HashMap::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "acknowledged_writes_survive_sigkill", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        // The kill comes at another point of the writer's work each time.
        let enough = 200 + 173 * round;
        while let Some(Ok(line)) = lines.next() {
            let mut words = line.split(' ');
            if words.next() != Some("ACK") {
                continue;
            }
            if let (Some(key), Some(revision)) = (words.next(), words.next())
                && let Ok(revision) = revision.parse()
            {
                acknowledged.insert(key.to_owned(), revision);
                seen += 1;
            }
            if seen == enough {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= enough, "the writer ended by itself after {seen} writes");

        let store = Embedded::open(&dir.path().join("store"), &Options::default()).unwrap();
        for (key, revision) in &acknowledged {
            let entry = store.get(key).unwrap_or_else(|| panic!("{key} is lost"));
            assert!(entry.modified() >= *revision, "{key} went back");
            assert_eq!(entry.value().len(), 300);
        }
    }
}

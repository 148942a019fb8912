//! What can go wrong in the store.

use std::path::PathBuf;
use std::sync::Arc;

use crate::{Entry, Key, Revision};

/// The datastore could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    #[error("the datastore {} is in use by another process; stop that one first", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a datastore or is damaged.
    #[error(
        "the datastore {} is damaged ({problem}); restore the file from a snapshot, or move it \
         away to start with an empty cluster", path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The file was written by a version with another format.
    #[error(
        "the datastore {} has format {found}, this version reads format {expected}; run the \
         version that wrote it", path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The format in the file.
        found: u64,
        /// The format this version reads.
        expected: u64,
    },
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The database refused for another reason.
    #[error("cannot open the datastore {}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<redb::Error>,
    },
}

/// A transaction was not applied.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TxnError {
    /// A step's expectation did not hold.
    #[error("{key} is not in the expected state")]
    Conflict {
        /// The key of that step.
        key: Key,
        /// What the key is instead; none when it does not exist.
        current: Option<Arc<Entry>>,
    },
    /// Two steps are about one key; nothing was written.
    #[error("{key} occurs twice in one transaction")]
    DuplicateKey {
        /// The key.
        key: Key,
    },
    /// Too many transactions wait already; nothing was written.
    #[error("too many writes wait for the disk")]
    Overloaded,
    /// The store no longer writes.
    #[error("the datastore cannot write: {reason}")]
    Failed {
        /// Why not.
        reason: String,
    },
}

/// The revision asked for lies before what the store still knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("revision {requested} has been compacted; the oldest known is {oldest}")]
pub struct Compacted {
    /// The revision asked for.
    pub requested: Revision,
    /// The oldest revision that can be read or watched from.
    pub oldest: Revision,
}

/// A watch has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The receiver did not keep up; it must list again.
    #[error("the watcher fell too far behind")]
    Lagged,
    /// The store was closed.
    #[error("the store was closed")]
    Closed,
}

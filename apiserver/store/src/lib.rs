//! Versioned storage with watch: every write gets the next revision of one counter, reads can be
//! pinned at a revision, and a watch replays and then follows what happened after one.
//!
//! [`Embedded`] keeps a log of writes in one redb file. One thread writes: all transactions that
//! wait when it comes round go to disk in one commit, and none is acknowledged before that commit
//! is durable. Reads never touch the disk: the current entries and the events of the retention
//! window are in memory.
//!
//! Non-goals: knowing what the values are, serving more than one process (the file is locked),
//! replication. The [`Store`] trait is kept narrow so that another datastore can stand behind it.
//!
//! Entry types: [`Store`], [`Embedded`], [`Op`], [`Watch`].
//! Privileges: none beyond reading and writing the file.

mod disk;
mod embedded;
mod entry;
mod error;
mod state;
mod watch;
mod writer;

use std::sync::Arc;

pub use embedded::{Embedded, Options};
pub use entry::{Entry, Event, Key, Revision};
pub use error::{Compacted, OpenError, TxnError, WatchError};
pub use watch::Watch;
pub use writer::{Committed, Pending};

/// What must be true of a key for a transaction to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the last writer wins.
    Any,
    /// The key does not exist.
    Absent,
    /// The key exists and was last written at this revision.
    Revision(Revision),
}

/// One step of a transaction.
#[derive(Clone, Debug)]
pub enum Op {
    /// Writes a key.
    Put {
        /// The key.
        key: Key,
        /// Its new value.
        value: bytes::Bytes,
        /// When to refuse.
        expect: Expect,
    },
    /// Removes a key; removing what does not exist changes nothing.
    Delete {
        /// The key.
        key: Key,
        /// When to refuse.
        expect: Expect,
    },
    /// Only checks a key.
    Check {
        /// The key.
        key: Key,
        /// When to refuse.
        expect: Expect,
    },
}

impl Op {
    /// The key the step is about.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } | Self::Check { key, .. } => key,
        }
    }

    /// When the step refuses the transaction.
    #[must_use]
    pub fn expect(&self) -> Expect {
        match self {
            Self::Put { expect, .. } | Self::Delete { expect, .. } | Self::Check { expect, .. } => {
                *expect
            }
        }
    }
}

/// Which entries [`Store::range`] returns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Range<'a> {
    /// Keys that start with this.
    pub prefix: &'a str,
    /// Only keys greater than this one.
    pub after: Option<&'a str>,
    /// At most so many; 0 is all.
    pub limit: usize,
    /// As things were at this revision; none is now.
    pub at: Option<Revision>,
}

/// Entries in key order.
#[derive(Clone, Debug)]
pub struct RangeResult {
    /// The entries.
    pub items: Vec<Arc<Entry>>,
    /// The revision at which the result is exact.
    pub revision: Revision,
    /// How many more entries the limit left out.
    pub remaining: usize,
}

/// Versioned storage with watch.
pub trait Store: Send + Sync + 'static {
    /// The revision of the newest acknowledged write.
    fn revision(&self) -> Revision;

    /// [`Store::revision`] as it changes.
    fn revisions(&self) -> tokio::sync::watch::Receiver<Revision>;

    /// The current entry of a key.
    fn get(&self, key: &str) -> Option<Arc<Entry>>;

    /// Entries in key order.
    ///
    /// # Errors
    /// [`Compacted`] when the pinned revision is no longer known.
    fn range(&self, range: &Range<'_>) -> Result<RangeResult, Compacted>;

    /// Submits a transaction: all of its steps at one revision, or none. Each key may occur once.
    /// What is returned resolves once the outcome is durable.
    fn txn(&self, ops: Vec<Op>) -> Pending;

    /// The events of keys with this prefix, after (not at) a revision.
    ///
    /// # Errors
    /// [`Compacted`] when events after that revision may have been forgotten.
    fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, Compacted>;

    /// Forgets the events up to and at a revision. Happens by itself as [`Options`] say.
    fn compact(&self, revision: Revision);

    /// Why writes are refused, when they are.
    fn failure(&self) -> Option<String>;
}

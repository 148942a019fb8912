//! What is stored and what happened to it.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

/// A key: UTF-8, ordered bytewise.
pub type Key = Arc<str>;

/// A point in the history of all writes. The first write has revision 1.
pub type Revision = u64;

/// One version of one key.
pub struct Entry {
    key: Key,
    created: Revision,
    modified: Revision,
    value: Bytes,
    derived: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Entry {
    pub(crate) fn new(key: Key, created: Revision, modified: Revision, value: Bytes) -> Self {
        Self { key, created, modified, value, derived: OnceLock::new() }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The revision at which the key came to exist.
    #[must_use]
    pub fn created(&self) -> Revision {
        self.created
    }

    /// The revision of this version.
    #[must_use]
    pub fn modified(&self) -> Revision {
        self.modified
    }

    /// The value as written.
    #[must_use]
    pub fn value(&self) -> &Bytes {
        &self.value
    }

    /// What `make` derives from this version (say, the parsed object), made at most once and kept
    /// as long as the version. Every caller must ask for the same type; another type is made anew
    /// each time.
    pub fn derived<T: Any + Send + Sync>(&self, make: impl Fn(&Self) -> T) -> Arc<T> {
        let slot = self.derived.get_or_init(|| Arc::new(make(self)));
        match Arc::clone(slot).downcast::<T>() {
            Ok(derived) => derived,
            Err(_other_type) => Arc::new(make(self)),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key)
            .field("created", &self.created)
            .field("modified", &self.modified)
            .field("value_len", &self.value.len())
            .finish_non_exhaustive()
    }
}

/// One change of one key.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it happened. The steps of one transaction share a revision.
    pub revision: Revision,
    /// What the key is now; none after a deletion.
    pub entry: Option<Arc<Entry>>,
    /// What the key was before; none at its creation.
    pub previous: Option<Arc<Entry>>,
    /// The place within the transaction, which is also its place in the log.
    pub(crate) step: u32,
}

impl Event {
    /// The key that changed.
    #[must_use]
    pub fn key(&self) -> &str {
        match (&self.entry, &self.previous) {
            (Some(entry), _) | (None, Some(entry)) => entry.key(),
            (None, None) => "",
        }
    }

    /// An estimate of the memory that keeping the event costs, in bytes.
    pub(crate) fn retained_bytes(&self) -> usize {
        const OVERHEAD: usize = 256;
        OVERHEAD + self.previous.as_ref().map_or(0, |e| e.value().len())
    }
}

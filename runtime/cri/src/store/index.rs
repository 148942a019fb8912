//! Entries by id, by the start of an id, and by name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What an id, or the start of one, stands for.
#[derive(Debug)]
pub(crate) enum Lookup<T> {
    Found(Arc<T>),
    Nothing,
    /// More than one id starts so.
    Ambiguous,
}

/// What became of a name.
#[derive(Debug)]
pub(crate) enum Reserved<T> {
    New(Arc<T>),
    Existing(Arc<T>),
}

/// Entries that have an id and, each its own, a name.
#[derive(Debug)]
pub(crate) struct Index<K, T> {
    inner: Mutex<Inner<K, T>>,
}

#[derive(Debug)]
struct Inner<K, T> {
    by_id: BTreeMap<String, Arc<T>>,
    by_name: BTreeMap<K, String>,
}

impl<K, T> Default for Index<K, T> {
    fn default() -> Self {
        Self { inner: Mutex::new(Inner { by_id: BTreeMap::new(), by_name: BTreeMap::new() }) }
    }
}

impl<K: Ord + Clone, T> Index<K, T> {
    /// No code that can panic runs under the lock, so that a poisoned one is as good as another.
    fn lock(&self) -> MutexGuard<'_, Inner<K, T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of that name, or else the one that `make` gives, with its id.
    pub(crate) fn reserve(&self, name: K, make: impl FnOnce() -> (String, T)) -> Reserved<T> {
        let mut inner = self.lock();
        let known = inner.by_name.get(&name).and_then(|id| inner.by_id.get(id));
        if let Some(entry) = known {
            return Reserved::Existing(Arc::clone(entry));
        }
        let (id, entry) = make();
        let entry = Arc::new(entry);
        inner.by_name.insert(name, id.clone());
        inner.by_id.insert(id, Arc::clone(&entry));
        Reserved::New(entry)
    }

    /// Forgets an entry and its name.
    pub(crate) fn remove(&self, id: &str) {
        let mut inner = self.lock();
        inner.by_id.remove(id);
        inner.by_name.retain(|_, named| named != id);
    }

    /// The entry with that id, or the only one whose id starts so.
    pub(crate) fn find(&self, id: &str) -> Lookup<T> {
        if id.is_empty() {
            return Lookup::Nothing;
        }
        let inner = self.lock();
        if let Some(entry) = inner.by_id.get(id) {
            return Lookup::Found(Arc::clone(entry));
        }
        let mut matches = inner
            .by_id
            .range::<str, _>((std::ops::Bound::Included(id), std::ops::Bound::Unbounded))
            .take_while(|(known, _)| known.starts_with(id));
        match (matches.next(), matches.next()) {
            (None, _) => Lookup::Nothing,
            (Some((_, entry)), None) => Lookup::Found(Arc::clone(entry)),
            (Some(_), Some(_)) => Lookup::Ambiguous,
        }
    }

    /// The entry with exactly that id.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<T>> {
        self.lock().by_id.get(id).map(Arc::clone)
    }

    /// All entries, by id.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        self.lock().by_id.values().map(Arc::clone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(ids: &[(&str, u32)]) -> Index<u32, String> {
        let index = Index::default();
        for (id, name) in ids {
            let reserved = index.reserve(*name, || ((*id).to_owned(), format!("entry {id}")));
            assert!(matches!(reserved, Reserved::New(_)));
        }
        index
    }

    #[test]
    fn a_name_is_given_once() {
        let index = index(&[("aa", 1)]);
        let Reserved::Existing(entry) = index.reserve(1, || panic!("not needed")) else {
            panic!("reserved twice");
        };
        assert_eq!(*entry, "entry aa");
        index.remove("aa");
        let reserved = index.reserve(1, || ("ab".to_owned(), "again".to_owned()));
        assert!(matches!(reserved, Reserved::New(_)));
    }

    #[test]
    fn ids_may_be_cut_short_while_that_is_clear() {
        let index = index(&[("abc", 1), ("abd", 2), ("x", 3), ("xy", 4)]);
        let found = |id: &str| match index.find(id) {
            Lookup::Found(entry) => (*entry).clone(),
            Lookup::Nothing => "nothing".to_owned(),
            Lookup::Ambiguous => "ambiguous".to_owned(),
        };
        assert_eq!(found("abc"), "entry abc");
        assert_eq!(found("ab"), "ambiguous");
        assert_eq!(found("x"), "entry x");
        assert_eq!(found("xy"), "entry xy");
        assert_eq!(found("b"), "nothing");
        assert_eq!(found(""), "nothing");
    }
}

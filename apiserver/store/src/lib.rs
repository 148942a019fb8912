//! MVCC storage with watch.

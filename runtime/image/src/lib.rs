//! Images: content store, snapshots, import and pull.

//! The CNI plugins.

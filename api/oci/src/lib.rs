//! OCI runtime and image documents.

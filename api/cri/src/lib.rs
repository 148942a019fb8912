//! The Kubernetes Container Runtime Interface, v1, as gRPC messages, client and server.
//!
//! [`v1`] is generated from the interface's own definition (`cargo xtask gen cri`); the field
//! documentation is <https://github.com/kubernetes/cri-api>. [`connect`] makes the channel that
//! the clients in [`v1::runtime_service_client`] and [`v1::image_service_client`] take.
//!
//! Non-goals: any behaviour of a runtime. Privileges: none, but a runtime's socket is root's.

mod connect;
mod redact;

pub use connect::{ConnectError, connect};

/// The version this definition is of, as Kubernetes counts.
pub const KUBERNETES_VERSION: &str = "1.36";

/// The largest message that clients of the interface take (the kubelet's and crictl's limit).
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

#[expect(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::clone_on_ref_ptr,
    clippy::too_many_lines,
    reason = "generated; the words are the interface's own"
)]
pub mod v1 {
    include!("gen/runtime.v1.rs");
}

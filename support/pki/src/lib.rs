//! Certificates, keys and kubeconfig files of a cluster.
//!
//! An [`Authority`] signs the certificates by which the components of a cluster know each other;
//! a [`ServiceAccountKey`] signs the tokens of service accounts. Keys are ECDSA P-256, written
//! with mode 0600 and replaced atomically, so that a crash leaves the old or the new one.
//!
//! Non-goals: revocation (certificates are short-lived instead), key storage outside files.
//! Privileges: those of the folder that the files live in.

mod authority;
mod file;
mod kubeconfig;
mod service_account;
mod tls;

pub use authority::{Authority, Issued, Request, San, Usage};
pub use file::{FileError, write_private, write_public};
pub use kubeconfig::{Kubeconfig, write_kubeconfig};
pub use service_account::ServiceAccountKey;
pub use tls::{Subject, client_subject, server_config};

/// What can go wrong with certificates and keys.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file or a text holds no usable certificate or key.
    #[error("{what} is not usable; restore it from a backup, or remove it to have it made anew")]
    Unusable {
        /// The file, or what the text is for.
        what: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A certificate could not be made as asked.
    #[error("no certificate can be made for {common_name:?}")]
    Issue {
        /// The subject's common name.
        common_name: String,
        /// The reason.
        #[source]
        source: rcgen::Error,
    },
    /// A key could not be made.
    #[error("no key can be made")]
    Key(#[source] rcgen::Error),
}

impl PkiError {
    fn unusable(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unusable { what: what.into(), source: source.into() }
    }
}

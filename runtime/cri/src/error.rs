//! What can go wrong in an operation of the service. `server/code.rs` maps it to gRPC.

use std::fmt;
use std::path::PathBuf;

use crate::images::ImageFailure;
use crate::network::NetworkError;
use crate::shim::ShimError;
use crate::store::StoreError;

/// What an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sandbox,
    Container,
    Image,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sandbox => "pod sandbox",
            Self::Container => "container",
            Self::Image => "image",
        })
    }
}

/// An operation failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperationError {
    #[error("{kind} {id:?} not found")]
    NotFound { kind: Kind, id: String },
    #[error("{kind} id {id:?} is ambiguous: more than one starts with it")]
    Ambiguous { kind: Kind, id: String },
    #[error("{field}: {reason}")]
    Invalid { field: String, reason: String },
    #[error("{field} is not supported: {reason}")]
    Unsupported { field: String, reason: String },
    #[error("{kind} {id} has that name already, and {reason}; remove it first")]
    Exists { kind: Kind, id: String, reason: &'static str },
    #[error("{kind} {id} is {state}: {wanted}")]
    State { kind: Kind, id: String, state: &'static str, wanted: &'static str },
    #[error("{kind} {id} was removed meanwhile")]
    Gone { kind: Kind, id: String },
    #[error("{doing} image {image:?}")]
    Image {
        doing: &'static str,
        image: String,
        #[source]
        source: ImageFailure,
    },
    #[error("{doing} of {kind} {id}")]
    Shim {
        doing: &'static str,
        kind: Kind,
        id: String,
        #[source]
        source: ShimError,
    },
    #[error("start of container {id}: {reason}")]
    Program { id: String, reason: String },
    #[error("{doing} the network of pod sandbox {id}")]
    Network {
        doing: &'static str,
        id: String,
        #[source]
        source: NetworkError,
    },
    #[error("keep the state of {kind} {id}")]
    Store {
        kind: Kind,
        id: String,
        #[source]
        source: StoreError,
    },
    #[error("{doing} {}", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{doing} cgroup {path}")]
    Cgroup {
        doing: &'static str,
        path: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{doing} took longer than {seconds} s")]
    Timeout { doing: String, seconds: u64 },
    #[error("taking {kind} {id} down left {} steps undone: {}", failures.len(), failures.join("; "))]
    Teardown { kind: Kind, id: String, failures: Vec<String> },
    #[error(transparent)]
    TooManyStreams { source: corten_runtime_streaming::TooMany },
    #[error("the client reads too slowly and has missed what container {id} wrote: attach again")]
    TooSlow { id: String },
    #[error("the service is shutting down")]
    ShuttingDown,
    #[error("{doing} failed")]
    Internal {
        doing: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OperationError {
    pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    pub(crate) fn unsupported(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unsupported { field: field.into(), reason: reason.into() }
    }

    pub(crate) fn not_found(kind: Kind, id: &str) -> Self {
        Self::NotFound { kind, id: id.to_owned() }
    }
}

/// An error and all its sources in one line, outermost first.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The result of an operation.
pub(crate) type Outcome<T> = Result<T, OperationError>;

//! What can go wrong with images.

use std::io;
use std::path::{Path, PathBuf};

use crate::digest::InvalidDigest;
use crate::name::InvalidName;

/// An operation on images failed; the store is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file or folder of the store can't be used.
    #[error("{operation} {path}", path = path.display())]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// A text is not an image's name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A document holds something that is not a digest.
    #[error("{what} has an invalid digest")]
    Digest {
        /// The document.
        what: String,
        /// What is wrong with it.
        #[source]
        source: InvalidDigest,
    },
    /// Content is not what its digest says: it was damaged, or someone tampers with it.
    #[error("{what} should have the digest {expected}, but has {actual}")]
    Mismatch {
        /// The content.
        what: String,
        /// What was promised.
        expected: String,
        /// What came.
        actual: String,
    },
    /// A document of the image is not what the specification asks for.
    #[error("{what} is not valid: {reason}")]
    Document {
        /// The document.
        what: String,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// An archive or layout lacks something.
    #[error("{source_path} has no {missing}", source_path = source_path.display())]
    Missing {
        /// The archive or layout.
        source_path: PathBuf,
        /// What it lacks.
        missing: String,
    },
    /// A layer can't be unpacked.
    #[error("layer {layer}, entry {entry:?}")]
    Unpack {
        /// The digest of its content.
        layer: String,
        /// The path in the layer that failed.
        entry: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// No image of a multi-platform index fits this machine.
    #[error("{name} has no image for {platform}")]
    Platform {
        /// The image.
        name: String,
        /// This machine.
        platform: String,
    },
    /// The registry does not have the image.
    #[error("{name}: not found")]
    NotFound {
        /// The image.
        name: String,
    },
    /// The registry does not give the image to this user.
    #[error("{name}: the registry refuses access; check the name and the pull secret")]
    Unauthorized {
        /// The image.
        name: String,
    },
    /// The registry can't be reached, or answers with an error.
    #[error("{name}: cannot be pulled")]
    Registry {
        /// The image.
        name: String,
        /// The reason.
        #[source]
        source: Box<oci_client::errors::OciDistributionError>,
    },
    /// A transfer did not end in time.
    #[error("{name}: {what} did not arrive within {seconds} s")]
    Timeout {
        /// The image.
        name: String,
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
    /// A mount failed.
    #[error("{operation} {target}", target = target.display())]
    Mount {
        /// The step.
        operation: &'static str,
        /// The mount point.
        target: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// A container's key can't name a folder.
    #[error("{key:?} cannot name a snapshot: use letters, digits, '-', '_' and '.'")]
    Key {
        /// The key.
        key: String,
    },
    /// The process that does the work is shutting down.
    #[error("{what} was interrupted")]
    Interrupted {
        /// The work.
        what: &'static str,
    },
}

impl ImageError {
    /// For `map_err` on a file operation.
    pub(crate) fn disk(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Disk { operation, path, source }
    }

    pub(crate) fn document(what: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        let reason = reason.to_string();
        Self::Document { what: what.into(), reason }
    }
}

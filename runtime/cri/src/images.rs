//! The images and root file systems that containers are made of.

use std::fmt;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;

mod store;

pub(crate) use store::StoredImages;

/// Something asked of the image store failed.
pub(crate) type ImageFailure = Box<dyn std::error::Error + Send + Sync>;

/// An image on this node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ImageInfo {
    /// `sha256:…` of its configuration.
    pub(crate) id: String,
    pub(crate) repo_tags: Vec<String>,
    pub(crate) repo_digests: Vec<String>,
    pub(crate) size_bytes: u64,
    pub(crate) config: ImageDefaults,
}

/// What an image says of the containers made from it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ImageDefaults {
    pub(crate) user: String,
    pub(crate) env: Vec<String>,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) cmd: Vec<String>,
    pub(crate) working_dir: String,
    pub(crate) stop_signal: Option<String>,
}

/// Credentials for a registry.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    Basic { username: String, password: String },
    Bearer { token: String },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { username, password: _ } => {
                formatter.debug_struct("Basic").field("username", username).finish_non_exhaustive()
            }
            Self::Bearer { token: _ } => formatter.debug_struct("Bearer").finish_non_exhaustive(),
        }
    }
}

/// What images or a root file system occupy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct DiskUsage {
    pub(crate) bytes: u64,
    pub(crate) inodes: u64,
    pub(crate) path: PathBuf,
}

/// The image store. All calls but [`Images::pull`] block.
pub(crate) trait Images: Send + Sync + fmt::Debug {
    /// The image with that id, start of an id, tag or digest.
    fn resolve(&self, name: &str) -> Result<Option<ImageInfo>, ImageFailure>;
    /// All images.
    fn list(&self) -> Vec<ImageInfo>;
    /// Fetches an image from its registry.
    fn pull(
        &self,
        reference: String,
        credentials: Option<Credentials>,
    ) -> BoxFuture<'_, Result<ImageInfo, ImageFailure>>;
    /// Removes an image; whether there was one.
    fn remove(&self, name: &str) -> Result<bool, ImageFailure>;
    /// What all images occupy.
    fn usage(&self) -> Result<DiskUsage, ImageFailure>;
    /// Mounts a writable root file system of the image at `target`, a folder that exists.
    fn mount(&self, image_id: &str, key: &str, target: &Path) -> Result<(), ImageFailure>;
    /// Undoes [`Images::mount`] and deletes what was written; fine when there is nothing.
    fn release(&self, key: &str, target: &Path) -> Result<(), ImageFailure>;
    /// What was written to a root file system.
    fn written(&self, key: &str) -> Result<DiskUsage, ImageFailure>;
}

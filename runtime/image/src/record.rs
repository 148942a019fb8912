//! What the store remembers of an image: one file each.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::Path;

use oci_spec::image::{Config, ImageConfiguration};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::ImageError;

/// The digest of an image's configuration, which names its layers too.
pub type ImageId = Digest;

/// An image in the store.
#[derive(Debug, Clone)]
pub struct Image {
    /// What it is.
    pub id: ImageId,
    /// Its names with a tag, spelled out.
    pub repo_tags: Vec<String>,
    /// Its names with a digest.
    pub repo_digests: Vec<String>,
    /// Bytes that its layers take, unpacked.
    pub size_bytes: u64,
    /// When it was built, as its maker wrote it.
    pub created: Option<String>,
    /// What its containers run by default.
    pub config: Config,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: ImageId,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) digests: BTreeSet<String>,
    /// From the bottom to the top.
    pub(crate) layers: Vec<Digest>,
    pub(crate) size_bytes: u64,
    pub(crate) configuration: ImageConfiguration,
}

impl Record {
    pub(crate) fn image(&self) -> Image {
        Image {
            id: self.id.clone(),
            repo_tags: self.tags.iter().cloned().collect(),
            repo_digests: self.digests.iter().cloned().collect(),
            size_bytes: self.size_bytes,
            created: self.configuration.created().clone(),
            config: self.configuration.config().clone().unwrap_or_default(),
        }
    }

    pub(crate) fn load(path: &Path) -> Result<Self, ImageError> {
        let text = std::fs::read(path).map_err(ImageError::disk("read", path))?;
        serde_json::from_slice(&text)
            .map_err(|error| ImageError::document(path.display().to_string(), error))
    }

    /// Writes the record so that a crash leaves the old one or this one.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), ImageError> {
        let path = folder.join(format!("{}.json", self.id.hex()));
        let text = serde_json::to_vec(self)
            .map_err(|error| ImageError::document(path.display().to_string(), error))?;
        write_atomically(folder, &path, &text).map_err(ImageError::disk("write", &path))
    }
}

pub(crate) fn write_atomically(folder: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

//! Unpacked layers, shared by all images that have them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::decompress::decompress;
use crate::digest::{Digest, HashingReader};
use crate::disk::Usage;
use crate::error::ImageError;
use crate::unpack;

/// `<root>/layers/<digest of the content>/{fs,size}`; what is incomplete is in `<root>/tmp`.
///
/// Layers are named after their uncompressed content alone, not after what lies below them: an
/// overlay combines them, so the same content is kept once even under different parents.
#[derive(Debug)]
pub(crate) struct Layers {
    folder: PathBuf,
    temporary: PathBuf,
    bytes_max: u64,
    /// One lock for each layer that is being unpacked, so that two pulls do it once.
    busy: Mutex<HashMap<Digest, Weak<Mutex<()>>>>,
}

/// What a layer's compressed form must be.
#[derive(Debug)]
pub(crate) struct Expected<'a> {
    /// The digest of the tar stream.
    pub(crate) content: &'a Digest,
    /// The digest of the bytes that come, unless they are not promised.
    pub(crate) compressed: Option<&'a Digest>,
}

impl Layers {
    pub(crate) fn new(root: &Path, temporary: PathBuf, bytes_max: u64) -> Result<Self, ImageError> {
        let folder = root.join("layers");
        std::fs::create_dir_all(&folder).map_err(ImageError::disk("create", &folder))?;
        Ok(Self { folder, temporary, bytes_max, busy: Mutex::default() })
    }

    /// The folder with a layer's files.
    pub(crate) fn files(&self, layer: &Digest) -> PathBuf {
        self.folder.join(layer.hex()).join("fs")
    }

    /// The bytes that a layer takes; `None` when it is not there.
    pub(crate) fn size(&self, layer: &Digest) -> Option<u64> {
        let text = std::fs::read_to_string(self.folder.join(layer.hex()).join("size")).ok()?;
        text.trim().parse().ok()
    }

    /// Unpacks a layer unless it is there; blocks. `open` gives its bytes and is only called
    /// when they are needed. Returns the bytes that the layer takes on disk.
    pub(crate) fn ensure<R: Read>(
        &self,
        expected: &Expected<'_>,
        open: impl FnOnce() -> Result<R, ImageError>,
    ) -> Result<u64, ImageError> {
        let lock = self.lock_of(expected.content);
        let _unpacking = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(size) = self.size(expected.content) {
            return Ok(size);
        }
        self.unpack(expected, open()?)
    }

    fn lock_of(&self, layer: &Digest) -> Arc<Mutex<()>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = busy.get(layer).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::new(Mutex::new(()));
        busy.insert(layer.clone(), Arc::downgrade(&lock));
        lock
    }

    fn unpack(&self, expected: &Expected<'_>, source: impl Read) -> Result<u64, ImageError> {
        let layer = expected.content;
        let incomplete = tempfile::Builder::new()
            .prefix("layer-")
            .tempdir_in(&self.temporary)
            .map_err(ImageError::disk("create a folder in", &self.temporary))?;
        let files = incomplete.path().join("fs");
        std::fs::create_dir(&files).map_err(ImageError::disk("create", &files))?;

        let mut compressed = HashingReader::new(source, self.bytes_max);
        let content = {
            let buffered = BufReader::with_capacity(256 * 1024, &mut compressed);
            let tar = decompress(buffered).map_err(|source| entry_error(layer, "", source))?;
            let mut content = HashingReader::new(tar, self.bytes_max);
            unpack::unpack(&mut content, &files)
                .map_err(|failed| entry_error(layer, &failed.entry, failed.source))?;
            content.finish().map_err(|source| entry_error(layer, "", source))?.0
        };
        let compressed = compressed.finish().map_err(|source| entry_error(layer, "", source))?.0;
        verify("a layer", Some(layer), &content)?;
        verify("a compressed layer", expected.compressed, &compressed)?;

        let size = Usage::of(&files).map_err(ImageError::disk("measure", &files))?.bytes;
        let size_file = incomplete.path().join("size");
        std::fs::write(&size_file, size.to_string())
            .map_err(ImageError::disk("write", &size_file))?;
        // One sync of the file system instead of one for each file: nothing refers to the layer
        // before its folder has its name.
        File::open(&files)
            .and_then(|dir| Ok(rustix::fs::syncfs(dir)?))
            .map_err(ImageError::disk("sync", &files))?;
        let target = self.folder.join(layer.hex());
        remove_tree(&target).map_err(ImageError::disk("remove", &target))?;
        std::fs::rename(incomplete.path(), &target)
            .map_err(ImageError::disk("rename to", &target))?;
        Ok(size)
    }

    /// Removes the layers for which `used` is false.
    pub(crate) fn collect(&self, used: impl Fn(&Digest) -> bool) -> Result<(), ImageError> {
        let failed = || ImageError::disk("list", &self.folder);
        for entry in std::fs::read_dir(&self.folder).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let name = entry.file_name();
            let layer = format!("sha256:{}", name.to_string_lossy());
            if layer.parse::<Digest>().is_ok_and(|layer| used(&layer)) {
                continue;
            }
            // Renamed first, so that a crash in the middle leaves no layer with files missing.
            let path = entry.path();
            let doomed = tempfile::Builder::new()
                .prefix("doomed-")
                .tempdir_in(&self.temporary)
                .map_err(ImageError::disk("create a folder in", &self.temporary))?;
            std::fs::rename(&path, doomed.path().join("layer"))
                .map_err(ImageError::disk("remove", &path))?;
            doomed.close().map_err(ImageError::disk("remove", &path))?;
        }
        Ok(())
    }
}

fn remove_tree(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn entry_error(layer: &Digest, entry: &str, source: std::io::Error) -> ImageError {
    ImageError::Unpack { layer: layer.to_string(), entry: entry.to_owned(), source }
}

pub(crate) fn verify(
    what: &str,
    expected: Option<&Digest>,
    actual: &Digest,
) -> Result<(), ImageError> {
    match expected {
        Some(expected) if expected != actual => Err(ImageError::Mismatch {
            what: what.to_owned(),
            expected: expected.to_string(),
            actual: actual.to_string(),
        }),
        Some(_) | None => Ok(()),
    }
}

//! How much room a tree of files takes.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Room on a file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of the blocks in use.
    pub bytes: u64,
    /// Files, folders and the like.
    pub inodes: u64,
}

impl Usage {
    /// Walks a tree; what vanishes meanwhile is passed over.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let mut total = Self::default();
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                let metadata = match entry.metadata() {
                    Ok(metadata) => metadata,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                total.inodes += 1;
                // st_blocks counts units of 512 bytes, whatever the file system (stat(2)).
                total.bytes += metadata.blocks() * 512;
                if metadata.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        Ok(total)
    }
}

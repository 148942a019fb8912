//! How containers ended, on disk: what the shim tells must be known even if it dies right after.

use std::path::{Path, PathBuf};

use crate::fault::{internal, io};
use crate::protocol::{EXITS, Exited, Fault};

/// The folder of records.
#[derive(Debug)]
pub(crate) struct Records {
    dir: PathBuf,
}

impl Records {
    pub(crate) fn open(shim_dir: &Path) -> Result<Self, Fault> {
        let dir = shim_dir.join(EXITS);
        match std::fs::create_dir(&dir) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io("mkdir", &dir, &error)),
        }
        Ok(Self { dir })
    }

    /// Writes a record, whole or not at all.
    pub(crate) fn write(&self, container_id: &str, exited: &Exited) -> Result<(), Fault> {
        let path = self.dir.join(container_id);
        // No container id begins so.
        let temporary = self.dir.join(format!("%{container_id}"));
        let json = serde_json::to_vec(exited)
            .map_err(|error| internal("encode", path.display().to_string(), &error))?;
        std::fs::write(&temporary, json).map_err(|error| io("write", &temporary, &error))?;
        std::fs::rename(&temporary, &path).map_err(|error| io("rename", &path, &error))
    }

    pub(crate) fn remove(&self, container_id: &str) -> Result<(), Fault> {
        let path = self.dir.join(container_id);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(io("unlink", &path, &error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_written_read_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(dir.path()).unwrap();
        let exited =
            Exited { code: 3, signal: None, at_ns: 1, oom_killed: false, timed_out: false };
        records.write("c1", &exited).unwrap();
        let text = std::fs::read(dir.path().join("exits/c1")).unwrap();
        assert_eq!(serde_json::from_slice::<Exited>(&text).unwrap(), exited);
        assert_eq!(std::fs::read_dir(dir.path().join("exits")).unwrap().count(), 1);
        records.remove("c1").unwrap();
        records.remove("c1").unwrap();
        assert_eq!(std::fs::read_dir(dir.path().join("exits")).unwrap().count(), 0);
        Records::open(dir.path()).unwrap();
    }
}

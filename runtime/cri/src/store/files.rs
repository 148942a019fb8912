//! The records on disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::records::{ContainerRecord, SandboxRecord, VERSION};

/// A record holds what one request carries, and requests are bounded.
const RECORD_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The records could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}", path.display())]
pub(crate) struct StoreError {
    doing: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The folder of records. All calls block.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    sandboxes: PathBuf,
    containers: PathBuf,
}

/// What can be in such a folder.
trait Record: Serialize + DeserializeOwned {
    fn id(&self) -> &str;
}

impl Record for SandboxRecord {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Record for ContainerRecord {
    fn id(&self) -> &str {
        &self.id
    }
}

/// Read before the rest, which another version may have in another form.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

impl Store {
    /// Opens the folder, and makes it when it is not there.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self { sandboxes: root.join("sandboxes"), containers: root.join("containers") };
        for dir in [&store.sandboxes, &store.containers] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.map_err(|source| StoreError {
                doing: "make the folder",
                path: dir.clone(),
                source,
            })?;
        }
        Ok(store)
    }

    pub(crate) fn save_sandbox(&self, record: &SandboxRecord) -> Result<(), StoreError> {
        save(&self.sandboxes, record)
    }

    pub(crate) fn save_container(&self, record: &ContainerRecord) -> Result<(), StoreError> {
        save(&self.containers, record)
    }

    pub(crate) fn delete_sandbox(&self, id: &str) -> Result<(), StoreError> {
        delete(&self.sandboxes, id)
    }

    pub(crate) fn delete_container(&self, id: &str) -> Result<(), StoreError> {
        delete(&self.containers, id)
    }

    /// All sandboxes, the oldest first. A record that cannot be read is put aside and told of: the
    /// others are worth more than it.
    pub(crate) fn sandboxes(&self) -> Result<Vec<SandboxRecord>, StoreError> {
        let mut records: Vec<SandboxRecord> = load_all(&self.sandboxes)?;
        records.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(records)
    }

    /// All containers, in the same way.
    pub(crate) fn containers(&self) -> Result<Vec<ContainerRecord>, StoreError> {
        let mut records: Vec<ContainerRecord> = load_all(&self.containers)?;
        records.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(records)
    }
}

fn file_of(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{id}.json"))
}

/// Written beside and renamed over: a reader sees the old file or the new one. It is not forced to
/// the disk at once; what a power cut takes is put right by reconciling at start.
fn save(dir: &Path, record: &impl Record) -> Result<(), StoreError> {
    let path = file_of(dir, record.id());
    let written = (|| {
        let bytes = serde_json::to_vec(record).map_err(io::Error::other)?;
        let beside = dir.join(format!("{}.new", record.id()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&beside)?.write_all(&bytes)?;
        fs::rename(&beside, &path)
    })();
    written.map_err(|source| StoreError { doing: "write the record", path, source })
}

fn delete(dir: &Path, id: &str) -> Result<(), StoreError> {
    let path = file_of(dir, id);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StoreError { doing: "delete the record", path, source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn load_all<R: Record>(dir: &Path) -> Result<Vec<R>, StoreError> {
    let listing =
        |source| StoreError { doing: "list the records in", path: dir.to_owned(), source };
    let mut records = Vec::new();
    for entry in fs::read_dir(dir).map_err(listing)? {
        let path = entry.map_err(listing)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension {
            // A write that never ended.
            Some("new") => {
                fs::remove_file(&path).map_err(|source| StoreError {
                    doing: "delete the unfinished record",
                    path,
                    source,
                })?;
            }
            Some("json") => match load::<R>(&path) {
                Ok(record) if path.file_stem().is_some_and(|stem| stem == record.id()) => {
                    records.push(record);
                }
                Ok(record) => put_aside(&path, &format!("it names another id, {}", record.id()))?,
                Err(cause) => put_aside(&path, &cause.to_string())?,
            },
            Some(_) | None => {}
        }
    }
    Ok(records)
}

fn load<R: Record>(path: &Path) -> io::Result<R> {
    let mut bytes = Vec::new();
    File::open(path)?.take(RECORD_BYTES_MAX).read_to_end(&mut bytes)?;
    let head: Head = serde_json::from_slice(&bytes)?;
    if head.version != VERSION {
        let text = format!("version {} is not {VERSION}", head.version);
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(serde_json::from_slice(&bytes)?)
}

fn put_aside(path: &Path, cause: &str) -> Result<(), StoreError> {
    let aside = path.with_extension("unreadable");
    tracing::error!(path = %path.display(), aside = %aside.display(), cause, "record put aside");
    fs::rename(path, &aside).map_err(|source| StoreError {
        doing: "put aside the record",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::records::{container, sandbox};

    #[test]
    fn what_was_saved_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut pod = sandbox("a1", "web");
        store.save_sandbox(&pod).unwrap();
        pod.ips.push("10.42.0.7".parse().unwrap());
        store.save_sandbox(&pod).unwrap();
        store.save_container(&container("c1", "a1", "nginx")).unwrap();
        store.save_container(&container("c2", "a1", "sidecar")).unwrap();
        store.delete_container("c2").unwrap();
        store.delete_container("c2").unwrap();

        let again = Store::open(dir.path()).unwrap();
        assert_eq!(again.sandboxes().unwrap(), [pod]);
        assert_eq!(again.containers().unwrap(), [container("c1", "a1", "nginx")]);
    }

    #[test]
    fn damaged_records_are_put_aside_and_the_rest_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.save_sandbox(&sandbox("good", "web")).unwrap();
        let folder = dir.path().join("sandboxes");
        fs::write(folder.join("torn.json"), b"{\"version\":1,\"id\":\"to").unwrap();
        fs::write(folder.join("later.json"), b"{\"version\":2}").unwrap();
        fs::write(folder.join("half.new"), b"{").unwrap();
        fs::copy(folder.join("good.json"), folder.join("other.json")).unwrap();

        let ids: Vec<_> = store.sandboxes().unwrap().into_iter().map(|pod| pod.id).collect();
        assert_eq!(ids, ["good"]);
        let mut names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["good.json", "later.unreadable", "other.unreadable", "torn.unreadable"]);
    }

    #[test]
    fn records_are_for_root_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("cri")).unwrap();
        store.save_sandbox(&sandbox("a1", "web")).unwrap();
        let mode =
            |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode("cri/sandboxes"), 0o700);
        assert_eq!(mode("cri/sandboxes/a1.json"), 0o600);
    }
}

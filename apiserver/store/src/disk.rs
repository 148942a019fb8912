//! The log of writes in a redb file.
//!
//! Table `log`: (revision, step) → record. The newest record of each key is its current state;
//! older ones stay until compaction takes them. Table `meta`: counters by name.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::state::State;
use crate::{Entry, Event, Key, OpenError, Revision};

const LOG: TableDefinition<'static, (u64, u32), &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");

const FORMAT: u64 = 1;
const META_FORMAT: &str = "format";
const META_REVISION: &str = "revision";
const META_COMPACTED: &str = "compacted";

/// Reads are served from the state in memory, so that redb needs little more than the pages it
/// writes.
const CACHE_BYTES: usize = 16 << 20;

/// Give space back when the file is larger than this and mostly empty.
const SHRINK_BYTES_MIN: u64 = 32 << 20;

const KIND_PUT: u8 = 1;
const KIND_DELETE: u8 = 2;

pub(crate) struct Disk {
    path: PathBuf,
    database: Database,
}

/// What a compaction removes along with a commit.
#[derive(Debug, Default)]
pub(crate) struct Trim {
    pub(crate) compacted: Revision,
    pub(crate) events: Vec<Arc<Event>>,
}

impl Disk {
    /// Opens or makes the file and reads it whole.
    pub(crate) fn open(path: &Path) -> Result<(Self, State), OpenError> {
        let mut disk = Self { path: path.to_owned(), database: open_database(path)? };
        let state = disk.load()?;
        disk.shrink().map_err(|source| disk.refused(source))?;
        Ok((disk, state))
    }

    fn load(&self) -> Result<State, OpenError> {
        self.initialise().map_err(|source| self.refused(source))?;
        let (meta, records) = self.read().map_err(|source| self.refused(source))?;
        if meta.format != FORMAT {
            return Err(OpenError::Format {
                path: self.path.clone(),
                found: meta.format,
                expected: FORMAT,
            });
        }
        let mut state = State::new(meta.compacted);
        for ((revision, step), bytes) in records {
            let Some(record) = decode(&bytes) else {
                return Err(OpenError::Corrupt {
                    path: self.path.clone(),
                    problem: format!("record {revision}/{step} is not readable"),
                });
            };
            let previous = state.get(&record.key).map(Arc::clone);
            let entry = record.value.map(|value| {
                Arc::new(Entry::new(Arc::clone(&record.key), record.created, revision, value))
            });
            state.apply(Arc::new(Event { revision, entry, previous, step }));
        }
        state.set_revision(meta.revision);
        Ok(state)
    }

    /// Writes the tables' first contents, so that a new file is complete before it is used.
    fn initialise(&self) -> Result<(), redb::Error> {
        let txn = self.database.begin_write()?;
        drop(txn.open_table(LOG)?);
        let mut meta = txn.open_table(META)?;
        let new = meta.get(META_FORMAT)?.is_none();
        if new {
            meta.insert(META_FORMAT, FORMAT)?;
        }
        drop(meta);
        if new {
            txn.commit()?
        } else {
            txn.abort()?
        }
        Ok(())
    }

    fn read(&self) -> Result<(Meta, Vec<LogRecord>), redb::Error> {
        let txn = self.database.begin_read()?;
        let table = txn.open_table(META)?;
        let number = |name: &str| -> Result<u64, redb::Error> {
            Ok(table.get(name)?.map_or(0, |guard| guard.value()))
        };
        let meta = Meta {
            format: number(META_FORMAT)?,
            revision: number(META_REVISION)?,
            compacted: number(META_COMPACTED)?,
        };
        let mut records = Vec::new();
        for item in txn.open_table(LOG)?.iter()? {
            let (key, value) = item?;
            records.push((key.value(), Bytes::copy_from_slice(value.value())));
        }
        Ok((meta, records))
    }

    /// Appends events and removes what a compaction takes, durably.
    pub(crate) fn commit(
        &self,
        events: &[Arc<Event>],
        trim: Option<&Trim>,
    ) -> Result<(), redb::Error> {
        let txn = self.database.begin_write()?;
        {
            let mut log = txn.open_table(LOG)?;
            let mut meta = txn.open_table(META)?;
            for event in events {
                log.insert((event.revision, event.step), encode(event).as_slice())?;
            }
            if let Some(last) = events.last() {
                meta.insert(META_REVISION, last.revision)?;
            }
            if let Some(trim) = trim {
                for event in &trim.events {
                    if let Some(previous) = &event.previous {
                        // A key is written once per transaction, so its step is found by range.
                        remove_version(&mut log, previous)?;
                    }
                    if event.entry.is_none() {
                        log.remove((event.revision, event.step))?;
                    }
                }
                meta.insert(META_COMPACTED, trim.compacted)?;
            }
        }
        txn.commit()?;
        Ok(())
    }

    /// Gives space back to the file system when most of the file is empty.
    pub(crate) fn shrink(&mut self) -> Result<(), redb::Error> {
        let size = std::fs::metadata(&self.path)?.len();
        if size < SHRINK_BYTES_MIN {
            return Ok(());
        }
        let txn = self.database.begin_write()?;
        let stats = txn.stats()?;
        txn.abort()?;
        if stats.stored_bytes().saturating_mul(4) < size {
            self.database.compact()?;
        }
        Ok(())
    }

    fn refused(&self, error: redb::Error) -> OpenError {
        refused(&self.path, error)
    }
}

type LogRecord = ((u64, u32), Bytes);

struct Meta {
    format: u64,
    revision: Revision,
    compacted: Revision,
}

struct Record {
    key: Key,
    created: Revision,
    value: Option<Bytes>,
}

fn remove_version(
    log: &mut redb::Table<'_, (u64, u32), &'static [u8]>,
    entry: &Entry,
) -> Result<(), redb::Error> {
    let mut step = None;
    for item in log.range((entry.modified(), 0)..=(entry.modified(), u32::MAX))? {
        let (key, value) = item?;
        if decode_key(value.value()) == Some(entry.key()) {
            step = Some(key.value());
            break;
        }
    }
    if let Some(step) = step {
        log.remove(step)?;
    }
    Ok(())
}

fn open_database(path: &Path) -> Result<Database, OpenError> {
    let io = |action| move |source| OpenError::Io { action, path: path.to_owned(), source };
    // Secrets are in it: nobody else may read it.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(io("open the datastore"))?;
    let backend = FileBackend::new(file).map_err(|error| refused(path, error.into()))?;
    let database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        // A file altered behind redb's back is refused instead of believed.
        .set_check_integrity_on_open(true)
        .create_with_backend(backend)
        .map_err(|error| refused(path, error.into()))?;
    // A new file must still be there after a power cut.
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(folder).and_then(|dir| dir.sync_all()).map_err(io("sync the folder of"))?;
    Ok(database)
}

fn refused(path: &Path, error: redb::Error) -> OpenError {
    let path = path.to_owned();
    let corrupt = |problem: String| OpenError::Corrupt { path: path.clone(), problem };
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the errors not named here are shown as they are"
    )]
    match error {
        redb::Error::DatabaseAlreadyOpen => OpenError::InUse { path },
        redb::Error::Corrupted(problem) => corrupt(problem),
        redb::Error::UpgradeRequired(version) => {
            corrupt(format!("it has redb file format {version}"))
        }
        redb::Error::Io(source) if source.kind() == std::io::ErrorKind::InvalidData => {
            corrupt(source.to_string())
        }
        redb::Error::Io(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
            corrupt("it ends too early".to_owned())
        }
        redb::Error::TableTypeMismatch { .. } | redb::Error::TypeDefinitionChanged { .. } => {
            corrupt("it belongs to another program".to_owned())
        }
        redb::Error::Io(source) => OpenError::Io { action: "read the datastore", path, source },
        source => OpenError::Database { path, source: Box::new(source) },
    }
}

fn encode(event: &Event) -> Vec<u8> {
    let key = event.key().as_bytes();
    let (kind, created, value): (u8, Revision, &[u8]) = match &event.entry {
        Some(entry) => (KIND_PUT, entry.created(), entry.value()),
        None => (KIND_DELETE, 0, &[]),
    };
    let mut record = Vec::with_capacity(1 + 8 + 4 + key.len() + value.len());
    record.push(kind);
    record.extend_from_slice(&created.to_le_bytes());
    record.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
    record.extend_from_slice(key);
    record.extend_from_slice(value);
    record
}

fn split(record: &[u8]) -> Option<(u8, Revision, &str, &[u8])> {
    let (&kind, rest) = record.split_first()?;
    let (created, rest) = rest.split_first_chunk::<8>()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let (key, value) = rest.split_at_checked(len)?;
    Some((kind, u64::from_le_bytes(*created), std::str::from_utf8(key).ok()?, value))
}

fn decode_key(record: &[u8]) -> Option<&str> {
    split(record).map(|(_, _, key, _)| key)
}

fn decode(record: &Bytes) -> Option<Record> {
    let (kind, created, key, value) = split(record)?;
    let value = match kind {
        KIND_PUT => Some(record.slice_ref(value)),
        KIND_DELETE => None,
        _ => return None,
    };
    Some(Record { key: key.into(), created, value })
}

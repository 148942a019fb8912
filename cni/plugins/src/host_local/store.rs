//! Reservations: a file for each address, as the reference plugin writes them.

use std::collections::HashSet;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use corten_cni_types::{CniError, codes};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;

/// A network's folder, locked against other processes as long as this lives.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    _lock: File,
}

/// Whose an address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) container_id: String,
    pub(super) ifname: Option<String>,
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> CniError {
    CniError::caused(codes::IO, format!("cannot {what} {}", path.display()), error)
}

impl Store {
    /// Opens a network's folder, making it if need be, and waits for the lock.
    pub(super) fn open(data_dir: &Path, network: &str) -> Result<Self, CniError> {
        let dir = data_dir.join(network);
        std::fs::create_dir_all(&dir).map_err(|error| failed("make", &dir, &error))?;
        Self::lock(dir)
    }

    /// Opens a network's folder if it is there.
    pub(super) fn open_if_there(data_dir: &Path, network: &str) -> Result<Option<Self>, CniError> {
        let dir = data_dir.join(network);
        if dir.is_dir() { Self::lock(dir).map(Some) } else { Ok(None) }
    }

    fn lock(dir: PathBuf) -> Result<Self, CniError> {
        // The reference plugin's file and kind of lock: both may work on one folder.
        let path = dir.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| failed("open", &path, &error))?;
        loop {
            match flock(&lock, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Self { dir, _lock: lock }),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed("lock", &path, &errno.into())),
            }
        }
    }

    /// Reserves an address; false when it is taken. The file appears with its content: a process
    /// that is killed at any point leaves no nameless reservation.
    pub(super) fn reserve(
        &self,
        address: IpAddr,
        container_id: &str,
        ifname: &str,
    ) -> Result<bool, CniError> {
        let path = self.dir.join(address.to_string());
        let temporary = self.dir.join(".new");
        let write = || {
            let mut file = File::options()
                .create(true)
                .write(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(format!("{container_id}\r\n{ifname}").as_bytes())
        };
        write().map_err(|error| failed("write", &temporary, &error))?;
        match renameat_with(CWD, &temporary, CWD, &path, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => {
                std::fs::remove_file(&temporary)
                    .map_err(|error| failed("remove", &temporary, &error))?;
                Ok(false)
            }
            Err(errno) => Err(failed("make", &path, &errno.into())),
        }
    }

    /// Gives an address back; it may be free already.
    pub(super) fn release(&self, address: IpAddr) -> Result<(), CniError> {
        let path = self.dir.join(address.to_string());
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("remove", &path, &error)),
        }
    }

    /// Every reserved address.
    pub(super) fn reserved(&self) -> Result<HashSet<IpAddr>, CniError> {
        let unreadable = |error: std::io::Error| failed("read", &self.dir, &error);
        let mut addresses = HashSet::new();
        for entry in std::fs::read_dir(&self.dir).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            addresses.extend(name.to_str().and_then(|name| name.parse::<IpAddr>().ok()));
        }
        Ok(addresses)
    }

    /// Every reserved address with its owner; without one when the file does not name any.
    pub(super) fn owners(&self) -> Result<Vec<(IpAddr, Option<Owner>)>, CniError> {
        self.reserved()?
            .into_iter()
            .map(|address| {
                let path = self.dir.join(address.to_string());
                match std::fs::read(&path) {
                    Ok(text) => Ok((address, parse(&text))),
                    Err(error) => Err(failed("read", &path, &error)),
                }
            })
            .collect()
    }

    /// The addresses of one owner.
    pub(super) fn find(&self, container_id: &str, ifname: &str) -> Result<Vec<IpAddr>, CniError> {
        let is_it = |owner: &Owner| {
            owner.container_id == container_id
                && owner.ifname.as_deref().is_none_or(|name| name == ifname)
        };
        let owners = self.owners()?;
        let mine = owners.into_iter().filter(|(_, owner)| owner.as_ref().is_some_and(is_it));
        Ok(mine.map(|(address, _owner)| address).collect())
    }

    /// The address of a range set that was given out last.
    pub(super) fn last(&self, range_set: usize) -> Result<Option<IpAddr>, CniError> {
        let path = self.last_path(range_set);
        match std::fs::read_to_string(&path) {
            // What cannot be read as an address only costs the turn.
            Ok(text) => Ok(text.trim().parse().ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    /// Remembers the address of a range set that was given out last.
    pub(super) fn set_last(&self, range_set: usize, address: IpAddr) -> Result<(), CniError> {
        let path = self.last_path(range_set);
        std::fs::write(&path, address.to_string()).map_err(|error| failed("write", &path, &error))
    }

    fn last_path(&self, range_set: usize) -> PathBuf {
        self.dir.join(format!("last_reserved_ip.{range_set}"))
    }
}

fn parse(text: &[u8]) -> Option<Owner> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let (container_id, ifname) = match text.split_once("\r\n") {
        Some((container_id, ifname)) => (container_id, Some(ifname.to_owned())),
        None => (text, None),
    };
    (!container_id.is_empty()).then(|| Owner { container_id: container_id.to_owned(), ifname })
}

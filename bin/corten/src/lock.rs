//! One server on a machine: a locked file that tells its pid.
//!
//! Two locks: flock(2) lets one server be. Whoever only asks must not hold it even for a moment, or a
//! server that starts just then fails; and the file's text can be a former server's. So they ask for
//! the holder of a record lock (F_GETLK), whose pid the kernel tells.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, fcntl_lock, flock};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, Pid, fcntl_getlk};

/// Held while the server runs; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Its name in the run folder.
pub(crate) const FILE: &str = "server.pid";

fn path(run_dir: &Path) -> PathBuf {
    run_dir.join(FILE)
}

impl Lock {
    /// Takes the lock and writes this process's pid.
    ///
    /// # Errors
    /// When a server runs already: the error tells its pid.
    pub(crate) fn take(run_dir: &Path) -> Result<Self> {
        let path = path(run_dir);
        std::fs::create_dir_all(run_dir)
            .with_context(|| format!("create {}", run_dir.display()))?;
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => match holder(run_dir)? {
                Some(pid) => {
                    bail!("corten server runs already, as process {}", pid.as_raw_nonzero())
                }
                None => bail!("corten server runs already: it is just starting, or ending"),
            },
            Err(errno) => return Err(errno).with_context(|| format!("lock {}", path.display())),
        }
        fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)
            .with_context(|| format!("lock {}", path.display()))?;
        file.set_len(0).and_then(|()| file.rewind()).context("write the server's pid")?;
        writeln!(file, "{}", std::process::id()).context("write the server's pid")?;
        Ok(Self { _file: file })
    }
}

/// The server that holds the lock, if another process does.
///
/// # Errors
/// When the file can't be opened or asked about.
pub(crate) fn holder(run_dir: &Path) -> Result<Option<Pid>> {
    let path = path(run_dir);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("open {}", path.display())),
    };
    let lock = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock))
        .with_context(|| format!("ask who holds {}", path.display()))?;
    Ok(lock.and_then(|lock| lock.pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_told_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(folder.path()).unwrap();
        let error = Lock::take(folder.path()).unwrap_err().to_string();
        assert!(error.starts_with("corten server runs already"), "{error}");
        drop(lock);
        drop(Lock::take(folder.path()).unwrap());
    }

    #[test]
    fn whoever_asks_does_not_keep_a_server_from_starting() {
        let folder = tempfile::tempdir().unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let stopped = || stop.load(std::sync::atomic::Ordering::Relaxed);
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                while !stopped() {
                    holder(folder.path()).unwrap();
                }
            });
            let taken: Result<Vec<_>> =
                (0..2000).map(|_| Lock::take(folder.path()).map(drop)).collect();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            asking.join().unwrap();
            taken.unwrap();
        });
    }
}

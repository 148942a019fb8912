//! One server on a machine: a locked file that tells its pid.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::Pid;

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
            Err(Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).context("read the server's pid")?;
                bail!("corten server runs already, as process {}", pid.trim());
            }
            Err(errno) => return Err(errno).with_context(|| format!("lock {}", path.display())),
        }
        file.set_len(0).and_then(|()| file.rewind()).context("write the server's pid")?;
        writeln!(file, "{}", std::process::id()).context("write the server's pid")?;
        Ok(Self { _file: file })
    }
}

/// The server that holds the lock, if one does.
///
/// # Errors
/// When the file can't be read.
pub(crate) fn holder(run_dir: &Path) -> Result<Option<Pid>> {
    let path = path(run_dir);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("open {}", path.display())),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => return Ok(None),
        Err(Errno::WOULDBLOCK) => {}
        Err(errno) => return Err(errno).with_context(|| format!("lock {}", path.display())),
    }
    let mut pid = String::new();
    file.read_to_string(&mut pid).with_context(|| format!("read {}", path.display()))?;
    let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
    Ok(Some(pid.with_context(|| format!("{} holds no pid", path.display()))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_told_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        assert!(holder(folder.path()).unwrap().is_none());
        let lock = Lock::take(folder.path()).unwrap();
        let error = Lock::take(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with(&std::process::id().to_string()), "{error}");
        let pid = holder(folder.path()).unwrap().unwrap();
        assert_eq!(pid.as_raw_nonzero().get().unsigned_abs(), std::process::id());
        drop(lock);
        assert!(holder(folder.path()).unwrap().is_none());
    }
}

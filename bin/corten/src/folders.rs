//! Folders that only root may enter: what is below holds Secrets, tokens, keys, and images' files
//! with their set-uid bits.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::config::Config;
use crate::lock;
use crate::server::paths::DATABASE;

/// What no other program's folder has: of a server, of the images, of the container runtime.
const OURS: [&str; 4] = [lock::FILE, DATABASE, "images/snapshots", "cri/sandboxes"];
const PRIVATE: u32 = 0o700;

/// Makes the run folder and the data folder, or closes them to others.
///
/// # Errors
/// When the data folder is open to others and holds something foreign.
pub(crate) fn prepare(config: &Config) -> Result<()> {
    make_private(&config.run_dir, "runDir")?;
    make_private(&config.data_dir, "dataDir")
}

fn make_private(folder: &Path, setting: &str) -> Result<()> {
    let make = || -> std::io::Result<u32> {
        if let Some(parent) = folder.parent() {
            // Those above are not ours to close.
            std::fs::create_dir_all(parent)?;
        }
        match std::fs::DirBuilder::new().mode(PRIVATE).create(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        Ok(folder.metadata()?.permissions().mode() & 0o7777)
    };
    let mode = make().with_context(|| format!("{setting}: create {}", folder.display()))?;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    // A folder of somebody else's, such as /var/lib, is not closed to its users.
    if !is_ours(folder).with_context(|| format!("{setting}: list {}", folder.display()))? {
        bail!(
            "{setting}: {path} holds other things and is open to other users (mode {mode:o}): choose \
             a folder of its own, or close it with `chmod 700 {path}`",
            path = folder.display()
        );
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(PRIVATE))
        .with_context(|| format!("{setting}: close {} to others", folder.display()))
}

/// Empty, or made by a server.
fn is_ours(folder: &Path) -> std::io::Result<bool> {
    Ok(OURS.iter().any(|name| folder.join(name).exists())
        || std::fs::read_dir(folder)?.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn only_root_enters_and_what_is_somebody_elses_stays_as_it_is() {
        let top = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = top.path().join(name);
            std::fs::create_dir(&path).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let fresh = top.path().join("a/b");
        let (empty, old, foreign) = (folder("empty"), folder("old"), folder("foreign"));
        std::fs::create_dir(old.join("db")).unwrap();
        std::fs::write(old.join(DATABASE), "").unwrap();
        std::fs::create_dir(foreign.join("db")).unwrap();
        for made in [&fresh, &empty, &old] {
            make_private(made, "dataDir").unwrap();
            assert_eq!(mode(made), 0o700, "{}", made.display());
        }
        let error = make_private(&foreign, "dataDir").unwrap_err().to_string();
        assert!(error.starts_with("dataDir: ") && error.contains("chmod 700"), "{error}");
        assert_eq!(mode(&foreign), 0o755);
    }
}

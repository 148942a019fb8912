//! A container's OCI bundle: its root file system, mounted, and `config.json`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corten_api_cri::v1::{LinuxContainerUser, PodSandboxConfig};
use serde_json::Value;

use crate::error::{OperationError, Outcome};
use crate::host::{self, Host};
use crate::images::{ImageInfo, Images};
use crate::spec::{self, SpecInput};
use crate::store::ContainerRecord;
use crate::user::{self, UserFiles};

const CONFIG: &str = "config.json";
const ROOTFS: &str = "rootfs";

/// All that a bundle is made from.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) dir: PathBuf,
    pub(super) namespace_dir: PathBuf,
    pub(super) sandbox_dir: PathBuf,
    pub(super) shm: PathBuf,
    pub(super) hostname: String,
    pub(super) sandbox: PodSandboxConfig,
    pub(super) container: ContainerRecord,
    pub(super) image: ImageInfo,
    pub(super) host: Host,
}

fn file_error<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> OperationError + 'a {
    move |source| OperationError::File { doing, path: path.to_owned(), source }
}

/// Makes it; blocks. What is left when that fails, [`remove`] takes away.
pub(super) fn write(images: &Arc<dyn Images>, request: &Request) -> Outcome<LinuxContainerUser> {
    let rootfs = request.dir.join(ROOTFS);
    let mut folders = DirBuilder::new();
    folders.recursive(true).mode(0o700).create(&rootfs).map_err(file_error("make", &rootfs))?;
    images.mount(&request.image.id, &request.container.id, &rootfs).map_err(|source| {
        OperationError::Image {
            doing: "mount a root file system of",
            image: request.image.id.clone(),
            source,
        }
    })?;
    let config = &request.container.config;
    let security = config.linux.as_ref().and_then(|linux| linux.security_context.clone());
    let security = security.unwrap_or_default();
    let root = File::open(&rootfs).map_err(file_error("open", &rootfs))?;
    let files = UserFiles::read(root.as_fd()).map_err(file_error("read users in", &rootfs))?;
    let user = user::resolve(&security, &request.image.config.user, &files)?;
    make_sources(request)?;
    let local_seccomp = spec::seccomp::read(&security)?;
    let devices = if security.privileged {
        host::devices().map_err(file_error("list the devices in", Path::new("/dev")))?
    } else {
        Vec::new()
    };
    let spec = spec::build(&SpecInput {
        sandbox: &request.sandbox,
        container: config,
        image: &request.image.config,
        user: &user,
        hostname: &request.hostname,
        rootfs: &rootfs,
        namespace_dir: &request.namespace_dir,
        sandbox_dir: &request.sandbox_dir,
        shm: &request.shm,
        cgroup_path: &request.container.cgroup_path,
        host: &request.host,
        devices: &devices,
        local_seccomp: local_seccomp.as_ref(),
    })?;
    let path = request.dir.join(CONFIG);
    put(&path, &spec).map_err(file_error("write", &path))?;
    make_log_dir(&request.container.log_path)?;
    Ok(user.to_cri())
}

/// A host path that is not there is made a folder, as every runtime behind CRI does.
fn make_sources(request: &Request) -> Outcome<()> {
    for (index, mount) in request.container.config.mounts.iter().enumerate() {
        let path = Path::new(&mount.host_path);
        match fs::metadata(path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path).map_err(|error| {
                    let field = format!("config.mounts[{index}].host_path");
                    OperationError::invalid(field, format!("{}: {error}", path.display()))
                })?;
            }
            Err(error) => {
                let field = format!("config.mounts[{index}].host_path");
                let reason = format!("{}: {error}", path.display());
                return Err(OperationError::invalid(field, reason));
            }
        }
    }
    Ok(())
}

fn make_log_dir(log_path: &str) -> Outcome<()> {
    let Some(dir) = Path::new(log_path).parent().filter(|_| !log_path.is_empty()) else {
        return Ok(());
    };
    let mut folders = DirBuilder::new();
    folders.recursive(true).mode(0o755).create(dir).map_err(file_error("make", dir))
}

/// It holds the environment, which may hold secrets: root's alone.
fn put(path: &Path, spec: &Value) -> io::Result<()> {
    let bytes = serde_json::to_vec(spec).map_err(io::Error::other)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(&bytes)
}

/// The `config.json` of a bundle; blocks.
pub(super) fn read(dir: &Path) -> Outcome<Value> {
    let path = dir.join(CONFIG);
    let bytes = fs::read(&path).map_err(file_error("read", &path))?;
    serde_json::from_slice(&bytes).map_err(|wrong| file_error("parse", &path)(wrong.into()))
}

/// Takes the bundle away again: unmounts, then removes what we put there and nothing else, so that
/// a root file system that is still mounted is never deleted. Fine when there is none. Blocks.
pub(super) fn remove(images: &Arc<dyn Images>, dir: &Path, key: &str) -> Vec<String> {
    let mut failures = Vec::new();
    let rootfs = dir.join(ROOTFS);
    if let Err(error) = images.release(key, &rootfs) {
        failures.push(format!("root file system: {error}"));
    }
    let mut note = |path: &Path, result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            failures.push(format!("{}: {error}", path.display()));
        }
        Ok(()) | Err(_) => {}
    };
    let config = dir.join(CONFIG);
    note(&config, fs::remove_file(&config));
    note(&rootfs, fs::remove_dir(&rootfs));
    note(dir, fs::remove_dir(dir));
    failures
}

//! The container's network namespace, and settings below `/proc/sys/net`.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use corten_cni_types::{CniError, codes};
use corten_sys_netlink::in_namespace;

/// `NSFS_MAGIC` (`linux/magic.h`).
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Whether a path refers to the namespace that this process is in.
pub(crate) fn is_own(path: &Path) -> bool {
    let identity =
        |path: &Path| std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let own = identity(Path::new("/proc/thread-self/ns/net"));
    own.is_some() && identity(path) == own
}

/// Opens the namespace that the calling thread is in.
pub(crate) fn own() -> Result<File, CniError> {
    let path = "/proc/thread-self/ns/net";
    File::open(path)
        .map_err(|error| CniError::caused(codes::IO, format!("cannot open {path}"), &error))
}

/// Opens a namespace; nothing when it is gone: there is no such file, or the file is no namespace
/// any more because its mount is gone.
pub(crate) fn open_if_there(path: &Path) -> Result<Option<File>, CniError> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let failed = |error: std::io::Error| {
        let msg = format!("cannot open network namespace {}", path.display());
        CniError::caused(codes::IO, msg, &error)
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let kind = rustix::fs::fstatfs(&file).map_err(|errno| failed(errno.into()))?.f_type;
    Ok((u64::try_from(kind) == Ok(NSFS_MAGIC)).then_some(file))
}

/// Opens a namespace that must be there.
pub(crate) fn open(path: &Path) -> Result<File, CniError> {
    open_if_there(path)?.ok_or_else(|| {
        let msg = format!("{} is not a network namespace", path.display());
        CniError::new(codes::UNKNOWN_CONTAINER, msg)
    })
}

/// Runs `work` in a namespace.
pub(crate) fn enter<T: Send>(
    namespace: &File,
    work: impl FnOnce() -> Result<T, CniError> + Send,
) -> Result<T, CniError> {
    in_namespace(namespace, work).map_err(|error| {
        CniError::caused(codes::INTERNAL, "cannot enter the container's network", &error)
    })?
}

/// Has the host pass on packets of a family.
pub(crate) fn forward(ipv4: bool) -> Result<(), CniError> {
    if ipv4 {
        set("ipv4/ip_forward", "1", false)
    } else {
        set("ipv6/conf/all/forwarding", "1", false)
    }
}

/// Writes a setting of the calling thread's namespace, unless it has the value already. One that
/// the kernel does not have (IPv6 may be compiled out) is passed over when `optional`.
pub(crate) fn set(setting: &str, value: &str, optional: bool) -> Result<(), CniError> {
    let path = format!("/proc/sys/net/{setting}");
    let written = || -> std::io::Result<()> {
        let present = std::fs::read_to_string(&path)?;
        if present.trim_end() == value {
            return Ok(());
        }
        std::fs::OpenOptions::new().write(true).open(&path)?.write_all(value.as_bytes())
    };
    match written() {
        Ok(()) => Ok(()),
        Err(error) if optional && error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => {
            let msg = format!("cannot set {path} to {value}");
            Err(CniError::caused(codes::INTERNAL, msg, &error))
        }
    }
}

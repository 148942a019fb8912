//! A container's root file system: its image's layers below a writable folder.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags,
};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::disk::Usage;
use crate::error::ImageError;
use crate::layers::Layers;
use crate::record::write_atomically;
use crate::unpack::open_folder;

/// `<root>/snapshots/<key>/{layers.json,upper,work}`.
#[derive(Debug)]
pub(crate) struct Snapshots {
    folder: PathBuf,
    /// The lowest layer of an image that has none.
    empty: PathBuf,
}

/// Which layers a snapshot stands on: they stay while it does.
#[derive(Debug, Serialize, Deserialize)]
struct Base {
    layers: Vec<Digest>,
}

impl Snapshots {
    pub(crate) fn new(root: &Path) -> Result<Self, ImageError> {
        let folder = root.join("snapshots");
        let empty = root.join("empty");
        for path in [&folder, &empty] {
            std::fs::create_dir_all(path).map_err(ImageError::disk("create", path))?;
        }
        Ok(Self { folder, empty })
    }

    fn path(&self, key: &str) -> Result<PathBuf, ImageError> {
        let valid = !key.is_empty()
            && key.len() <= 255
            && !key.starts_with('.')
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if !valid {
            let shown = &key[..key.floor_char_boundary(100)];
            return Err(ImageError::Key { key: shown.to_owned() });
        }
        Ok(self.folder.join(key))
    }

    /// Mounts at `target` an overlay of `layers` (bottom first) with a writable folder that
    /// belongs to `key`. What the folder holds from an earlier mount is kept.
    pub(crate) fn mount(
        &self,
        key: &str,
        layers: &[Digest],
        from: &Layers,
        target: &Path,
    ) -> Result<(), ImageError> {
        let path = self.path(key)?;
        for part in ["upper", "work"] {
            let part = path.join(part);
            std::fs::create_dir_all(&part).map_err(ImageError::disk("create", &part))?;
        }
        let base = serde_json::to_vec(&Base { layers: layers.to_vec() })
            .map_err(|error| ImageError::document("a snapshot's layers", error))?;
        write_atomically(&path, &path.join("layers.json"), &base)
            .map_err(ImageError::disk("write to", &path))?;

        let mut lower: Vec<PathBuf> = layers.iter().rev().map(|layer| from.files(layer)).collect();
        if lower.is_empty() {
            lower.push(self.empty.clone());
        }
        if let Some(top) = lower.first() {
            copy_root_attributes(top, &path.join("upper"))?;
        }
        std::fs::create_dir_all(target).map_err(ImageError::disk("create", target))?;
        let failed = |operation| {
            let target = target.to_owned();
            move |errno: Errno| ImageError::Mount { operation, target, source: errno.into() }
        };
        match mount_by_parts(&path, &lower, target) {
            Ok(()) => Ok(()),
            // Before 6.5 layers can't be given one by one (overlayfs documentation).
            Err(Errno::INVAL | Errno::NOSYS) => {
                mount_by_options(&path, &lower, target).map_err(failed("mount an overlay at"))
            }
            Err(errno) => Err(failed("mount an overlay at")(errno)),
        }
    }

    /// Unmounts `target` and removes what was written; both may be gone already.
    pub(crate) fn release(&self, key: &str, target: &Path) -> Result<(), ImageError> {
        let path = self.path(key)?;
        match rustix::mount::unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) | Err(Errno::NOENT | Errno::INVAL) => {}
            Err(errno) => {
                let target = target.to_owned();
                let operation = "unmount";
                return Err(ImageError::Mount { operation, target, source: errno.into() });
            }
        }
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ImageError::disk("remove", &path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// What a container has written.
    pub(crate) fn usage(&self, key: &str) -> Result<Usage, ImageError> {
        let upper = self.path(key)?.join("upper");
        Usage::of(&upper).map_err(ImageError::disk("measure", &upper))
    }

    /// The layers that any snapshot stands on.
    pub(crate) fn layers(&self) -> Result<Vec<Digest>, ImageError> {
        let mut all = Vec::new();
        let failed = || ImageError::disk("list", &self.folder);
        for entry in std::fs::read_dir(&self.folder).map_err(failed())? {
            let path = entry.map_err(failed())?.path().join("layers.json");
            let text = match std::fs::read(&path) {
                Ok(text) => text,
                // Being made or being removed: it holds no mount.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(ImageError::disk("read", &path)(error)),
            };
            let base: Base = serde_json::from_slice(&text)
                .map_err(|error| ImageError::document(path.display().to_string(), error))?;
            all.extend(base.layers);
        }
        Ok(all)
    }
}

/// The root folder of an overlay shows the owner and mode of its upper folder.
fn copy_root_attributes(from: &Path, to: &Path) -> Result<(), ImageError> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let failed = || ImageError::disk("copy the root's owner and mode to", to);
    let metadata = std::fs::metadata(from).map_err(failed())?;
    std::os::unix::fs::chown(to, Some(metadata.uid()), Some(metadata.gid())).map_err(failed())?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(metadata.mode() & 0o7777))
        .map_err(failed())
}

/// The mount API (Linux 5.2), with `lowerdir+` (Linux 6.5): any number of layers.
fn mount_by_parts(path: &Path, lower: &[PathBuf], target: &Path) -> Result<(), Errno> {
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    rustix::mount::fsconfig_set_string(context, "source", "overlay")?;
    for layer in lower {
        rustix::mount::fsconfig_set_string(context, "lowerdir+", layer)?;
    }
    rustix::mount::fsconfig_set_string(context, "upperdir", path.join("upper"))?;
    rustix::mount::fsconfig_set_string(context, "workdir", path.join("work"))?;
    rustix::mount::fsconfig_create(context)?;
    let mount =
        rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    rustix::mount::move_mount(
        mount.as_fd(),
        "",
        CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
}

/// mount(2), whose options must fit one page: layers are named by descriptor, which is short.
fn mount_by_options(path: &Path, lower: &[PathBuf], target: &Path) -> Result<(), Errno> {
    let open = |path: &Path| -> Result<OwnedFd, Errno> {
        open_folder(path).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    };
    let short = |folder: &OwnedFd| format!("/proc/self/fd/{}", folder.as_raw_fd());
    let layers = lower.iter().map(|layer| open(layer)).collect::<Result<Vec<_>, _>>()?;
    let upper = open(&path.join("upper"))?;
    let work = open(&path.join("work"))?;
    let lower = layers.iter().map(short).collect::<Vec<_>>().join(":");
    let options = format!("lowerdir={lower},upperdir={},workdir={}", short(&upper), short(&work));
    let options = std::ffi::CString::new(options).map_err(|_nul| Errno::INVAL)?;
    rustix::mount::mount("overlay", target, "overlay", MountFlags::empty(), options.as_c_str())
}

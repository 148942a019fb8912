//! `subPath`: one file or folder inside a volume, bound by file descriptor.
//!
//! The content of a volume is the containers' own, so every path in it is hostile: a link may
//! point out of the volume (CVE-2017-1002101) and may be swapped in between a check and its use
//! (CVE-2021-25741). So the path is opened once, confined by the kernel to the volume
//! (`RESOLVE_BENEATH`), and what that descriptor names is what is bound and given to the runtime.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{VolumeError, atomic_writer, blocking, mounts};

const CONFINED: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// Binds `sub_path` of the volume at `place` and returns `place`. A missing folder is made.
pub(crate) async fn bind(
    volume: PathBuf,
    sub_path: String,
    place: PathBuf,
) -> Result<PathBuf, VolumeError> {
    blocking(move || {
        let sub_path = atomic_writer::validate(&sub_path)?;
        let root = rustix::fs::open(&volume, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(VolumeError::io("open", &volume))?;
        let target = open_or_make(&root, &volume, &sub_path)?;
        let kind = rustix::fs::fstat(&target).map_err(VolumeError::io("stat", &volume))?.st_mode;
        make_place(&place, FileType::from_raw_mode(kind) == FileType::Directory)?;
        if mounts::below(&place)?.contains(&place) {
            // Left by a former container of this name: what it named may have been replaced.
            rustix::mount::unmount(&place, rustix::mount::UnmountFlags::DETACH)
                .map_err(VolumeError::io("unmount", &place))?;
        }
        let source = format!("/proc/self/fd/{}", target.as_raw_fd());
        rustix::mount::mount_bind(source.as_str(), &place)
            .map_err(VolumeError::io("bind to", &place))?;
        Ok(place)
    })
    .await
}

fn open(at: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::openat2(at, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), CONFINED)
}

fn open_or_make(root: &OwnedFd, volume: &Path, path: &str) -> Result<OwnedFd, VolumeError> {
    let failed = |error: Errno| VolumeError::io("open", &volume.join(path))(error);
    match open(root, path) {
        Ok(found) => return Ok(found),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(failed(error)),
    }
    let mut made = String::new();
    let mut parent = open(root, ".").map_err(failed)?;
    for part in path.split('/') {
        made = if made.is_empty() { part.to_owned() } else { format!("{made}/{part}") };
        // Always from the root, so that a link inside the volume may be followed but not out.
        match open(root, &made) {
            Ok(next) => parent = next,
            Err(Errno::NOENT) => {
                match rustix::fs::mkdirat(&parent, part, Mode::from_raw_mode(0o750)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(failed(error)),
                }
                // As its parent, so that whoever may use the volume may use this.
                let like = rustix::fs::fstat(&parent).map_err(failed)?;
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::chownat(
                    &parent,
                    part,
                    Some(rustix::fs::Uid::from_raw(like.st_uid)),
                    Some(rustix::fs::Gid::from_raw(like.st_gid)),
                    flags,
                )
                .map_err(failed)?;
                let next = rustix::fs::openat2(
                    &parent,
                    part,
                    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                    Mode::empty(),
                    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
                )
                .map_err(failed)?;
                rustix::fs::fchmod(&next, Mode::from_raw_mode(like.st_mode & 0o7777))
                    .map_err(failed)?;
                parent = next;
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(parent)
}

/// The mount point lies in the kubelet's own folder, where no container writes.
fn make_place(place: &Path, is_folder: bool) -> Result<(), VolumeError> {
    let parent = place.parent().unwrap_or(place);
    std::fs::create_dir_all(parent).map_err(VolumeError::io("mkdir", parent))?;
    let made = if is_folder {
        std::fs::create_dir(place)
    } else {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, place, flags, Mode::from_raw_mode(0o640))
            .map(drop)
            .map_err(io::Error::from)
    };
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(VolumeError::io("create", place)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn opened(volume: &Path, path: &str) -> Result<PathBuf, VolumeError> {
        let root = rustix::fs::open(volume, OFlags::PATH, Mode::empty()).unwrap();
        let fd = open_or_make(&root, volume, path)?;
        Ok(std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap())
    }

    #[test]
    fn links_cannot_lead_out_of_the_volume() {
        let base = tempfile::tempdir().unwrap();
        let volume = base.path().join("volume");
        std::fs::create_dir_all(volume.join("in")).unwrap();
        std::fs::create_dir(base.path().join("out")).unwrap();
        symlink("../out", volume.join("relative")).unwrap();
        symlink("/etc", volume.join("absolute")).unwrap();
        symlink("in", volume.join("fine")).unwrap();
        symlink("/proc/self/root", volume.join("magic")).unwrap();
        assert!(opened(&volume, "fine").unwrap().ends_with("volume/in"));
        assert!(opened(&volume, "fine/new/deep").unwrap().ends_with("volume/in/new/deep"));
        for path in ["relative", "absolute", "relative/new", "absolute/new", "magic/etc"] {
            opened(&volume, path).unwrap_err();
        }
        assert!(!base.path().join("out/new").exists());
    }
}

//! A process image that a container cannot write to (CVE-2019-5736).
//!
//! A container that gets hold of `/proc/<pid>/exe` of the runtime holds the host's binary. So the
//! runtime runs from a copy that nobody can write: an overlay without an upper layer over the
//! binary's directory (no copying; writes end in `EROFS`), else a sealed memfd. A read-only bind
//! mount is not enough: it can be remounted.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, openat};
use rustix::io::Errno;

use crate::{SysError, exec, mount};

/// `OVERLAYFS_SUPER_MAGIC` (statfs(2)).
const OVERLAYFS_SUPER_MAGIC: i64 = 0x794c_7630;

/// Makes sure that this process runs from a sealed image: returns if it does, else runs the same
/// program again, with the same arguments and environment, from one.
///
/// Called first thing in `main`, before threads and before anything is opened.
///
/// # Errors
/// When neither way works; the caller must not go on.
pub fn ensure() -> Result<(), SysError> {
    let own = openat(CWD, c"/proc/self/exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(SysError::of("openat", || "/proc/self/exe"))?;
    if is_sealed(&own) {
        return Ok(());
    }
    let sealed = overlay(&own).or_else(|_unsupported| memfd(&own))?;
    let strings = |items: Vec<Vec<u8>>| {
        items
            .into_iter()
            .map(CString::new)
            .collect::<Result<Vec<_>, _>>()
            .or(Err(Errno::INVAL))
            .map_err(SysError::of("execveat", || "arguments"))
    };
    let args = strings(std::env::args_os().map(OsStringExt::into_vec).collect())?;
    let env = strings(
        std::env::vars_os()
            .map(|(key, value)| [key.as_bytes(), b"=", value.as_bytes()].concat())
            .collect(),
    )?;
    match exec::Image::new(args, env).exec_fd(sealed.as_fd()) {
        Err(errno) => Err(SysError::of("execveat", || "the sealed image")(errno)),
    }
}

/// Whether nobody can write to the file that this descriptor has open for reading.
fn is_sealed(exe: &OwnedFd) -> bool {
    if rustix::fs::fcntl_get_seals(exe).is_ok_and(|seals| seals.contains(SEALS)) {
        return true;
    }
    let overlay = rustix::fs::fstatfs(exe).is_ok_and(|stat| stat.f_type == OVERLAYFS_SUPER_MAGIC);
    // The superblock of an overlay without an upper layer is read-only for good.
    let read_only =
        rustix::fs::fstatvfs(exe).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY));
    overlay && read_only
}

const SEALS: SealFlags =
    SealFlags::WRITE.union(SealFlags::GROW).union(SealFlags::SHRINK).union(SealFlags::SEAL);

fn overlay(own: &OwnedFd) -> Result<OwnedFd, SysError> {
    let link = rustix::fs::readlink("/proc/self/exe", Vec::new())
        .map_err(SysError::of("readlink", || "/proc/self/exe"))?;
    let path = Path::new(std::ffi::OsStr::from_bytes(link.to_bytes()));
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(SysError::of("readlink", || "/proc/self/exe")(Errno::INVAL));
    };
    let directory =
        openat(CWD, dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(SysError::of("openat", || dir.display().to_string()))?;
    // An overlay without an upper layer needs two lower ones; the second is an empty tmpfs. They
    // are named through descriptors, so no character of the path can be taken for a separator.
    let empty = mount::new_filesystem(c"tmpfs", None, &[], mount::RDONLY)
        .map_err(SysError::of("fsopen", || "tmpfs"))?;
    let lower = CString::new(format!(
        "/proc/self/fd/{}:/proc/self/fd/{}",
        directory.as_raw_fd(),
        empty.as_raw_fd()
    ))
    .or(Err(Errno::INVAL))
    .map_err(SysError::of("fsconfig", || "lowerdir"))?;
    let attributes = mount::RDONLY | mount::NOSUID | mount::NODEV;
    let sealed =
        mount::new_filesystem(c"overlay", None, &[(c"lowerdir".into(), Some(lower))], attributes)
            .map_err(SysError::of("fsopen", || "overlay"))?;
    let image =
        openat(&sealed, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            .map_err(SysError::of("openat", || format!("{} in the overlay", name.display())))?;
    // The name may mean another file by now (an upgrade): the copy must be of what runs.
    let (one, two) = (size_and_time(own), size_and_time(&image));
    if one != two || !is_sealed(&image) {
        return Err(SysError::of("fstat", || "the binary changed")(Errno::STALE));
    }
    Ok(image)
}

fn size_and_time(file: &OwnedFd) -> Option<(i64, i64, u64)> {
    let stat = rustix::fs::fstat(file).ok()?;
    Some((stat.st_size, stat.st_mtime, stat.st_ino))
}

fn memfd(own: &OwnedFd) -> Result<OwnedFd, SysError> {
    let copy = rustix::fs::memfd_create(
        c"corten-run",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::EXEC,
    )
    .or_else(|_before_6_3| {
        rustix::fs::memfd_create(c"corten-run", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
    })
    .map_err(SysError::of("memfd_create", || ""))?;
    loop {
        let sent = rustix::fs::sendfile(&copy, own, None, 1 << 30)
            .map_err(SysError::of("sendfile", || "/proc/self/exe"))?;
        if sent == 0 {
            break;
        }
    }
    rustix::fs::fcntl_add_seals(&copy, SEALS).map_err(SysError::of("fcntl", || "F_ADD_SEALS"))?;
    // A file that is open for writing cannot be executed: reopened read-only, by its own number.
    openat(
        CWD,
        format!("/proc/self/fd/{}", copy.as_raw_fd()),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(SysError::of("openat", || "the memfd"))
}

#[cfg(test)]
mod tests {
    use corten_tests_harness::skip_unless;

    use super::*;

    fn own() -> OwnedFd {
        openat(CWD, c"/proc/self/exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    /// The image must refuse to be opened for writing whoever holds it.
    fn refuses_writes(image: &OwnedFd) -> bool {
        let path = format!("/proc/self/fd/{}", image.as_raw_fd());
        match openat(CWD, path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
            Err(errno) => errno == Errno::ROFS,
            Ok(file) => rustix::io::pwrite(&file, b"x", 0) == Err(Errno::PERM),
        }
    }

    #[test]
    fn cve_2019_5736_the_memfd_cannot_be_written() {
        let image = memfd(&own()).unwrap();
        assert!(is_sealed(&image));
        assert!(refuses_writes(&image));
        assert!(!is_sealed(&own()));
    }

    #[test]
    fn cve_2019_5736_the_overlay_cannot_be_written() {
        skip_unless!(corten_tests_harness::is_root(), "mounting needs root");
        // A machine whose own root is an overlay of two already cannot stack one more.
        let Ok(image) = overlay(&own()) else {
            corten_tests_harness::skip("overlayfs over the test binary's file system is refused");
            return;
        };
        assert!(is_sealed(&image));
        assert!(refuses_writes(&image));
    }
}

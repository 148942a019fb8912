//! A `/proc` of one's own.
//!
//! What is mounted at `/proc` can be arranged by a container (CVE-2019-16884, CVE-2025-52881), and
//! that it is procfs proves nothing: another procfs file may be mounted over the one that is meant.
//! So every write goes through an instance that nobody else can mount on, and beneath it only:
//! no symlink but `self` and `thread-self`, no magic link, no crossing into another mount.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::{SysError, mount};

/// `PROC_SUPER_MAGIC` (statfs(2)).
const PROC_SUPER_MAGIC: i64 = 0x9fa0;

/// A private handle on procfs, for the pid namespace of the process that opened it.
#[derive(Debug)]
pub struct ProcFs(OwnedFd);

impl ProcFs {
    /// A fresh, detached instance. Does not allocate.
    ///
    /// Where the kernel refuses one (no `CAP_SYS_ADMIN` over the pid namespace), a detached copy of
    /// `/proc` without what is mounted on it; and where this process may mount nothing at all,
    /// `/proc` itself, of which only what nothing is mounted on can then be reached.
    ///
    /// # Errors
    /// What `fsopen(2)` and `open_tree(2)` say; `ENODEV` when `/proc` is no procfs.
    pub fn open() -> rustix::io::Result<Self> {
        match mount::new_filesystem(
            c"proc",
            None,
            &[],
            mount::NOSUID | mount::NODEV | mount::NOEXEC,
        ) {
            Ok(fd) => Ok(Self(fd)),
            Err(Errno::PERM) => {
                let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
                let fd = match open_tree(CWD, c"/proc", flags) {
                    Err(Errno::PERM) => {
                        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                        rustix::fs::openat(CWD, c"/proc", flags, Mode::empty())?
                    }
                    other => other?,
                };
                if rustix::fs::fstatfs(&fd)?.f_type != PROC_SUPER_MAGIC {
                    return Err(Errno::NODEV);
                }
                Ok(Self(fd))
            }
            Err(errno) => Err(errno),
        }
    }

    /// Opens a file by its path below `/proc`, without a leading slash. Does not allocate for a
    /// `&CStr`.
    ///
    /// # Errors
    /// `EXDEV` and `ELOOP` for what would leave the instance; `ENOENT` for a process that has
    /// ended.
    pub fn file(&self, path: impl rustix::path::Arg, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        openat2(self.0.as_fd(), path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// Writes a value in one call, as procfs files want it. Does not allocate.
    ///
    /// # Errors
    /// As [`Self::file`], and what the file answers (`EINVAL`, `EACCES`).
    pub fn write(&self, path: &CStr, value: &[u8]) -> rustix::io::Result<()> {
        let file = self.file(path, OFlags::WRONLY)?;
        let written = rustix::io::retry_on_intr(|| rustix::io::write(&file, value))?;
        if written == value.len() { Ok(()) } else { Err(Errno::IO) }
    }

    /// As [`Self::write`], with an error that names file and value.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn set(&self, path: &str, value: &str) -> Result<(), SysError> {
        let describe = || format!("/proc/{path}, {value:?}");
        let name = std::ffi::CString::new(path)
            .or(Err(Errno::INVAL))
            .map_err(SysError::of("openat2", describe))?;
        self.write(&name, value.as_bytes()).map_err(SysError::of("write", describe))
    }

    /// Reads a file, at most `limit` bytes of it.
    ///
    /// # Errors
    /// As [`Self::file`]; `EFBIG` for more than `limit` bytes.
    pub fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, SysError> {
        let describe = || format!("/proc/{path}");
        let file = self.file(path, OFlags::RDONLY).map_err(SysError::of("openat2", describe))?;
        let mut text = Vec::new();
        let mut chunk = [0_u8; 4096];
        loop {
            let read = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut chunk))
                .map_err(SysError::of("read", describe))?;
            if read == 0 {
                return Ok(text);
            }
            text.extend_from_slice(&chunk[..read]);
            if text.len() > limit {
                return Err(SysError::of("read", describe)(Errno::FBIG));
            }
        }
    }
}

impl AsFd for ProcFs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use corten_tests_harness::skip_unless;

    use super::*;

    #[test]
    fn own_files_are_reached_and_magic_links_are_not() {
        skip_unless!(corten_tests_harness::is_root(), "mounting needs root");
        let proc = ProcFs::open().unwrap();
        let comm = proc.read("self/comm", 64).unwrap();
        assert!(!comm.is_empty());
        assert_eq!(proc.file("self/exe", OFlags::RDONLY).unwrap_err(), Errno::LOOP);
        assert_eq!(proc.file("self/root/etc", OFlags::PATH).unwrap_err(), Errno::LOOP);
        assert_eq!(proc.file("../etc", OFlags::PATH).unwrap_err(), Errno::XDEV);
        assert_eq!(proc.read("self/maps", 8).unwrap_err().errno, Errno::FBIG);
    }

    /// CVE-2025-52881's class: what others mount on /proc does not redirect a write.
    #[test]
    fn an_overmounted_proc_does_not_matter() {
        skip_unless!(corten_tests_harness::is_root(), "mounting needs root");
        std::thread::spawn(|| {
            crate::ns::unshare(crate::clone::Namespaces::MOUNT).unwrap();
            let private = mount::Attributes { propagation: mount::PRIVATE, ..Default::default() };
            mount::set_attributes_at(c"/", true, private).unwrap();
            let decoy = mount::new_filesystem(c"tmpfs", None, &[], 0).unwrap();
            mount::attach_at(decoy.as_fd(), c"/proc").unwrap();
            std::fs::read("/proc/self/comm").unwrap_err();
            assert!(!ProcFs::open().unwrap().read("self/comm", 64).unwrap().is_empty());
        })
        .join()
        .unwrap();
    }
}

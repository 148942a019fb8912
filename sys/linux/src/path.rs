//! Paths inside a directory that somebody else controls.
//!
//! A container's root file system is hostile: any component may be a symlink, and may become one
//! while it is looked at (CVE-2021-30465, CVE-2024-45310). Here a path is only ever resolved by the
//! kernel beneath a handle (`openat2(RESOLVE_IN_ROOT)`), or one component at a time without
//! following links, so that no outcome of a race leaves the root.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2,
};
use rustix::io::Errno;

use crate::SysError;

/// How many symlinks one path may pass through (as the kernel's own limit).
const LINKS_MAX: u32 = 40;
/// How often a resolution that raced with a rename is tried again.
const TRIES_MAX: u32 = 64;
const PATH_MAX: usize = 4096;
const NAME_MAX: usize = 255;

/// What the last component of a path must be; it is made if it is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// A directory.
    Directory,
    /// Anything but a directory; made as an empty file.
    File,
}

/// A directory that paths are resolved in as if it were `/`.
#[derive(Debug)]
pub struct RootFd(OwnedFd);

impl From<OwnedFd> for RootFd {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for RootFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl RootFd {
    /// A host directory that no container controls the path of.
    ///
    /// # Errors
    /// `ENOTDIR`, `ENOENT` and the other answers of `openat(2)`.
    pub fn open_host(path: &std::path::Path) -> Result<Self, SysError> {
        openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map(Self)
            .map_err(SysError::of("openat", || format!("{}", path.display())))
    }

    /// Opens what a path names inside the root, symlinks resolved inside it. Does not allocate for
    /// a `&CStr`.
    ///
    /// # Errors
    /// What `openat2(2)` says; `ELOOP` for a `/proc` magic link.
    pub fn open(&self, path: impl rustix::path::Arg, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        path.into_with_c_str(|path| open_in_root(self.as_fd(), path, flags, Mode::empty()))
    }

    /// Opens what a path names inside the root, and makes it, and the directories above it, if
    /// missing: also through symlinks that dangle. Returns a handle on the leaf. Does not
    /// allocate.
    ///
    /// # Errors
    /// `ENOTDIR` and `EISDIR` when what is there is of the other kind; `ELOOP`; `ENAMETOOLONG`.
    pub fn open_or_create(
        &self,
        path: &CStr,
        leaf: Leaf,
        directory_mode: Mode,
    ) -> rustix::io::Result<OwnedFd> {
        Walk::new(self.as_fd(), path)?.run(leaf, directory_mode)
    }
}

/// `openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)`, tried again when a rename raced with it.
/// Does not allocate.
///
/// # Errors
/// What `openat2(2)` says.
pub fn open_in_root(
    root: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    retry(|| openat2(root, path, flags | OFlags::CLOEXEC, mode, resolve))
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    let mut tries = 0;
    loop {
        match call() {
            // EAGAIN: a ".." could not be proven to stay inside (openat2(2)).
            Err(Errno::AGAIN | Errno::INTR) if tries < TRIES_MAX => tries += 1,
            other => return other,
        }
    }
}

/// A path on the stack: NUL-terminated, because it is handed to the kernel.
struct Text {
    bytes: [u8; PATH_MAX + 1],
    len: usize,
}

impl Text {
    const fn new() -> Self {
        Self { bytes: [0; PATH_MAX + 1], len: 0 }
    }

    fn push(&mut self, more: &[u8]) -> rustix::io::Result<()> {
        let end = self.len + more.len();
        if end > PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        self.bytes[self.len..end].copy_from_slice(more);
        self.bytes[end] = 0;
        self.len = end;
        Ok(())
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn truncate(&mut self, len: usize) {
        self.len = len;
        self.bytes[len] = 0;
    }

    fn as_c_str(&self) -> rustix::io::Result<&CStr> {
        CStr::from_bytes_until_nul(&self.bytes[..=self.len]).or(Err(Errno::INVAL))
    }
}

/// One resolution, component by component.
struct Walk<'a> {
    root: BorrowedFd<'a>,
    /// What is still to be walked.
    pending: Text,
    /// The directories walked so far, without symlinks and dots.
    done: Text,
    here: Option<OwnedFd>,
    links: u32,
}

impl<'a> Walk<'a> {
    fn new(root: BorrowedFd<'a>, path: &CStr) -> rustix::io::Result<Self> {
        let mut pending = Text::new();
        pending.push(path.to_bytes())?;
        Ok(Self { root, pending, done: Text::new(), here: None, links: 0 })
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.here.as_ref().map_or(self.root, AsFd::as_fd)
    }

    fn run(mut self, leaf: Leaf, mode: Mode) -> rustix::io::Result<OwnedFd> {
        loop {
            let Some(name) = self.next_name()? else {
                // The path ended on the root itself, a "." or a "..".
                return match (leaf, self.here.take()) {
                    (Leaf::File, _) => Err(Errno::ISDIR),
                    (Leaf::Directory, Some(here)) => Ok(here),
                    (Leaf::Directory, None) => openat(self.root, c".", DIRECTORY, Mode::empty()),
                };
            };
            match name.as_bytes() {
                b"." => (),
                b".." => self.up()?,
                _ => {
                    let last = self.pending.as_bytes().iter().all(|byte| *byte == b'/');
                    if let Some(file) = self.down(&name, last.then_some(leaf), mode)? {
                        return Ok(file);
                    }
                }
            }
        }
    }

    /// Takes the first component off `pending`.
    fn next_name(&mut self) -> rustix::io::Result<Option<Text>> {
        let bytes = self.pending.as_bytes();
        let Some(start) = bytes.iter().position(|byte| *byte != b'/') else { return Ok(None) };
        let rest = &bytes[start..];
        let len = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        if len > NAME_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let mut name = Text::new();
        name.push(&rest[..len])?;
        let left = rest.len() - len;
        self.pending.bytes.copy_within(start + len..start + len + left, 0);
        self.pending.truncate(left);
        Ok(Some(name))
    }

    fn up(&mut self) -> rustix::io::Result<()> {
        let parent = self.done.as_bytes().iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.done.truncate(parent);
        self.here = if self.done.len == 0 {
            None
        } else {
            // From the root again, because ".." of a handle follows wherever it was moved to.
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
            let path = self.done.as_c_str()?;
            Some(retry(|| openat2(self.root, path, DIRECTORY, Mode::empty(), resolve))?)
        };
        Ok(())
    }

    /// Steps into `name`; a file is returned when it is the leaf that was asked for.
    fn down(
        &mut self,
        name: &Text,
        leaf: Option<Leaf>,
        mode: Mode,
    ) -> rustix::io::Result<Option<OwnedFd>> {
        let c_name = name.as_c_str()?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = match openat(self.here(), c_name, flags, Mode::empty()) {
            Err(Errno::NOENT) if leaf == Some(Leaf::File) => {
                let create = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
                return openat(self.here(), c_name, create | OFlags::RDONLY, mode).map(Some);
            }
            Err(Errno::NOENT) => {
                match mkdirat(self.here(), c_name, mode) {
                    // Somebody else may have been faster.
                    Ok(()) | Err(Errno::EXIST) => (),
                    Err(errno) => return Err(errno),
                }
                openat(self.here(), c_name, flags, Mode::empty())?
            }
            other => other?,
        };
        match FileType::from_raw_mode(fstat(&found)?.st_mode) {
            FileType::Symlink => self.follow(&found).map(|()| None),
            FileType::Directory if leaf == Some(Leaf::File) => Err(Errno::ISDIR),
            FileType::Directory => {
                self.done.push(b"/")?;
                self.done.push(name.as_bytes())?;
                self.here = Some(found);
                Ok(None)
            }
            _file if leaf == Some(Leaf::File) => Ok(Some(found)),
            FileType::RegularFile
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Err(Errno::NOTDIR),
        }
    }

    /// Puts a symlink's text in front of what is pending.
    fn follow(&mut self, link: &OwnedFd) -> rustix::io::Result<()> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(Errno::LOOP);
        }
        let mut buffer = [MaybeUninit::<u8>::uninit(); PATH_MAX];
        let (target, _rest) = rustix::fs::readlinkat_raw(link, c"", &mut buffer[..])?;
        let mut text = Text::new();
        text.push(target)?;
        text.push(b"/")?;
        text.push(self.pending.as_bytes())?;
        if text.as_bytes().starts_with(b"/") {
            self.done.truncate(0);
            self.here = None;
        }
        self.pending = text;
        Ok(())
    }
}

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Whether the working directory lies inside the root directory: a directory handle from outside
/// that `chdir` was led to (CVE-2024-21626) does not. Does not allocate.
///
/// # Errors
/// `ENOENT` when the directory has been removed.
pub fn cwd_is_inside_root() -> rustix::io::Result<bool> {
    let mut buffer = [0_u8; PATH_MAX];
    // SAFETY: the buffer is as long as said, and the kernel writes no further.
    let length = crate::syscall::check(unsafe {
        libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len())
    });
    match length {
        // The kernel writes "(unreachable)/…" for what is outside (getcwd(2)).
        Ok(_length) => Ok(buffer[0] == b'/'),
        Err(errno) => Err(errno),
    }
}

/// Whether the handle is the host's `/dev/null`'s equal: a character device 1:3. A mask made from
/// anything else would show the container what it should hide (CVE-2025-31133).
///
/// # Errors
/// What `fstat(2)` says.
pub fn is_dev_null(fd: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    let stat = fstat(fd)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == (1, 3))
}

/// Removes an entry of a directory by handle; one that is not there is fine. Does not allocate.
///
/// # Errors
/// What `unlinkat(2)` says.
pub fn unlink_if_there(dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests;

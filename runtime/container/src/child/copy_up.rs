//! `tmpcopyup`: a tmpfs starts with what the image has at its place.
//!
//! The image is hostile: everything is opened by one name beneath a handle, symlinks are copied and
//! never followed, and how deep it may go is bounded, for this runs on a cloned child's stack.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use corten_sys_linux::rustix::io::Errno;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawDir, ResolveFlags, Stat, Timespec, Timestamps, Uid,
    XattrFlags, chmodat, chownat, fgetxattr, fsetxattr, fstat, mkdirat, mknodat, openat, openat2,
    readlinkat_raw, sendfile, statat, symlinkat, utimensat,
};

/// More levels than any image has where a tmpfs belongs.
const DEPTH_MAX: u32 = 64;
const PATH_MAX: usize = 4096;
/// What the kernel reads or sends at once at most.
const CHUNK_BYTES: usize = 0x7fff_f000;

/// Copies all of the directory `from` into the directory `to`, whose own mode is its mount's affair.
pub(super) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let from = openat(from, c".", flags, Mode::empty())?;
    let to = openat(to, c".", flags, Mode::empty())?;
    contents(from.as_fd(), to.as_fd(), 0)?;
    let stat = fstat(&from)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    chownat(&to, c".", Some(uid), Some(gid), AtFlags::empty())
}

fn contents(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: u32) -> rustix::io::Result<()> {
    if depth == DEPTH_MAX {
        return Err(Errno::LOOP);
    }
    let mut buffer = [MaybeUninit::<u8>::uninit(); 2048];
    let mut entries = RawDir::new(from, &mut buffer[..]);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            one(from, to, name, depth)?;
        }
    }
    Ok(())
}

fn one(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    depth: u32,
) -> rustix::io::Result<()> {
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let private = Mode::RUSR | Mode::WUSR;
    match kind {
        FileType::Directory => {
            let Some(inside) = open(from, name, OFlags::DIRECTORY)? else { return Ok(()) };
            mkdirat(to, name, Mode::RWXU)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = openat(to, name, flags, Mode::empty())?;
            contents(inside.as_fd(), made.as_fd(), depth + 1)?;
        }
        FileType::RegularFile => {
            // O_NONBLOCK: what it is now may have been put in the place of the file.
            let Some(source) = open(from, name, OFlags::NONBLOCK)? else { return Ok(()) };
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let made = openat(to, name, flags | OFlags::NOFOLLOW, private)?;
            while sendfile(&made, &source, None, CHUNK_BYTES)? > 0 {}
            // The owner first: a change of it takes set-user-ID and capabilities away.
            settle(to, name, &stat)?;
            return capabilities(&source, &made);
        }
        FileType::Symlink => {
            let mut space = [MaybeUninit::<u8>::uninit(); PATH_MAX];
            let (target, rest) = readlinkat_raw(from, name, &mut space[..PATH_MAX - 1])?;
            let length = target.len();
            if rest.is_empty() {
                return Err(Errno::NAMETOOLONG);
            }
            let mut text = [0_u8; PATH_MAX];
            text[..length].copy_from_slice(target);
            let text = CStr::from_bytes_until_nul(&text).or(Err(Errno::INVAL))?;
            symlinkat(text, to, name)?;
        }
        FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice => {
            mknodat(to, name, kind, private, stat.st_rdev)?;
        }
        FileType::Unknown => return Err(Errno::INVAL),
    }
    settle(to, name, &stat)
}

/// A file by its name; `None` for what is mounted there, which is no part of the image.
fn open(dir: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> rustix::io::Result<Option<OwnedFd>> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
    match openat2(dir, name, flags, Mode::empty(), resolve) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::XDEV) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Owner, mode and times.
fn settle(dir: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        chmodat(dir, name, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())?;
    }
    let time = |seconds, nanos: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanos).unwrap_or(0),
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

/// File capabilities, the one extended attribute that a program depends on.
fn capabilities(from: &OwnedFd, to: &OwnedFd) -> rustix::io::Result<()> {
    // A vfs_cap_data of version 3 has 24 bytes.
    let mut value = [0_u8; 64];
    match fgetxattr(from, c"security.capability", &mut value[..]) {
        Ok(length) => fsetxattr(to, c"security.capability", &value[..length], XattrFlags::empty()),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
        Err(errno) => Err(errno),
    }
}

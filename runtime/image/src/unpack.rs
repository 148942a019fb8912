//! A layer's tar stream, unpacked without ever leaving its folder.
//!
//! Names and link targets in a layer are hostile. Folders are opened with `openat2` and
//! `RESOLVE_IN_ROOT` (openat2(2)), so that neither `..` nor a symbolic link of the layer reaches
//! outside; the last component of a name is only ever used with calls that do not follow links.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use tar::{Archive, Entry, EntryType};

/// More entries than any image has; fewer than fill a file system's inodes by surprise.
const ENTRIES_MAX: u64 = 4_000_000;

/// What whiteouts are called in a layer (OCI image spec, "Whiteouts").
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// An entry failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) entry: String,
    pub(crate) source: io::Error,
}

/// Unpacks `tar` into the existing, empty folder `target`.
pub(crate) fn unpack(tar: impl Read, target: &Path) -> Result<(), Failed> {
    let outside = |source| Failed { entry: String::new(), source };
    let root = rustix::fs::open(target, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| outside(errno.into()))?;
    let mut layer = Layer { root, parent: None, folders: Vec::new() };
    let mut archive = Archive::new(tar);
    let entries = archive.entries().map_err(outside)?;
    for (count, entry) in (0..).zip(entries) {
        let mut entry = entry.map_err(outside)?;
        let path = entry.path().map_err(outside)?.into_owned();
        let outcome = if count < ENTRIES_MAX {
            layer.add(&path, &mut entry)
        } else {
            Err(io::Error::other(format!("more than {ENTRIES_MAX} entries")))
        };
        outcome.map_err(|source| Failed { entry: path.display().to_string(), source })?;
    }
    layer.finish()
}

struct Layer {
    root: OwnedFd,
    /// The folder of the last entry: most entries follow their siblings.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Times of folders, set last: adding a file changes them.
    folders: Vec<(PathBuf, Timestamps)>,
}

struct Attributes {
    owner: Uid,
    group: Gid,
    mode: Mode,
    times: Timestamps,
    extended: Vec<(String, Vec<u8>)>,
}

impl Layer {
    fn add<R: Read>(&mut self, path: &Path, entry: &mut Entry<'_, R>) -> io::Result<()> {
        if entry.header().entry_type() == EntryType::XGlobalHeader {
            return Ok(());
        }
        let Some((parent_path, name)) = split(path)? else {
            return self.set_root(entry);
        };
        self.enter(&parent_path)?;
        let parent = match &self.parent {
            Some((_, folder)) => folder.as_fd(),
            None => self.root.as_fd(),
        };
        if name == OPAQUE {
            let flags = XattrFlags::empty();
            return Ok(rustix::fs::fsetxattr(parent, "trusted.overlay.opaque", b"y", flags)?);
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            return add_whiteout(parent, hidden);
        }
        let attributes = attributes(entry)?;
        let times = attributes.times.clone();
        let is_folder = add_file(self.root.as_fd(), parent, &name, entry, &attributes)?;
        if is_folder {
            let path = parent_path.join(&name);
            // It may have replaced what `parent` is open on.
            if self.parent.as_ref().is_some_and(|(open, _)| open.starts_with(&path)) {
                self.parent = None;
            }
            self.folders.push((path, times));
        }
        Ok(())
    }

    fn set_root<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> io::Result<()> {
        if entry.header().entry_type() != EntryType::Directory {
            return Err(io::Error::other("the root of a layer must be a folder"));
        }
        let attributes = attributes(entry)?;
        rustix::fs::fchown(&self.root, Some(attributes.owner), Some(attributes.group))?;
        rustix::fs::fchmod(&self.root, attributes.mode)?;
        self.folders.push((PathBuf::new(), attributes.times));
        Ok(())
    }

    /// Opens the folder of an entry, making those that are missing.
    fn enter(&mut self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() {
            self.parent = None;
            return Ok(());
        }
        if self.parent.as_ref().is_some_and(|(open, _)| open == path) {
            return Ok(());
        }
        let folder = match open_beneath(self.root.as_fd(), path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make(path)?,
            outcome => outcome?,
        };
        self.parent = Some((path.to_owned(), folder));
        Ok(())
    }

    fn make(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut folder = self.root.try_clone()?;
        let mut so_far = PathBuf::new();
        for part in path.components() {
            match rustix::fs::mkdirat(&folder, part.as_os_str(), Mode::from_raw_mode(0o755)) {
                Err(errno) if errno != rustix::io::Errno::EXIST => return Err(errno.into()),
                Ok(()) | Err(_) => {}
            }
            so_far.push(part);
            folder = open_beneath(self.root.as_fd(), &so_far)?;
        }
        Ok(folder)
    }

    fn finish(self) -> Result<(), Failed> {
        for (path, times) in self.folders.iter().rev() {
            let failed = |source: io::Error| Failed { entry: path.display().to_string(), source };
            let set = |folder: BorrowedFd<'_>| {
                rustix::fs::futimens(folder, times).map_err(|errno| failed(errno.into()))
            };
            if path.as_os_str().is_empty() {
                set(self.root.as_fd())?;
                continue;
            }
            match open_beneath(self.root.as_fd(), path) {
                Ok(folder) => set(folder.as_fd())?,
                // A later entry replaced it.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }
}

/// The folder and the last component of an entry's name; `None` for the root itself.
fn split(path: &Path) -> io::Result<Option<(PathBuf, String)>> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::other("'..' in the name of an entry"));
            }
        }
    }
    let Some(name) = clean.file_name() else { return Ok(None) };
    let name = name.to_str().ok_or_else(|| io::Error::other("a name that is not UTF-8"))?;
    let name = name.to_owned();
    clean.pop();
    Ok(Some((clean, name)))
}

fn open_beneath(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)?)
}

/// An overlay whiteout: a character device 0:0 (overlayfs documentation, "whiteouts and opaque
/// directories").
fn add_whiteout(parent: BorrowedFd<'_>, hidden: &str) -> io::Result<()> {
    if hidden.is_empty() || hidden == "." || hidden == ".." {
        return Err(io::Error::other("a whiteout of nothing"));
    }
    remove(parent, hidden)?;
    Ok(rustix::fs::mknodat(parent, hidden, FileType::CharacterDevice, Mode::empty(), 0)?)
}

fn attributes<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Attributes> {
    let header = entry.header();
    let id = |value: u64| u32::try_from(value).map_err(io::Error::other);
    let owner = Uid::from_raw(id(header.uid()?)?);
    let group = Gid::from_raw(id(header.gid()?)?);
    let mode = Mode::from_raw_mode(header.mode()? & 0o7777);
    let seconds = i64::try_from(header.mtime()?).unwrap_or(i64::MAX);
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    let mut extended = Vec::new();
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions {
            let extension = extension?;
            let key = extension.key().map_err(io::Error::other)?;
            let Some(name) = key.strip_prefix("SCHILY.xattr.") else { continue };
            // Those of overlayfs decide what the layers below show; a layer has no say in that.
            if name.starts_with("trusted.") {
                return Err(io::Error::other(format!("the extended attribute {name}")));
            }
            extended.push((name.to_owned(), extension.value_bytes().to_owned()));
        }
    }
    Ok(Attributes { owner, group, mode, times, extended })
}

/// Adds what the entry describes; true for a folder.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other type is refused")]
fn add_file<R: Read>(
    root: BorrowedFd<'_>,
    parent: BorrowedFd<'_>,
    name: &str,
    entry: &mut Entry<'_, R>,
    attributes: &Attributes,
) -> io::Result<bool> {
    let kind = entry.header().entry_type();
    if kind == EntryType::Directory {
        add_folder(parent, name, attributes)?;
        return Ok(true);
    }
    remove(parent, name)?;
    let node = match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => None,
        EntryType::Symlink => {
            let target = link_target(entry)?;
            rustix::fs::symlinkat(&target, parent, name)?;
            set_attributes_by_name(parent, name, attributes, false)?;
            return Ok(false);
        }
        EntryType::Link => {
            add_hard_link(root, parent, name, &link_target(entry)?)?;
            return Ok(false);
        }
        EntryType::Char => Some(FileType::CharacterDevice),
        EntryType::Block => Some(FileType::BlockDevice),
        EntryType::Fifo => Some(FileType::Fifo),
        other => return Err(io::Error::other(format!("an entry of the type {other:?}"))),
    };
    if let Some(node) = node {
        let header = entry.header();
        let number = |part: Option<u32>| part.unwrap_or(0);
        let device =
            rustix::fs::makedev(number(header.device_major()?), number(header.device_minor()?));
        if node == FileType::CharacterDevice && device == 0 {
            return Err(io::Error::other("a device that overlayfs takes for a whiteout"));
        }
        rustix::fs::mknodat(parent, name, node, attributes.mode, device)?;
        set_attributes_by_name(parent, name, attributes, true)?;
        return Ok(false);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?);
    io::copy(entry, &mut file)?;
    set_attributes(file.as_fd(), attributes)?;
    rustix::fs::futimens(&file, &attributes.times)?;
    Ok(false)
}

fn link_target<R: Read>(entry: &Entry<'_, R>) -> io::Result<PathBuf> {
    let target = entry.link_name()?.ok_or_else(|| io::Error::other("a link without a target"))?;
    Ok(target.into_owned())
}

fn add_folder(parent: BorrowedFd<'_>, name: &str, attributes: &Attributes) -> io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(parent, name, flags, Mode::empty());
    let folder = match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) => open()?,
        // A folder that is there keeps its files; anything else makes way.
        Err(rustix::io::Errno::EXIST) => match open() {
            Ok(folder) => folder,
            Err(_) => {
                remove(parent, name)?;
                rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
                open()?
            }
        },
        Err(errno) => return Err(errno.into()),
    };
    set_attributes(folder.as_fd(), attributes)
}

/// The owner comes before the mode and the capabilities: chown(2) clears those.
fn set_attributes(file: BorrowedFd<'_>, attributes: &Attributes) -> io::Result<()> {
    rustix::fs::fchown(file, Some(attributes.owner), Some(attributes.group))?;
    rustix::fs::fchmod(file, attributes.mode)?;
    for (name, value) in &attributes.extended {
        rustix::fs::fsetxattr(file, name.as_str(), value, XattrFlags::empty())?;
    }
    Ok(())
}

/// For what can't be opened: symbolic links, devices, pipes.
fn set_attributes_by_name(
    parent: BorrowedFd<'_>,
    name: &str,
    attributes: &Attributes,
    has_mode: bool,
) -> io::Result<()> {
    let no_follow = AtFlags::SYMLINK_NOFOLLOW;
    let (owner, group) = (Some(attributes.owner), Some(attributes.group));
    rustix::fs::chownat(parent, name, owner, group, no_follow)?;
    if has_mode {
        // Nothing else writes to this folder, and the name is not a link: it was made just now.
        rustix::fs::chmodat(parent, name, attributes.mode, AtFlags::empty())?;
    }
    Ok(rustix::fs::utimensat(parent, name, &attributes.times, no_follow)?)
}

fn add_hard_link(
    root: BorrowedFd<'_>,
    parent: BorrowedFd<'_>,
    name: &str,
    target: &Path,
) -> io::Result<()> {
    let Some((folder, file)) = split(target)? else {
        return Err(io::Error::other("a hard link to the root"));
    };
    let opened;
    let folder = if folder.as_os_str().is_empty() {
        root
    } else {
        opened = open_beneath(root, &folder)?;
        opened.as_fd()
    };
    // Without AT_SYMLINK_FOLLOW the last component is not followed (linkat(2)).
    Ok(rustix::fs::linkat(folder, file.as_str(), parent, name, AtFlags::empty())?)
}

fn remove(parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(rustix::io::Errno::ISDIR) => {
            remove_folder(parent, name)?;
            Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Empties a folder that a later entry of the same layer replaces.
fn remove_folder(parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    let mut entries = rustix::fs::Dir::read_from(&folder)?;
    while let Some(entry) = entries.read() {
        let entry = entry?;
        let inner = entry.file_name().to_string_lossy();
        if inner != "." && inner != ".." {
            remove(folder.as_fd(), &inner)?;
        }
    }
    Ok(())
}

/// Opens a folder of the store by path; for callers outside this module.
pub(crate) fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests;

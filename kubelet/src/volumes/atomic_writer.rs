//! Replaces all files of a folder at once, so that a reader sees the old set or the new one.
//!
//! The files live in a folder named by time; `..data` links to the current one, and each file's
//! visible name links through `..data`. One rename of `..data` switches them all. The layout is
//! upstream's, which programs that watch for changes of `..data` rely on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Component, Path};

use rustix::fs::{Gid, Mode};

use super::VolumeError;

const DATA: &str = "..data";
const DATA_NEXT: &str = "..data_tmp";
/// Linux's own bounds (PATH_MAX, NAME_MAX) less the folder around it.
const PATH_BYTES_MAX: usize = 1024;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
}

/// The path in its normal form, if it stays within the folder.
pub(crate) fn validate(path: &str) -> Result<String, VolumeError> {
    let wrong = |problem| Err(VolumeError::Path { path: path.to_owned(), problem });
    if path.is_empty() || path.len() > PATH_BYTES_MAX {
        return wrong("it is empty or longer than 1024 bytes");
    }
    if path.starts_with("..") {
        return wrong("it begins with '..'");
    }
    let mut parts = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return wrong("it is absolute or has a '..' in it");
            }
        }
    }
    if parts.is_empty() { wrong("it names no file") } else { Ok(parts.join("/")) }
}

/// Makes the folder hold exactly `files`. With a group, its members may read them. True if
/// anything changed.
pub(crate) fn write(
    folder: &Path,
    files: &BTreeMap<String, File>,
    group: Option<u32>,
) -> Result<bool, VolumeError> {
    let current = match fs::read_link(folder.join(DATA)) {
        Ok(name) => Some(name),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(VolumeError::io("readlink", &folder.join(DATA))(error)),
    };
    if let Some(current) = &current
        && holds_exactly(&folder.join(current), files)
    {
        link_names(folder, files)?;
        return Ok(false);
    }
    let name = fresh_name(folder);
    let fresh = folder.join(&name);
    let result = fill(&fresh, files, group).and_then(|()| switch(folder, &name));
    if result.is_err() {
        // What was begun is of no use; the error that stopped it is what is told.
        fs::remove_dir_all(&fresh).unwrap_or_default();
    }
    result?;
    link_names(folder, files)?;
    unlink_stale(folder, files)?;
    if let Some(current) = current {
        let old = folder.join(current);
        match fs::remove_dir_all(&old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(VolumeError::io("remove", &old)(error));
            }
            _ => {}
        }
    }
    Ok(true)
}

fn fresh_name(folder: &Path) -> String {
    let now = jiff::Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S").to_string();
    let mut number: u32 = rand::random();
    loop {
        let name = format!("{now}.{number}");
        if fs::symlink_metadata(folder.join(&name)).is_err() {
            return name;
        }
        number = number.wrapping_add(1);
    }
}

fn holds_exactly(folder: &Path, files: &BTreeMap<String, File>) -> bool {
    let mut found = BTreeSet::new();
    if list(folder, "", &mut found).is_err() {
        return false;
    }
    found.iter().eq(files.keys())
        && files.iter().all(|(path, file)| {
            fs::read(folder.join(path)).is_ok_and(|content| content == file.content)
        })
}

fn list(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{name}/"), found)?;
        } else {
            found.insert(name);
        }
    }
    Ok(())
}

fn own(path: &Path, group: Option<u32>, mode: u32) -> Result<(), VolumeError> {
    if let Some(group) = group {
        rustix::fs::chown(path, None, Some(Gid::from_raw(group)))
            .map_err(VolumeError::io("chown", path))?;
    }
    // After chown, which clears the set-group-id bit; and whatever the umask is.
    rustix::fs::chmod(path, Mode::from_raw_mode(mode)).map_err(VolumeError::io("chmod", path))
}

fn fill(
    fresh: &Path,
    files: &BTreeMap<String, File>,
    group: Option<u32>,
) -> Result<(), VolumeError> {
    let folder_mode = if group.is_some() { 0o2755 } else { 0o755 };
    let make = |path: &Path| -> Result<(), VolumeError> {
        match fs::DirBuilder::new().mode(0o755).create(path) {
            Ok(()) => own(path, group, folder_mode),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(VolumeError::io("mkdir", path)(error)),
        }
    };
    make(fresh)?;
    for (path, file) in files {
        let mut parent = fresh.to_owned();
        let mut parts: Vec<&str> = path.split('/').collect();
        parts.pop();
        for part in parts {
            parent.push(part);
            make(&parent)?;
        }
        let place = fresh.join(path);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options
            .open(&place)
            .and_then(|mut out| io::Write::write_all(&mut out, &file.content))
            .map_err(VolumeError::io("write", &place))?;
        let mode = if group.is_some() { file.mode | 0o440 } else { file.mode };
        own(&place, group, mode)?;
    }
    Ok(())
}

fn switch(folder: &Path, name: &str) -> Result<(), VolumeError> {
    let next = folder.join(DATA_NEXT);
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(VolumeError::io("remove", &next)(error));
        }
        _ => {}
    }
    symlink(name, &next).map_err(VolumeError::io("symlink", &next))?;
    let data = folder.join(DATA);
    fs::rename(&next, &data).map_err(VolumeError::io("rename to", &data))
}

/// The first part of each path, which is what is visible in the folder.
fn visible(files: &BTreeMap<String, File>) -> BTreeSet<&str> {
    files.keys().filter_map(|path| path.split('/').next()).collect()
}

fn link_names(folder: &Path, files: &BTreeMap<String, File>) -> Result<(), VolumeError> {
    for name in visible(files) {
        let place = folder.join(name);
        if fs::symlink_metadata(&place).is_err() {
            symlink(Path::new(DATA).join(name), &place)
                .map_err(VolumeError::io("symlink", &place))?;
        }
    }
    Ok(())
}

fn unlink_stale(folder: &Path, files: &BTreeMap<String, File>) -> Result<(), VolumeError> {
    let wanted = visible(files);
    for entry in fs::read_dir(folder).map_err(VolumeError::io("read", folder))? {
        let entry = entry.map_err(VolumeError::io("read", folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !wanted.contains(name.as_ref()) {
            let place = entry.path();
            fs::remove_file(&place).map_err(VolumeError::io("remove", &place))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> BTreeMap<String, File> {
        list.iter()
            .map(|(path, text)| {
                ((*path).to_owned(), File { content: text.as_bytes().to_vec(), mode: 0o640 })
            })
            .collect()
    }

    fn read(folder: &Path) -> Vec<(String, String)> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with(".."))
            .collect();
        names.sort();
        let text = |name: &String| fs::read_to_string(folder.join(name)).unwrap_or_default();
        names.iter().map(|name| (name.clone(), text(name))).collect()
    }

    #[test]
    fn files_are_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(write(folder, &files(&[("a", "1"), ("d/b", "2")]), None).unwrap());
        assert_eq!(fs::read_to_string(folder.join("d/b")).unwrap(), "2");
        let first = fs::read_link(folder.join(DATA)).unwrap();
        assert!(!write(folder, &files(&[("a", "1"), ("d/b", "2")]), None).unwrap());
        assert_eq!(fs::read_link(folder.join(DATA)).unwrap(), first);
        assert!(write(folder, &files(&[("a", "3"), ("c", "4")]), None).unwrap());
        let expected = [("a", "3"), ("c", "4")].map(|(n, t)| (n.to_owned(), t.to_owned()));
        assert_eq!(read(folder), expected);
        assert!(!folder.join(first).exists());
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(folder.join("a")).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn paths_stay_within_the_folder() {
        for path in ["", "/a", "../a", "a/../../b", "..a", "a/../b"] {
            validate(path).unwrap_err();
        }
        assert_eq!(validate("./a//b").unwrap(), "a/b");
    }
}

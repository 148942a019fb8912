//! Control files of one cgroup in one hierarchy.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::{Error, Version};

/// No control file comes near this; what does is not one.
const FILE_BYTES_MAX: usize = 16 << 20;

/// One cgroup's folder in one hierarchy, held open.
#[derive(Debug)]
pub(crate) struct Files {
    dir: OwnedFd,
    path: PathBuf,
    version: Version,
}

impl Files {
    pub(crate) fn new(dir: OwnedFd, path: PathBuf, version: Version) -> Self {
        Self { dir, path, version }
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    pub(crate) fn open(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Error> {
        rustix::fs::openat(
            &self.dir,
            name,
            flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::empty(),
        )
        .map_err(|source| Error::File { call: "open", path: self.path.join(name), source })
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        rustix::fs::statat(&self.dir, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Writes a value in one call, as the kernel parses it.
    pub(crate) fn write(&self, name: &str, value: &str) -> Result<(), Error> {
        let file = self.open(name, OFlags::WRONLY)?;
        rustix::io::write(&file, value.as_bytes()).map(drop).map_err(|source| Error::Write {
            path: self.path.join(name),
            value: value.to_owned(),
            source,
        })
    }

    /// A whole file, without the newline at its end.
    pub(crate) fn read(&self, name: &str) -> Result<String, Error> {
        let file = self.open(name, OFlags::RDONLY)?;
        read_fd(file.as_fd(), &self.path.join(name))
    }

    /// A whole file, or none if there is no such file: a controller that is not enabled, or a
    /// file that this kernel does not have.
    pub(crate) fn read_if_present(&self, name: &str) -> Result<Option<String>, Error> {
        match self.read(name) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.errno() == Some(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A file that is one number; `max`, and v1's way to say so, is none.
    pub(crate) fn read_limit(&self, name: &str) -> Result<Option<u64>, Error> {
        match self.read_if_present(name)? {
            None => Ok(None),
            Some(content) if content == "max" || content == "-1" => Ok(None),
            Some(content) => self.parse(name, &content).map(|value| {
                // v1 has no word for "no limit": it is the largest page-aligned number.
                (value < u64::MAX >> 1 & !0xffff).then_some(value)
            }),
        }
    }

    pub(crate) fn read_number(&self, name: &str) -> Result<Option<u64>, Error> {
        self.read_if_present(name)?.map(|content| self.parse(name, &content)).transpose()
    }

    fn parse(&self, name: &str, content: &str) -> Result<u64, Error> {
        content.parse().map_err(|_not_a_number| Error::Parse {
            path: self.path.join(name),
            content: content.chars().take(64).collect(),
            expected: "a number",
        })
    }

    /// A file of `key value` lines.
    pub(crate) fn read_map(&self, name: &str) -> Result<Option<BTreeMap<String, u64>>, Error> {
        Ok(self.read_if_present(name)?.map(|content| parse_map(&content)))
    }
}

/// Opens a folder of a hierarchy.
pub(crate) fn open_dir(at: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// Lines of `key value`; lines of another form, which future kernels may add, are passed over.
pub(crate) fn parse_map(content: &str) -> BTreeMap<String, u64> {
    content
        .lines()
        .filter_map(|line| {
            let (key, value) = line.split_once(' ')?;
            Some((key.to_owned(), value.trim().parse().ok()?))
        })
        .collect()
}

/// A whole file from its beginning, without the newline at its end.
pub(crate) fn read_fd(file: BorrowedFd<'_>, path: &Path) -> Result<String, Error> {
    let failed = |source| Error::File { call: "read", path: path.to_owned(), source };
    let mut content = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        let offset = u64::try_from(content.len()).unwrap_or(u64::MAX);
        match rustix::io::pread(file, &mut buffer, offset) {
            Ok(0) => break,
            Ok(count) => content.extend_from_slice(&buffer[..count]),
            Err(Errno::INTR) => {}
            Err(source) => return Err(failed(source)),
        }
        if content.len() > FILE_BYTES_MAX {
            return Err(failed(Errno::FBIG));
        }
    }
    let text = String::from_utf8(content).map_err(|_not_text| failed(Errno::ILSEQ))?;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_take_what_they_know() {
        let map = parse_map("usage_usec 12\nuser_usec 7\nodd\nsome avg10=0.00\n");
        assert_eq!(map.len(), 2);
        assert_eq!(map["usage_usec"], 12);
    }

    #[test]
    fn a_v1_limit_of_all_ones_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let fd = rustix::fs::open(dir.path(), OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let files = Files::new(fd.unwrap(), dir.path().to_owned(), Version::V1);
        for (content, limit) in [
            ("9223372036854771712\n", None),
            ("max\n", None),
            ("-1\n", None),
            ("67108864\n", Some(67_108_864)),
            ("0", Some(0)),
        ] {
            std::fs::write(dir.path().join("limit"), content).unwrap();
            assert_eq!(files.read_limit("limit").unwrap(), limit, "{content:?}");
        }
        assert_eq!(files.read_limit("absent").unwrap(), None);
        std::fs::write(dir.path().join("limit"), "12 apples").unwrap();
        assert!(matches!(files.read_limit("limit"), Err(Error::Parse { .. })));
    }
}

//! Which controller is mounted where.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode as FileMode, OFlags};

use crate::Error;

/// The two interfaces that the kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy for each controller, or few.
    V1,
    /// The unified hierarchy.
    V2,
}

/// How the machine's hierarchies are set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only the v2 hierarchy.
    Unified,
    /// v1 hierarchies beside the v2 one.
    Hybrid,
    /// Only v1 hierarchies.
    Legacy,
}

/// One mounted hierarchy.
#[derive(Debug)]
pub(crate) struct Hierarchy {
    root: OwnedFd,
    mount: PathBuf,
    version: Version,
    /// v1: what the mount's options say; v2: `cgroup.controllers` at its root.
    controllers: Vec<String>,
}

impl Hierarchy {
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub(crate) fn mount(&self) -> &Path {
        &self.mount
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

/// The hierarchies mounted on this machine, probed once and held open.
#[derive(Debug, Clone)]
pub struct Hierarchies {
    all: Arc<[Hierarchy]>,
}

impl Hierarchies {
    /// Reads `/proc/self/mountinfo`, `/proc/cgroups` and the v2 root's `cgroup.controllers`.
    ///
    /// # Errors
    /// When these cannot be read, or no hierarchy is mounted.
    pub fn probe() -> Result<Self, Error> {
        let mountinfo = read_proc("/proc/self/mountinfo")?;
        // Without v1 in the kernel there is no such file.
        let known = std::fs::read_to_string("/proc/cgroups").unwrap_or_default();
        let mut all = Vec::new();
        for mount in parse_mountinfo(&mountinfo, &parse_controllers(&known)) {
            let root = rustix::fs::open(
                &mount.target,
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                FileMode::empty(),
            )
            .map_err(|source| Error::File {
                call: "open",
                path: mount.target.clone(),
                source,
            })?;
            let controllers = match mount.version {
                Version::V1 => mount.controllers,
                Version::V2 => read_proc(mount.target.join("cgroup.controllers"))?
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect(),
            };
            let version = mount.version;
            all.push(Hierarchy { root, mount: mount.target, version, controllers });
        }
        if all.is_empty() {
            return Err(Error::NoHierarchy);
        }
        Ok(Self { all: all.into() })
    }

    /// How the machine is set up.
    #[must_use]
    pub fn mode(&self) -> Mode {
        let v1 = self.all.iter().any(|hierarchy| hierarchy.version == Version::V1);
        let v2 = self.all.iter().any(|hierarchy| hierarchy.version == Version::V2);
        match (v1, v2) {
            (true, true) => Mode::Hybrid,
            (true, false) => Mode::Legacy,
            (false, _) => Mode::Unified,
        }
    }

    /// Where a controller is to be found, if anywhere.
    #[must_use]
    pub fn version_of(&self, controller: &str) -> Option<Version> {
        self.index_of(controller).map(|index| self.all[index].version)
    }

    /// Where the hierarchies are mounted.
    pub fn mounts(&self) -> impl Iterator<Item = (&Path, Version)> {
        self.all.iter().map(|hierarchy| (hierarchy.mount.as_path(), hierarchy.version))
    }

    pub(crate) fn all(&self) -> &[Hierarchy] {
        &self.all
    }

    /// A controller is bound to one hierarchy at a time.
    pub(crate) fn index_of(&self, controller: &str) -> Option<usize> {
        self.all.iter().position(|hierarchy| hierarchy.has(controller))
    }
}

fn read_proc(path: impl AsRef<Path>) -> Result<String, Error> {
    let path = path.as_ref();
    std::fs::read_to_string(path).map_err(|error| Error::File {
        call: "read",
        path: path.to_owned(),
        source: rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO),
    })
}

#[derive(Debug, PartialEq, Eq)]
struct CgroupMount {
    target: PathBuf,
    version: Version,
    controllers: Vec<String>,
}

/// The names in `/proc/cgroups`.
fn parse_controllers(content: &str) -> Vec<&str> {
    content
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

/// The cgroup mounts of `/proc/self/mountinfo` (proc(5)), each hierarchy once: bind mounts and
/// mounts inside containers' folders show the same one again, under the same device number.
fn parse_mountinfo(content: &str, known: &[&str]) -> Vec<CgroupMount> {
    let mut seen: Vec<&str> = Vec::new();
    let mut mounts = Vec::new();
    for line in content.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let mut before = before.split(' ').skip(2);
        let (Some(device), Some(_root), Some(target)) =
            (before.next(), before.next(), before.next())
        else {
            continue;
        };
        let mut after = after.split(' ');
        let (Some(kind), Some(_source), Some(options)) = (after.next(), after.next(), after.next())
        else {
            continue;
        };
        let version = match kind {
            "cgroup" => Version::V1,
            "cgroup2" => Version::V2,
            _ => continue,
        };
        if seen.contains(&device) {
            continue;
        }
        seen.push(device);
        let controllers = match version {
            Version::V1 => options
                .split(',')
                .filter(|option| known.contains(option) || option.starts_with("name="))
                .map(str::to_owned)
                .collect(),
            Version::V2 => Vec::new(),
        };
        mounts.push(CgroupMount { target: unescape(target), version, controllers });
    }
    mounts
}

/// mountinfo writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    let bytes = field.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = bytes.get(at + 1..at + 4).and_then(|digits| {
            let text = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(text, 8).ok()
        });
        match (bytes[at], octal) {
            (b'\\', Some(byte)) => {
                plain.push(byte);
                at += 4;
            }
            (byte, _) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &str = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\ncpuacct\t1\t1\t1\nmemory\t4\t15\t1\n";

    #[test]
    fn a_hybrid_host() {
        let mounts = parse_mountinfo(
            "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
             32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 - cgroup cgroup rw,cpu,cpuacct\n\
             35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory,clone_children\n\
             40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n\
             41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n\
             90 31 0:32 /pod /else/where rw,relatime - cgroup cgroup rw,memory\n",
            &parse_controllers(KNOWN),
        );
        let v1 = |target: &str, controllers: &[&str]| CgroupMount {
            target: target.into(),
            version: Version::V1,
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(
            mounts,
            [
                v1("/sys/fs/cgroup/cpu,cpuacct", &["cpu", "cpuacct"]),
                v1("/sys/fs/cgroup/memory", &["memory"]),
                v1("/sys/fs/cgroup/systemd", &["name=systemd"]),
                CgroupMount {
                    target: "/sys/fs/cgroup/uni fied".into(),
                    version: Version::V2,
                    controllers: Vec::new()
                },
            ]
        );
    }

    #[test]
    fn odd_lines_are_passed_over() {
        assert_eq!(parse_mountinfo("", &[]), []);
        assert_eq!(parse_mountinfo("garbage\n1 2 - cgroup2\n - \n", &[]), []);
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape("/a\\134b\\040c"), Path::new("/a\\b c"));
        assert_eq!(unescape("/a\\9"), Path::new("/a\\9"));
    }
}

//! What the service must know of the machine, read once at start.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Facts of this machine that decide how containers are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// Whether SELinux is on, so that labels mean something.
    pub(crate) selinux: bool,
    /// The number of the last capability that the kernel knows.
    pub(crate) last_capability: u8,
    /// The lowest `oom_score_adj` that can be given: without CAP_SYS_RESOURCE, the service's own.
    pub(crate) oom_score_adj_min: i64,
}

/// The bit of CAP_SYS_RESOURCE, linux/capability.h.
const CAP_SYS_RESOURCE: u32 = 24;
/// The kernel's bound, linux/oom.h.
const OOM_SCORE_ADJ_MIN: i64 = -1000;

impl Host {
    /// Reads them. What cannot be read gets the value that asks least of the kernel.
    pub(crate) fn probe() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let status = read("/proc/self/status");
        let may_lower = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
            .is_some_and(|bits| bits >> CAP_SYS_RESOURCE & 1 == 1);
        let own = read("/proc/self/oom_score_adj").trim().parse().unwrap_or(0);
        let oom_score_adj_min = if may_lower { OOM_SCORE_ADJ_MIN } else { own };
        if !may_lower {
            tracing::warn!(
                lowest = oom_score_adj_min,
                "no CAP_SYS_RESOURCE: a lower oom_score_adj is raised to the lowest allowed"
            );
        }
        Self {
            selinux: Path::new("/sys/fs/selinux/enforce").exists(),
            last_capability: read("/proc/sys/kernel/cap_last_cap").trim().parse().unwrap_or(37),
            oom_score_adj_min,
        }
    }
}

/// A device node of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostDevice {
    pub(crate) path: PathBuf,
    pub(crate) block: bool,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Folders below `/dev` that a container has of its own, or that hold no devices of the machine.
const OWN_DIRS: [&str; 6] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts"];
/// Bounds what a strange `/dev` can make of a spec.
const DEVICES_MAX: usize = 4096;
const DEPTH_MAX: usize = 4;

/// All device nodes below `/dev`, for privileged containers; symbolic links are not followed.
pub(crate) fn devices() -> std::io::Result<Vec<HostDevice>> {
    let mut found = Vec::new();
    collect(Path::new("/dev"), 0, &mut found)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn collect(dir: &Path, depth: usize, found: &mut Vec<HostDevice>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        // A node can go away while we look: that is no error.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let kind = metadata.file_type();
        if kind.is_dir() {
            let own = OWN_DIRS.iter().any(|name| entry.file_name() == *name);
            if !own && depth < DEPTH_MAX {
                collect(&path, depth + 1, found)?;
            }
        } else if (kind.is_char_device() || kind.is_block_device())
            && path != Path::new("/dev/console")
            && found.len() < DEVICES_MAX
        {
            let number = metadata.rdev();
            found.push(HostDevice {
                path,
                block: kind.is_block_device(),
                major: rustix::fs::major(number),
                minor: rustix::fs::minor(number),
                mode: metadata.mode() & 0o7777,
                uid: metadata.uid(),
                gid: metadata.gid(),
            });
        }
    }
    Ok(())
}

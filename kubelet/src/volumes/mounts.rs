//! What is mounted below a pod's folder, and taking all of it down.

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};

use super::{VolumeError, blocking};

/// Mount points at or below `folder`, the deepest first.
pub(super) fn below(folder: &Path) -> Result<Vec<PathBuf>, VolumeError> {
    let table = Path::new("/proc/self/mountinfo");
    let text = std::fs::read_to_string(table).map_err(VolumeError::io("read", table))?;
    let mut points: Vec<PathBuf> = text
        .lines()
        // proc_pid_mountinfo(5): the fifth field is the mount point.
        .filter_map(|line| line.split(' ').nth(4))
        .map(|point| PathBuf::from(unescape(point)))
        .filter(|point| point.starts_with(folder))
        .collect();
    points.sort();
    points.reverse();
    Ok(points)
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                rest = &rest[at + 4..];
            }
            None => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Mounts a tmpfs unless one is there already.
pub(super) fn tmpfs(folder: &Path, size_bytes: Option<u64>) -> Result<(), VolumeError> {
    if below(folder)?.iter().any(|point| point == folder) {
        return Ok(());
    }
    // Data of secrets must never reach a disk through swap where the kernel can prevent it
    // (tmpfs `noswap`, Linux 6.3); older kernels refuse the option, so it is tried first.
    let size = size_bytes.map_or(String::new(), |bytes| format!("size={bytes},"));
    let with = std::ffi::CString::new(format!("{size}noswap")).unwrap_or_default();
    let without = std::ffi::CString::new(size.trim_end_matches(',')).unwrap_or_default();
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let mount = |data: &std::ffi::CStr| rustix::mount::mount("tmpfs", folder, "tmpfs", flags, data);
    match mount(&with) {
        Err(rustix::io::Errno::INVAL) => mount(&without),
        other => other,
    }
    .map_err(VolumeError::io("mount tmpfs on", folder))
}

/// Unmounts and removes everything of one pod. Nothing is removed while anything is mounted there:
/// a bind mount of the host's own folder would lose its content.
pub(crate) async fn tear_down(folder: PathBuf) -> Result<(), VolumeError> {
    blocking(move || {
        for point in below(&folder)? {
            match rustix::mount::unmount(&point, UnmountFlags::NOFOLLOW) {
                Ok(()) | Err(rustix::io::Errno::NOENT | rustix::io::Errno::INVAL) => {}
                Err(rustix::io::Errno::BUSY) => {
                    // A process outside of the pod looks into it; the mount goes with the last.
                    rustix::mount::unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
                        .map_err(VolumeError::io("unmount", &point))?;
                }
                Err(error) => return Err(VolumeError::io("unmount", &point)(error)),
            }
        }
        if let Some(point) = below(&folder)?.into_iter().next() {
            return Err(VolumeError::StillMounted { path: point });
        }
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(VolumeError::io("remove", &folder)(error))
            }
            _ => Ok(()),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_unescaped() {
        assert_eq!(unescape(r"/a\040b\134c"), r"/a b\c");
        assert_eq!(unescape(r"/a\9"), r"/a\9");
    }
}

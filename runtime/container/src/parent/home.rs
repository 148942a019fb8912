//! `HOME`, for programs whose environment lacks it, from the container's own `/etc/passwd`.
//!
//! Read by handle and bounded: the file is the image's. Never through NSS, which would load the
//! image's or the host's libraries into this process.

use std::ffi::CString;
use std::io::Read as _;
use std::path::Path;

use corten_sys_linux::path::RootFd;
use rustix::fs::{FileType, OFlags};

use crate::plan::{Plan, Process};

/// More than any sane file, less than hurts.
const PASSWD_BYTES_MAX: u64 = 1 << 20;

pub(super) fn from_rootfs(plan: &mut Plan) {
    let home = of_user(&plan.rootfs, plan.process.uid.as_raw());
    plan.process.set_home(&home);
}

pub(super) fn from_root_of(root: &Path, process: &mut Process) {
    let home = of_user(root, process.uid.as_raw());
    process.set_home(&home);
}

fn of_user(root: &Path, uid: u32) -> CString {
    read(root).and_then(|text| find(&text, uid)).unwrap_or_else(|| c"/".to_owned())
}

fn read(root: &Path) -> Option<Vec<u8>> {
    let root = RootFd::open_host(root).ok()?;
    // Without blocking, because an image may put a FIFO there.
    let file = root.open("etc/passwd", OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut text = Vec::new();
    std::fs::File::from(file).take(PASSWD_BYTES_MAX).read_to_end(&mut text).ok()?;
    Some(text)
}

fn find(text: &[u8], uid: u32) -> Option<CString> {
    let uid = uid.to_string();
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let found = fields.nth(2)? == uid.as_bytes();
        let home = fields.nth(2)?;
        (found && home.starts_with(b"/")).then(|| CString::new(home).ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_line_counts() {
        let text =
            b"root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:33::/var/www:\nx:x:34:34::rel:";
        assert_eq!(find(text, 0).unwrap().as_c_str(), c"/root");
        assert_eq!(find(text, 33).unwrap().as_c_str(), c"/var/www");
        assert_eq!(find(text, 34), None);
        assert_eq!(find(text, 3), None);
    }

    /// A passwd that is a link to the host's must be read inside the root, or not at all.
    #[test]
    fn a_link_out_of_the_root_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("root/etc")).unwrap();
        std::fs::write(dir.path().join("passwd"), "x:x:0:0::/leaked:\n").unwrap();
        std::os::unix::fs::symlink("../../passwd", dir.path().join("root/etc/passwd")).unwrap();
        assert_eq!(of_user(&dir.path().join("root"), 0).as_c_str(), c"/");
    }
}

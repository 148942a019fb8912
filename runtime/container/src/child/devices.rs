//! Nodes and links of `/dev`, by handle only (CVE-2026-41579's class: even the removal of `ptmx`
//! must not follow a symlink that an image put in the place of `/dev`).

use std::os::fd::AsFd as _;

use corten_sys_linux::mount;
use corten_sys_linux::path::{Leaf, unlink_if_there};
use corten_sys_linux::rustix::io::Errno;
use rustix::fs::{AtFlags, FileType, Gid, Uid, makedev, mknodat, statat, symlinkat};

use super::report::{At as _, Failure, Outcome, Step};
use super::rootfs::Root;
use crate::plan::{DEV_LINKS, Device, Plan};

pub(super) fn set_up<'a>(root: &Root, plan: &'a Plan, bind: bool) -> Outcome<'a, ()> {
    for device in &plan.devices {
        if bind && device.kind != FileType::Fifo {
            bind_host(root, device)?;
        } else {
            make(root, device)?;
        }
    }
    links(root)
}

fn make<'a>(root: &Root, device: &'a Device) -> Outcome<'a, ()> {
    let path = device.path.to_bytes();
    let dir = root.open_or_create(&device.dir, Leaf::Directory).at(Step::Device, path)?;
    let number = makedev(device.major, device.minor);
    match mknodat(&dir, &*device.name, device.kind, device.mode, number) {
        Ok(()) => (),
        Err(Errno::EXIST) => {
            let stat =
                statat(&dir, &*device.name, AtFlags::SYMLINK_NOFOLLOW).at(Step::Device, path)?;
            let same = FileType::from_raw_mode(stat.st_mode) == device.kind
                && (device.kind == FileType::Fifo || stat.st_rdev == number);
            if !same {
                return Err(Failure::new(Step::Device, path, Errno::EXIST));
            }
        }
        Err(errno) => return Err(Failure::new(Step::Device, path, errno)),
    }
    if (device.uid, device.gid) == (0, 0) {
        return Ok(());
    }
    rustix::fs::chownat(
        &dir,
        &*device.name,
        Some(Uid::from_raw(device.uid)),
        Some(Gid::from_raw(device.gid)),
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .at(Step::Device, path)
}

fn bind_host<'a>(root: &Root, device: &'a Device) -> Outcome<'a, ()> {
    let path = device.path.to_bytes();
    let tree = mount::clone_path(&device.path, false).at(Step::Device, path)?;
    let stat = rustix::fs::fstat(&tree).at(Step::Device, path)?;
    let same = FileType::from_raw_mode(stat.st_mode) == device.kind
        && stat.st_rdev == makedev(device.major, device.minor);
    if !same {
        return Err(Failure::new(Step::Device, path, Errno::NODEV));
    }
    let target = root.open_or_create(&device.path, Leaf::File).at(Step::Device, path)?;
    mount::attach(tree.as_fd(), target.as_fd()).at(Step::Device, path)
}

fn links<'a>(root: &Root) -> Outcome<'a, ()> {
    let dev = root.open_or_create(c"/dev", Leaf::Directory).at(Step::Link, b"/dev")?;
    for (name, text) in DEV_LINKS {
        let bytes = name.to_bytes();
        if name == c"ptmx" {
            // A node of that name would reach the host's terminals.
            match statat(&dev, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_there) => unlink_if_there(dev.as_fd(), name).at(Step::Link, bytes)?,
                Err(Errno::NOENT) => (),
                Err(errno) => return Err(Failure::new(Step::Link, bytes, errno)),
            }
        }
        match symlinkat(text, &dev, name) {
            Ok(()) | Err(Errno::EXIST) => (),
            Err(errno) => return Err(Failure::new(Step::Link, bytes, errno)),
        }
    }
    Ok(())
}

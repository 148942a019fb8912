//! The floor: what the kernel alone takes. One `clone3` with the same namespaces, the same mounts,
//! one `execve`, one wait.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt as _;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use corten_sys_linux::clone::{CloneArgs, Namespaces, clone3};
use corten_sys_linux::exec::Image;
use corten_sys_linux::usage;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};

use super::bundle::Bundle;
use super::sample::{Sample, micros};

/// Target, file system, options.
const MOUNTS: [(&CStr, &CStr, Option<&CStr>); 5] = [
    (c"proc", c"proc", None),
    (c"dev", c"tmpfs", Some(c"mode=755,size=65536k")),
    (c"dev/pts", c"devpts", Some(c"newinstance,ptmxmode=0666")),
    (c"dev/shm", c"tmpfs", Some(c"mode=1777,size=65536k")),
    (c"sys", c"sysfs", None),
];

pub(super) fn sample(bundle: &Bundle) -> Result<Sample> {
    let root = CString::new(bundle.rootfs().as_os_str().as_bytes()).context("the root's path")?;
    let image = Image::new(vec![c"/bin/true".to_owned()], vec![c"PATH=/bin".to_owned()]);
    let namespaces = [Namespaces::MOUNT, Namespaces::PID, Namespaces::NET, Namespaces::IPC]
        .into_iter()
        .fold(Namespaces::UTS, Namespaces::with);
    let args = CloneArgs { namespaces, callers_parent: false, into_cgroup: None };
    let begin = Instant::now();
    let cloned = clone3(&args, || match child(&root, &image) {
        Ok(()) => 0,
        Err(_errno) => 1,
    })?;
    let (status, usage) = usage::wait(cloned.pid)?;
    let wall = begin.elapsed();
    ensure!(status == 0, "the floor's child failed: status {status:#x}");
    Ok(Sample { wall_us: micros(wall), cpu_us: micros(usage.user + usage.system) })
}

fn child(root: &CStr, image: &Image) -> rustix::io::Result<()> {
    mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount_bind(root, root)?;
    rustix::process::chdir(root)?;
    for (target, kind, data) in MOUNTS {
        if target == c"dev/pts" || target == c"dev/shm" {
            rustix::fs::mkdir(target, rustix::fs::Mode::RWXU)?;
        }
        mount(kind, target, kind, MountFlags::NOSUID, data)?;
    }
    rustix::process::chroot(c".")?;
    rustix::process::chdir(c"/")?;
    image.exec(c"/bin/true").map(drop)
}

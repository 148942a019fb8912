//! What is seen of cgroups.

use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_move, unmount};

/// Leaves the v1 hierarchies alone to be seen, where there are any, in this mount namespace.
pub(super) fn only_v1() -> Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").context("read mounts")?;
    let of = |kind: &str| -> Vec<&Path> {
        let targets = mounts.lines().filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (target, typ) = (fields.next()?, fields.next()?);
            (typ == kind).then(|| Path::new(target))
        });
        targets.collect()
    };
    let v1 = of("cgroup");
    if v1.is_empty() {
        return Ok(());
    }
    let scratch = tempfile::tempdir().context("make a folder")?;
    let scratch = scratch.path();
    mount("tmpfs", scratch, "tmpfs", MountFlags::empty(), None).context("mount a tmpfs")?;
    for path in v1 {
        let target = scratch.join(path.file_name().context("the name of a hierarchy")?);
        std::fs::create_dir(&target).with_context(|| format!("make {}", target.display()))?;
        mount_bind(path, &target).with_context(|| format!("bind {}", path.display()))?;
    }
    for path in of("cgroup2") {
        unmount(path, UnmountFlags::DETACH).with_context(|| format!("hide {}", path.display()))?;
    }
    mount_move(scratch, "/sys/fs/cgroup").context("show the v1 hierarchies")
}

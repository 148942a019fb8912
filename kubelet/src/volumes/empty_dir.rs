//! `emptyDir`: an empty folder that lives as long as the pod, on disk or in memory.

use k8s_openapi::api::core::v1::EmptyDirVolumeSource;
use rustix::fs::{Gid, Mode};

use super::{Context, Ready, VolumeError, blocking, mounts};
use crate::pods::resources;

pub(super) async fn set_up(
    cx: &Context<'_>,
    name: &str,
    source: &EmptyDirVolumeSource,
) -> Result<Ready, VolumeError> {
    let folder = cx.volume_folder("empty-dir", name);
    let in_memory = source.medium.as_deref() == Some("Memory");
    let group = cx.fs_group();
    // In memory the least of the volume's, the pod's and the node's limit holds (KEP-1967).
    let limits = [
        source.size_limit.as_ref().and_then(resources::whole),
        resources::pod_total(cx.spec, |a| a.memory_limit_bytes),
        Some(cx.facts.memory_allocatable_bytes),
    ];
    let size = limits.into_iter().flatten().filter(|l| *l > 0).min();
    let size = size.and_then(|size| u64::try_from(size).ok());
    let path = folder.clone();
    blocking(move || {
        let fresh = !folder.exists();
        std::fs::create_dir_all(&folder).map_err(VolumeError::io("mkdir", &folder))?;
        let mounted = in_memory && mounts::below(&folder)?.contains(&folder);
        if in_memory {
            mounts::tmpfs(&folder, size)?;
        }
        // Only once: later on the pod owns it, and what it did to it stays.
        if fresh || (in_memory && !mounted) {
            let mut mode = 0o777;
            if let Some(group) = group {
                rustix::fs::chown(&folder, None, Some(Gid::from_raw(group)))
                    .map_err(VolumeError::io("chown", &folder))?;
                mode |= 0o2000;
            }
            rustix::fs::chmod(&folder, Mode::from_raw_mode(mode))
                .map_err(VolumeError::io("chmod", &folder))?;
        }
        Ok(())
    })
    .await?;
    Ok(Ready { path, ..Ready::default() })
}

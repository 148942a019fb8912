//! What is mounted into a container: its volumes, `/etc/hosts` and the termination message.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use corten_api_cri::v1;
use k8s_openapi::api::core::v1::{Container, VolumeMount};

use super::cri_config;
use super::env;
use crate::error::chain;
use crate::volumes::{Ready, VolumeError, sub_path};

/// What mounts are made from.
#[derive(Debug)]
pub(crate) struct Sources<'a> {
    /// The pod's folder.
    pub(crate) folder: &'a Path,
    /// The pod's volumes by name.
    pub(crate) volumes: &'a BTreeMap<String, Ready>,
    pub(crate) environment: &'a BTreeMap<String, String>,
    pub(crate) hosts: String,
}

/// Why a container's mounts cannot be made: it waits in `CreateContainerConfigError`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    #[error("volumeMount \"{name}\" at {path}: the pod has no such volume")]
    NoVolume { name: String, path: String },
    #[error("failed to prepare subPath for volumeMount \"{name}\"")]
    SubPath {
        name: String,
        #[source]
        source: VolumeError,
    },
    #[error("subPathExpr \"{expression}\" of volumeMount \"{name}\" refers to an unknown variable")]
    Expression { name: String, expression: String },
    #[error("cannot write {path:?}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl MountError {
    pub(crate) fn message(&self) -> String {
        chain(self)
    }
}

/// The container's mounts, with the files behind them made.
pub(crate) async fn mounts(
    container: &Container,
    sources: &Sources<'_>,
) -> Result<Vec<v1::Mount>, MountError> {
    let mut list = Vec::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        list.push(volume_mount(container, index, mount, sources).await?);
    }
    let taken = |list: &[v1::Mount], path: &str| {
        list.iter().any(|m| m.container_path.trim_end_matches('/') == path)
    };
    if !taken(&list, "/etc/hosts") {
        let path = sources.folder.join("etc-hosts");
        write(&path, sources.hosts.as_bytes(), 0o644)?;
        list.push(plain("/etc/hosts", &path));
    }
    let message_path = cri_config::message_path(container);
    if !taken(&list, &message_path) {
        let folder = sources.folder.join("containers").join(&container.name);
        std::fs::create_dir_all(&folder)
            .map_err(|source| MountError::File { path: folder.clone(), source })?;
        // A new one for each start: the message of the former container stays readable.
        let path = folder.join(format!("{:08x}", rand::random::<u32>()));
        write(&path, b"", 0o666)?;
        list.push(plain(&message_path, &path));
    }
    Ok(list)
}

fn plain(container_path: &str, host: &Path) -> v1::Mount {
    v1::Mount {
        container_path: container_path.to_owned(),
        host_path: host.display().to_string(),
        ..v1::Mount::default()
    }
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), MountError> {
    let failed = |source| MountError::File { path: path.to_owned(), source };
    std::fs::write(path, content).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)
}

async fn volume_mount(
    container: &Container,
    index: usize,
    mount: &VolumeMount,
    sources: &Sources<'_>,
) -> Result<v1::Mount, MountError> {
    let Some(volume) = sources.volumes.get(&mount.name) else {
        return Err(MountError::NoVolume {
            name: mount.name.clone(),
            path: mount.mount_path.clone(),
        });
    };
    let host_path = match sub_path_of(mount, sources.environment)? {
        None => volume.path.clone(),
        Some(sub) => {
            let place = sources.folder.join("volume-subpaths").join(&mount.name);
            let place = place.join(&container.name).join(index.to_string());
            sub_path::bind(volume.path.clone(), sub, place)
                .await
                .map_err(|source| MountError::SubPath { name: mount.name.clone(), source })?
        }
    };
    let propagation = match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => v1::MountPropagation::PropagationHostToContainer,
        Some("Bidirectional") => v1::MountPropagation::PropagationBidirectional,
        _ => v1::MountPropagation::PropagationPrivate,
    };
    // The API takes relative paths; the runtime does not.
    let container_path = if mount.mount_path.starts_with('/') {
        mount.mount_path.clone()
    } else {
        format!("/{}", mount.mount_path)
    };
    Ok(v1::Mount {
        container_path,
        host_path: host_path.display().to_string(),
        readonly: mount.read_only == Some(true) || volume.read_only,
        propagation: propagation.into(),
        ..v1::Mount::default()
    })
}

/// The path within the volume, if not the whole volume is mounted.
fn sub_path_of(
    mount: &VolumeMount,
    environment: &BTreeMap<String, String>,
) -> Result<Option<String>, MountError> {
    if let Some(expression) = mount.sub_path_expr.as_deref().filter(|e| !e.is_empty()) {
        let expanded = env::expand(expression, environment);
        if expanded.contains("$(") {
            return Err(MountError::Expression {
                name: mount.name.clone(),
                expression: expression.to_owned(),
            });
        }
        return Ok(Some(expanded));
    }
    Ok(mount.sub_path.clone().filter(|path| !path.is_empty()))
}

//! Images from the project's own store.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use corten_runtime_image::{Auth, Image, ImageError, ImageId, ImageStore, Reference};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{Credentials, DiskUsage, ImageDefaults, ImageFailure, ImageInfo, Images};

/// The image store, as the service sees it.
#[derive(Debug)]
pub(crate) struct StoredImages {
    store: ImageStore,
    /// Where the store is: it tells only together with what it occupies.
    root: OnceLock<PathBuf>,
}

impl StoredImages {
    pub(crate) fn new(store: ImageStore) -> Self {
        Self { store, root: OnceLock::new() }
    }
}

fn info(image: Image) -> ImageInfo {
    let config = image.config;
    let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    ImageInfo {
        id: image.id.to_string(),
        repo_tags: image.repo_tags,
        repo_digests: image.repo_digests,
        size_bytes: image.size_bytes,
        config: ImageDefaults {
            user: config.user().clone().unwrap_or_default(),
            env: list(config.env()),
            entrypoint: list(config.entrypoint()),
            cmd: list(config.cmd()),
            working_dir: config.working_dir().clone().unwrap_or_default(),
            stop_signal: config.stop_signal().clone(),
        },
    }
}

impl Images for StoredImages {
    fn resolve(&self, name: &str) -> Result<Option<ImageInfo>, ImageFailure> {
        Ok(self.store.resolve(name)?.map(info))
    }

    fn list(&self) -> Vec<ImageInfo> {
        self.store.list().into_iter().map(info).collect()
    }

    fn pull(
        &self,
        reference: String,
        credentials: Option<Credentials>,
    ) -> BoxFuture<'_, Result<ImageInfo, ImageFailure>> {
        let store = self.store.clone();
        async move {
            let reference = Reference::parse(&reference).map_err(ImageError::from)?;
            let auth = credentials.map(|credentials| match credentials {
                Credentials::Basic { username, password } => Auth::Basic { username, password },
                Credentials::Bearer { token } => Auth::Bearer { token },
            });
            Ok(info(store.pull(&reference, auth).await?))
        }
        .boxed()
    }

    fn remove(&self, name: &str) -> Result<bool, ImageFailure> {
        Ok(self.store.remove(name)?)
    }

    fn usage(&self) -> Result<DiskUsage, ImageFailure> {
        let (path, usage) = self.store.usage()?;
        Ok(DiskUsage { bytes: usage.bytes, inodes: usage.inodes, path })
    }

    fn mount(&self, image_id: &str, key: &str, target: &Path) -> Result<(), ImageFailure> {
        let id: ImageId = image_id.parse()?;
        Ok(self.store.mount_rootfs(&id, key, target)?)
    }

    fn release(&self, key: &str, target: &Path) -> Result<(), ImageFailure> {
        Ok(self.store.release_rootfs(key, target)?)
    }

    fn written(&self, key: &str) -> Result<DiskUsage, ImageFailure> {
        let usage = self.store.rootfs_usage(key)?;
        let path = match self.root.get() {
            Some(path) => path.clone(),
            None => {
                let (path, _) = self.store.usage()?;
                self.root.get_or_init(|| path).clone()
            }
        };
        Ok(DiskUsage { bytes: usage.bytes, inodes: usage.inodes, path })
    }
}

//! The folder that holds everything.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::disk::Usage;
use crate::error::ImageError;
use crate::import::{self, Source};
use crate::layers::Layers;
use crate::name::Reference;
use crate::pull::{self, Auth, Pulls};
use crate::record::{Image, ImageId, Record};
use crate::snapshot::Snapshots;

/// How an image store is set up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Registries, `host` or `host:port`, that are spoken to in plain HTTP.
    pub plain_http: Vec<String>,
    /// Registries that another is asked in place of: `docker.io: mirror.example:5000`.
    pub mirrors: BTreeMap<String, String>,
    /// Folders with a `hosts.toml` for each registry, as containerd reads them: a folder named after
    /// the registry, or `_default`. The first that has one for a registry counts; `mirrors` and
    /// `plainHttp` above are for registries without. Default `/etc/corten/certs.d`, then
    /// `/etc/containerd/certs.d`.
    pub hosts_dirs: Vec<PathBuf>,
    /// Bytes that one layer may have, compressed or not.
    pub layer_bytes_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            plain_http: Vec::new(),
            mirrors: BTreeMap::new(),
            hosts_dirs: vec!["/etc/corten/certs.d".into(), "/etc/containerd/certs.d".into()],
            layer_bytes_max: 64 << 30,
        }
    }
}

/// A store of images. Clones share it; a folder has one store, in one process.
#[derive(Debug, Clone)]
pub struct ImageStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    root: PathBuf,
    records: PathBuf,
    temporary: PathBuf,
    layers: Layers,
    snapshots: Snapshots,
    pulls: Pulls,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    images: HashMap<ImageId, Record>,
    /// Layers of images that are on their way in, with how many need them.
    kept: HashMap<Digest, usize>,
}

/// An image's parts, before the store has them all.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) id: ImageId,
    pub(crate) layers: Vec<Digest>,
    configuration: ImageConfiguration,
}

impl Content {
    pub(crate) fn new(id: ImageId, configuration: ImageConfiguration) -> Result<Self, ImageError> {
        let layers = configuration
            .rootfs()
            .diff_ids()
            .iter()
            .map(|layer| layer.parse())
            .collect::<Result<_, _>>()
            .map_err(|source| ImageError::Digest {
                what: "rootfs.diff_ids of the image's configuration".to_owned(),
                source,
            })?;
        Ok(Self { id, layers, configuration })
    }
}

/// Keeps layers from being collected while an image on its way in needs them.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    store: &'a ImageStore,
    layers: Vec<Digest>,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        let mut state = self.store.state();
        for layer in &self.layers {
            if let Some(count) = state.kept.get_mut(layer) {
                *count -= 1;
                if *count == 0 {
                    state.kept.remove(layer);
                }
            }
        }
    }
}

impl ImageStore {
    /// Opens the store in `root`, made if it is missing. What an interrupted import or pull left
    /// behind is removed. Blocks.
    ///
    /// # Errors
    /// [`ImageError`] names the file or folder that can't be used.
    pub fn open(root: &Path, config: Config) -> Result<Self, ImageError> {
        let records = root.join("images");
        let temporary = root.join("tmp");
        match std::fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(ImageError::disk("empty", &temporary)(error));
            }
            Ok(()) | Err(_) => {}
        }
        for path in [&records, &temporary] {
            std::fs::create_dir_all(path).map_err(ImageError::disk("create", path))?;
        }
        let layers = Layers::new(root, temporary.clone(), config.layer_bytes_max)?;
        let mut state = State::default();
        for entry in std::fs::read_dir(&records).map_err(ImageError::disk("list", &records))? {
            let path = entry.map_err(ImageError::disk("list", &records))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let record = Record::load(&path)?;
                state.images.insert(record.id.clone(), record);
            }
        }
        let inner = Inner {
            config,
            root: root.to_owned(),
            records,
            temporary,
            layers,
            snapshots: Snapshots::new(root)?,
            pulls: Pulls::default(),
            state: Mutex::new(state),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn layers(&self) -> &Layers {
        &self.inner.layers
    }

    pub(crate) fn temporary(&self) -> &Path {
        &self.inner.temporary
    }

    pub(crate) fn keep(&self, layers: &[Digest]) -> Kept<'_> {
        let mut state = self.state();
        for layer in layers {
            *state.kept.entry(layer.clone()).or_default() += 1;
        }
        Kept { store: self, layers: layers.to_vec() }
    }

    /// Fetches an image from its registry; what is there already is not fetched again.
    ///
    /// # Errors
    /// [`ImageError`] tells a missing image, a refusal, damage and a registry out of reach apart.
    pub async fn pull(&self, name: &Reference, auth: Option<Auth>) -> Result<Image, ImageError> {
        pull::pull(self, &self.inner.pulls, name, auth).await
    }

    /// Takes every image of a folder or archive in; `name` replaces the one that a single image
    /// brings along. Blocks.
    ///
    /// # Errors
    /// [`ImageError`] names what is missing, damaged or not allowed.
    pub fn import(
        &self,
        source: &Source,
        name: Option<&Reference>,
    ) -> Result<Vec<Image>, ImageError> {
        import::import(self, source, name)
    }

    /// Remembers an image whose layers are all there, and gives it its names.
    pub(crate) fn record(
        &self,
        content: Content,
        size_bytes: u64,
        names: &[Reference],
        digest: Option<&Digest>,
    ) -> Result<Image, ImageError> {
        let Content { id, layers, configuration } = content;
        let mut state = self.state();
        let mut record = match state.images.get(&id) {
            Some(record) => record.clone(),
            None => Record {
                id: id.clone(),
                tags: Default::default(),
                digests: Default::default(),
                layers,
                size_bytes,
                configuration,
            },
        };
        for name in names {
            if name.tag().is_some() {
                record.tags.insert(name.canonical());
            }
            if let Some(digest) = digest {
                record.digests.insert(format!("{}@{digest}", name.repository()));
            }
        }
        record.save(&self.inner.records)?;
        let image = record.image();
        // A tag names one image: another that had it loses it.
        for other in state.images.values_mut().filter(|other| other.id != id) {
            let before = other.tags.len();
            other.tags.retain(|tag| !record.tags.contains(tag));
            if other.tags.len() != before {
                other.save(&self.inner.records)?;
            }
        }
        state.images.insert(id, record);
        Ok(image)
    }

    /// All images.
    #[must_use]
    pub fn list(&self) -> Vec<Image> {
        let mut images: Vec<_> = self.state().images.values().map(Record::image).collect();
        images.sort_by(|a, b| a.id.cmp(&b.id));
        images
    }

    /// The image that a name, an id or the beginning of an id stands for.
    ///
    /// # Errors
    /// [`ImageError::Name`] when the text can be neither.
    pub fn resolve(&self, name: &str) -> Result<Option<Image>, ImageError> {
        let state = self.state();
        Ok(find(&state, name)?.map(Record::image))
    }

    /// Takes a name from an image, or, given an id, all its names; an image without names is
    /// removed, and so are layers that neither an image nor a container needs. False when there
    /// is no such image. Blocks.
    ///
    /// # Errors
    /// [`ImageError`] when the name is none, or a file can't be removed.
    pub fn remove(&self, name: &str) -> Result<bool, ImageError> {
        let mut state = self.state();
        let Some(record) = find(&state, name)? else { return Ok(false) };
        let mut record = record.clone();
        match Reference::parse(name).map(|name| name.canonical()) {
            Ok(name) if record.tags.contains(&name) => {
                record.tags.remove(&name);
                if record.tags.is_empty() {
                    record.digests.clear();
                }
            }
            Ok(name) if record.digests.contains(&name) && !record.tags.is_empty() => {
                record.digests.remove(&name);
            }
            Ok(_) | Err(_) => {
                record.tags.clear();
                record.digests.clear();
            }
        }
        if !record.tags.is_empty() || !record.digests.is_empty() {
            record.save(&self.inner.records)?;
            state.images.insert(record.id.clone(), record);
            return Ok(true);
        }
        let path = self.inner.records.join(format!("{}.json", record.id.hex()));
        std::fs::remove_file(&path).map_err(ImageError::disk("remove", &path))?;
        state.images.remove(&record.id);
        let snapshots = self.inner.snapshots.layers()?;
        let used: HashSet<&Digest> = state
            .images
            .values()
            .flat_map(|record| &record.layers)
            .chain(state.kept.keys())
            .chain(&snapshots)
            .collect();
        self.inner.layers.collect(|layer| used.contains(layer))?;
        Ok(true)
    }

    /// What the whole store takes, and where it is. Blocks.
    ///
    /// # Errors
    /// [`ImageError`] when a folder can't be read.
    pub fn usage(&self) -> Result<(PathBuf, Usage), ImageError> {
        let root = &self.inner.root;
        let usage = Usage::of(root).map_err(ImageError::disk("measure", root))?;
        Ok((root.clone(), usage))
    }

    /// Mounts the root file system of a container, named by `key`, at `target`. Blocks.
    ///
    /// # Errors
    /// [`ImageError::NotFound`] when the image is gone; else what the kernel refused.
    pub fn mount_rootfs(
        &self,
        image: &ImageId,
        key: &str,
        target: &Path,
    ) -> Result<(), ImageError> {
        // Held while the snapshot is made: a removal that runs meanwhile must see it.
        let state = self.state();
        let record = state
            .images
            .get(image)
            .ok_or_else(|| ImageError::NotFound { name: image.to_string() })?;
        self.inner.snapshots.mount(key, &record.layers, &self.inner.layers, target)
    }

    /// Unmounts a container's root file system and removes what it wrote; no error if there is
    /// none. Blocks.
    ///
    /// # Errors
    /// [`ImageError`] when it can't be unmounted or removed.
    pub fn release_rootfs(&self, key: &str, target: &Path) -> Result<(), ImageError> {
        self.inner.snapshots.release(key, target)
    }

    /// What a container has written to its root file system. Blocks.
    ///
    /// # Errors
    /// [`ImageError`] when it can't be read.
    pub fn rootfs_usage(&self, key: &str) -> Result<Usage, ImageError> {
        self.inner.snapshots.usage(key)
    }
}

/// The fewest digits of an id that are taken for one.
const ID_PREFIX_MIN: usize = 7;

fn find<'a>(state: &'a State, name: &str) -> Result<Option<&'a Record>, ImageError> {
    if let Ok(id) = name.parse::<ImageId>() {
        return Ok(state.images.get(&id));
    }
    let hex = name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex && name.len() >= ID_PREFIX_MIN {
        let mut fitting = state.images.values().filter(|record| record.id.hex().starts_with(name));
        if let (Some(record), None) = (fitting.next(), fitting.next()) {
            return Ok(Some(record));
        }
    }
    let name = Reference::parse(name)?.canonical();
    Ok(state
        .images
        .values()
        .find(|record| record.tags.contains(&name) || record.digests.contains(&name)))
}

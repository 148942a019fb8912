//! Results of ADD, kept for CHECK and DEL. The format and the file names are the reference
//! library's (`cniCacheV1`).

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use corten_cni_types::{NetworkConfList, RuntimeArgs};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::InvokeError;

const KIND: &str = "cniCacheV1";

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub(crate) kind: String,
    pub(crate) container_id: String,
    /// The configuration, base64.
    pub(crate) config: String,
    pub(crate) if_name: String,
    pub(crate) network_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) netns: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) cni_args: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) capability_args: Map<String, Value>,
    #[serde(default)]
    pub(crate) result: Value,
}

impl Entry {
    pub(crate) fn new(network: &str, config: &Value, args: &RuntimeArgs, result: Value) -> Self {
        Self {
            kind: KIND.to_owned(),
            container_id: args.container_id.clone(),
            config: STANDARD.encode(config.to_string()),
            if_name: args.ifname.clone(),
            network_name: network.to_owned(),
            netns: args.netns.to_string_lossy().into_owned(),
            cni_args: args.args.clone(),
            capability_args: args.capability_args.clone().into_iter().collect(),
            result,
        }
    }
}

impl Entry {
    /// The network as it was configured when ADD was called.
    pub(crate) fn network(&self) -> Result<NetworkConfList, InvokeError> {
        let bad = |source| InvokeError::CachedConf {
            network: self.network_name.clone(),
            container_id: self.container_id.clone(),
            source,
        };
        let text = STANDARD.decode(&self.config).unwrap_or_default();
        let list = NetworkConfList::parse(&text).map_err(bad)?;
        list.require_plugins().map_err(bad)?;
        Ok(list)
    }

    /// What ADD was called with.
    pub(crate) fn args(&self) -> RuntimeArgs {
        RuntimeArgs {
            container_id: self.container_id.clone(),
            ifname: self.if_name.clone(),
            netns: PathBuf::from(&self.netns),
            args: self.cni_args.clone(),
            capability_args: self.capability_args.clone().into_iter().collect(),
        }
    }
}

/// The folder `results` below the cache folder.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
}

impl Cache {
    pub(crate) fn new(cache_dir: &Path) -> Self {
        Self { dir: cache_dir.join("results") }
    }

    fn path(&self, network: &str, container_id: &str, ifname: &str) -> PathBuf {
        self.dir.join(format!("{network}-{container_id}-{ifname}"))
    }

    /// Writes an entry: whole or not at all, also when the machine stops in between.
    pub(crate) fn write(&self, entry: &Entry) -> Result<(), InvokeError> {
        let path = self.path(&entry.network_name, &entry.container_id, &entry.if_name);
        let failed = |source| InvokeError::Cache { path: path.clone(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(failed)?;
        // A name that no entry can have: network names do not start with a dot.
        let name = format!(".{}-{}", entry.container_id, entry.if_name);
        let temporary = self.dir.join(name);
        let write = || {
            let mut file = std::fs::OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(&serde_json::to_vec(entry)?)?;
            std::fs::rename(&temporary, &path)
        };
        write().map_err(failed)
    }

    /// Reads an entry; nothing when there is none.
    pub(crate) fn read(
        &self,
        network: &str,
        container_id: &str,
        ifname: &str,
    ) -> Result<Option<Entry>, InvokeError> {
        let path = self.path(network, container_id, ifname);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(InvokeError::Cache { path, source }),
        };
        match serde_json::from_slice::<Entry>(&text) {
            Ok(entry) => Ok(Some(entry)),
            Err(error) => Err(InvokeError::Cache { path, source: error.into() }),
        }
    }

    /// Removes an entry, if it is there.
    pub(crate) fn remove(
        &self,
        network: &str,
        container_id: &str,
        ifname: &str,
    ) -> Result<(), InvokeError> {
        let path = self.path(network, container_id, ifname);
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(source) => Err(InvokeError::Cache { path, source }),
        }
    }

    /// Every entry that `keep` wants. Files that are not entries are passed over with a warning.
    pub(crate) fn list(&self, keep: impl Fn(&Entry) -> bool) -> Result<Vec<Entry>, InvokeError> {
        let failed = |source| InvokeError::Cache { path: self.dir.clone(), source };
        let files = match std::fs::read_dir(&self.dir) {
            Ok(files) => files,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut entries = Vec::new();
        for file in files {
            let path = file.map_err(failed)?.path();
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
            if hidden {
                continue;
            }
            let text = match std::fs::read(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            match serde_json::from_slice::<Entry>(&text) {
                Ok(entry) if keep(&entry) => entries.push(entry),
                Ok(_unwanted) => {}
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "not a cached CNI result");
                }
            }
        }
        Ok(entries)
    }
}

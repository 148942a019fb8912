//! The files of a volume that is made of API objects.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Secret, ServiceAccountTokenProjection,
};

use super::atomic_writer::{self, File};
use super::{Context, Ready, VolumeError, blocking, mounts};
use crate::objects::Since;
use crate::pods::downward;

/// Mode of files where the volume names none.
const DEFAULT_MODE: u32 = 0o644;

/// Files by path, and what they came from.
#[derive(Debug)]
pub(super) struct Payload {
    mode: u32,
    files: BTreeMap<String, File>,
    refresh_at: Option<Timestamp>,
    config_maps: Vec<Since<ConfigMap>>,
    secrets: Vec<Since<Secret>>,
}

/// A mode from the API; validation there keeps it within 0 to 0777.
fn mode(value: Option<i32>, default: u32) -> u32 {
    value.and_then(|mode| u32::try_from(mode).ok()).map_or(default, |mode| mode & 0o777)
}

impl Payload {
    pub(super) fn new(default_mode: Option<i32>) -> Self {
        Self {
            mode: mode(default_mode, DEFAULT_MODE),
            files: BTreeMap::new(),
            refresh_at: None,
            config_maps: Vec::new(),
            secrets: Vec::new(),
        }
    }

    fn add(&mut self, path: &str, content: Vec<u8>, mode: u32) -> Result<(), VolumeError> {
        let path = atomic_writer::validate(path)?;
        self.files.insert(path, File { content, mode });
        Ok(())
    }

    /// Adds the values of one object, all or those of `items`.
    fn add_values(
        &mut self,
        kind: &'static str,
        name: &str,
        values: &BTreeMap<String, Vec<u8>>,
        items: Option<&[KeyToPath]>,
        optional: bool,
    ) -> Result<(), VolumeError> {
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            for (key, value) in values {
                self.add(key, value.clone(), self.mode)?;
            }
            return Ok(());
        };
        for item in items {
            match values.get(&item.key) {
                Some(value) => self.add(&item.path, value.clone(), mode(item.mode, self.mode))?,
                None if optional => {}
                None => {
                    let (name, key) = (name.to_owned(), item.key.clone());
                    return Err(VolumeError::NoKey { kind, name, key });
                }
            }
        }
        Ok(())
    }

    pub(super) async fn add_config_map(
        &mut self,
        cx: &Context<'_>,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: bool,
    ) -> Result<(), VolumeError> {
        let read = cx.config_maps.get(cx.namespace(), name).await?;
        self.config_maps.push(read.since);
        let Some(object) = read.object else {
            let missing = VolumeError::NoObject { kind: "configmap", name: name.to_owned() };
            return if optional { Ok(()) } else { Err(missing) };
        };
        let text = object.data.iter().flatten().map(|(k, v)| (k.clone(), v.clone().into_bytes()));
        let binary = object.binary_data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone()));
        self.add_values("configmap", name, &text.chain(binary).collect(), items, optional)
    }

    pub(super) async fn add_secret(
        &mut self,
        cx: &Context<'_>,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: bool,
    ) -> Result<(), VolumeError> {
        let read = cx.secrets.get(cx.namespace(), name).await?;
        self.secrets.push(read.since);
        let Some(object) = read.object else {
            let missing = VolumeError::NoObject { kind: "secret", name: name.to_owned() };
            return if optional { Ok(()) } else { Err(missing) };
        };
        let values = object.data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone())).collect();
        self.add_values("secret", name, &values, items, optional)
    }

    pub(super) fn add_downward(
        &mut self,
        cx: &Context<'_>,
        items: &[DownwardAPIVolumeFile],
    ) -> Result<(), VolumeError> {
        for item in items {
            let value = match (&item.field_ref, &item.resource_field_ref) {
                (Some(field), _) => downward::field(cx.pod, &field.field_path, cx.facts)?,
                (None, Some(resource)) => downward::resource(cx.pod, None, resource, cx.facts)?,
                (None, None) => String::new(),
            };
            self.add(&item.path, value.into_bytes(), mode(item.mode, self.mode))?;
        }
        Ok(())
    }

    pub(super) async fn add_token(
        &mut self,
        cx: &Context<'_>,
        source: &ServiceAccountTokenProjection,
    ) -> Result<(), VolumeError> {
        let token = cx.tokens.get(cx, source).await?;
        // Whoever owns the volume's group may read it; without a group, by the volume's mode.
        let mode = if cx.fs_group().is_some() { 0o600 } else { self.mode };
        self.refresh_at =
            Some(self.refresh_at.map_or(token.refresh_at, |at| at.min(token.refresh_at)));
        self.add(&source.path, token.token.into_bytes(), mode)
    }
}

/// Writes the files to their place, atomically as a whole.
pub(super) async fn write(
    cx: &Context<'_>,
    plugin: &str,
    name: &str,
    payload: Payload,
    in_memory: bool,
) -> Result<Ready, VolumeError> {
    let folder = cx.volume_folder(plugin, name);
    let group = cx.fs_group();
    let Payload { files, refresh_at, config_maps, secrets, mode: _ } = payload;
    let path = folder.clone();
    blocking(move || {
        std::fs::create_dir_all(&folder).map_err(VolumeError::io("mkdir", &folder))?;
        if in_memory {
            mounts::tmpfs(&folder, None)?;
        }
        atomic_writer::write(&folder, &files, group)
    })
    .await?;
    Ok(Ready { path, read_only: true, refresh_at, config_maps, secrets })
}

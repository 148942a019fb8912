//! Images from folders and archives.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};
use serde::Deserialize;
use tar::{Archive, EntryType};

use crate::decompress::decompress;
use crate::digest::{Digest, HashingReader};
use crate::error::ImageError;
use crate::layers::{Expected, verify};
use crate::name::Reference;
use crate::record::Image;
use crate::store::{Content, ImageStore};

/// Where images are imported from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A folder in the OCI image layout.
    OciLayout(PathBuf),
    /// A tar archive, compressed or not: an OCI layout, or what `docker save` writes.
    Archive(PathBuf),
}

/// Documents are read into memory; none is near this size.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 8 << 20;
/// An index may lead to an index (OCI image spec, "Image Index"), but not for ever.
const INDEX_DEPTH_MAX: usize = 4;

/// One image found in a layout.
struct Found {
    manifest: Descriptor,
    name: Option<String>,
}

/// An entry of a docker archive's `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Imports every image of `source`; `name`, where given, replaces the one it brings.
pub(crate) fn import(
    store: &ImageStore,
    source: &Source,
    name: Option<&Reference>,
) -> Result<Vec<Image>, ImageError> {
    match source {
        Source::OciLayout(path) => import_layout(store, path, path, name),
        Source::Archive(path) => {
            let unpacked = tempfile::Builder::new()
                .prefix("import-")
                .tempdir_in(store.temporary())
                .map_err(ImageError::disk("create a folder in", store.temporary()))?;
            spread(path, unpacked.path()).map_err(ImageError::disk("read the archive", path))?;
            if unpacked.path().join("index.json").exists() {
                import_layout(store, unpacked.path(), path, name)
            } else {
                import_docker(store, unpacked.path(), path, name)
            }
        }
    }
}

/// Writes the files of an archive below `target`. Only plain names are taken; links, which docker
/// archives of old use between layers, become copies of the name they lead to.
fn spread(archive: &Path, target: &Path) -> std::io::Result<()> {
    let file = BufReader::new(File::open(archive)?);
    let mut archive = Archive::new(decompress(file)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let plain =
            path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !plain {
            let text = format!("the entry {} leads outside", path.display());
            return Err(std::io::Error::other(text));
        }
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            let text = format!("the entry {} is a link; save the image anew", path.display());
            return Err(std::io::Error::other(text));
        }
        if kind != EntryType::Regular {
            continue;
        }
        // Nothing but folders and files is ever made below `target`: no link to follow.
        let path = target.join(&path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::io::copy(&mut entry, &mut File::create_new(&path)?)?;
    }
    Ok(())
}

fn import_layout(
    store: &ImageStore,
    layout: &Path,
    shown: &Path,
    name: Option<&Reference>,
) -> Result<Vec<Image>, ImageError> {
    let index: ImageIndex = parse(&read(layout, "index.json", shown)?, "index.json")?;
    let mut found = Vec::new();
    for descriptor in index.manifests() {
        let annotations = descriptor.annotations().clone().unwrap_or_default();
        let named = ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
            .iter()
            .find_map(|key| annotations.get(*key).cloned());
        if let Some(manifest) = resolve(layout, descriptor, shown, 0)? {
            found.push(Found { manifest, name: named });
        }
    }
    if found.is_empty() {
        let missing = format!("image for {}", platform());
        return Err(ImageError::Missing { source_path: shown.to_owned(), missing });
    }
    found.into_iter().map(|image| import_manifest(store, layout, shown, image, name)).collect()
}

/// The manifest for this machine that a descriptor leads to.
fn resolve(
    layout: &Path,
    descriptor: &Descriptor,
    shown: &Path,
    depth: usize,
) -> Result<Option<Descriptor>, ImageError> {
    if !is_index(descriptor.media_type()) {
        return Ok(Some(descriptor.clone()));
    }
    if depth == INDEX_DEPTH_MAX {
        return Err(ImageError::document("index.json", "indexes lead to indexes too deep"));
    }
    let (_, text) = blob(layout, descriptor, shown)?;
    let index: ImageIndex = parse(&text, "an image index")?;
    for inner in index.manifests() {
        if inner.platform().as_ref().is_none_or(runs_here) {
            return resolve(layout, inner, shown, depth + 1);
        }
    }
    Ok(None)
}

fn import_manifest(
    store: &ImageStore,
    layout: &Path,
    shown: &Path,
    found: Found,
    name: Option<&Reference>,
) -> Result<Image, ImageError> {
    let (manifest_digest, text) = blob(layout, &found.manifest, shown)?;
    let manifest: ImageManifest = parse(&text, "the image's manifest")?;
    let (id, text) = blob(layout, manifest.config(), shown)?;
    let configuration: ImageConfiguration = parse(&text, "the image's configuration")?;
    let content = Content::new(id, configuration)?;
    if content.layers.len() != manifest.layers().len() {
        let reason = "the configuration names another number of layers";
        return Err(ImageError::document("the image's manifest", reason));
    }
    let _kept = store.keep(&content.layers);
    let mut size_bytes = 0;
    for (layer, descriptor) in content.layers.iter().zip(manifest.layers()) {
        let compressed = digest(descriptor)?;
        let expected = Expected { content: layer, compressed: Some(&compressed) };
        size_bytes += store.layers().ensure(&expected, || {
            open(layout, &format!("blobs/sha256/{}", compressed.hex()), shown)
        })?;
    }
    let names = match (name, found.name) {
        (Some(name), _) => vec![name.clone()],
        (None, Some(name)) => vec![Reference::parse(&name)?],
        (None, None) => Vec::new(),
    };
    store.record(content, size_bytes, &names, Some(&manifest_digest))
}

fn import_docker(
    store: &ImageStore,
    folder: &Path,
    shown: &Path,
    name: Option<&Reference>,
) -> Result<Vec<Image>, ImageError> {
    let images: Vec<DockerImage> = parse(&read(folder, "manifest.json", shown)?, "manifest.json")?;
    let mut imported = Vec::new();
    for image in images {
        let text = read(folder, &image.config, shown)?;
        let configuration: ImageConfiguration = parse(&text, &image.config)?;
        let content = Content::new(Digest::of(&text), configuration)?;
        if content.layers.len() != image.layers.len() {
            let reason = format!("{} names another number of layers", image.config);
            return Err(ImageError::document("manifest.json", reason));
        }
        let _kept = store.keep(&content.layers);
        let mut size_bytes = 0;
        for (layer, file) in content.layers.iter().zip(&image.layers) {
            let expected = Expected { content: layer, compressed: None };
            size_bytes += store.layers().ensure(&expected, || open(folder, file, shown))?;
        }
        let names = match name {
            Some(name) => vec![name.clone()],
            None => image
                .repo_tags
                .unwrap_or_default()
                .iter()
                .map(|tag| Reference::parse(tag))
                .collect::<Result<_, _>>()?,
        };
        imported.push(store.record(content, size_bytes, &names, None)?);
    }
    Ok(imported)
}

/// A file of a layout by its name there.
fn open(layout: &Path, name: &str, shown: &Path) -> Result<File, ImageError> {
    let relative = Path::new(name);
    let plain = relative.components().all(|c| matches!(c, Component::Normal(_)));
    if !plain {
        return Err(ImageError::document(name, "a file's name that leads outside the archive"));
    }
    match File::open(layout.join(relative)) {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let missing = format!("file {name}");
            Err(ImageError::Missing { source_path: shown.to_owned(), missing })
        }
        Err(error) => Err(ImageError::disk("open", &layout.join(relative))(error)),
    }
}

fn read(layout: &Path, name: &str, shown: &Path) -> Result<Vec<u8>, ImageError> {
    let mut text = Vec::new();
    open(layout, name, shown)?
        .take(DOCUMENT_BYTES_MAX)
        .read_to_end(&mut text)
        .map_err(ImageError::disk("read", &layout.join(name)))?;
    Ok(text)
}

fn blob(
    layout: &Path,
    descriptor: &Descriptor,
    shown: &Path,
) -> Result<(Digest, Vec<u8>), ImageError> {
    let expected = digest(descriptor)?;
    let name = format!("blobs/sha256/{}", expected.hex());
    let file = open(layout, &name, shown)?;
    let mut reader = HashingReader::new(file, DOCUMENT_BYTES_MAX);
    let mut text = Vec::new();
    reader.read_to_end(&mut text).map_err(ImageError::disk("read", &layout.join(&name)))?;
    let (actual, _) = reader.finish().map_err(ImageError::disk("read", &layout.join(&name)))?;
    verify(&name, Some(&expected), &actual)?;
    Ok((expected, text))
}

pub(crate) fn digest(descriptor: &Descriptor) -> Result<Digest, ImageError> {
    descriptor
        .digest()
        .to_string()
        .parse()
        .map_err(|source| ImageError::Digest { what: "a descriptor".to_owned(), source })
}

pub(crate) fn parse<T: for<'de> Deserialize<'de>>(
    text: &[u8],
    what: &str,
) -> Result<T, ImageError> {
    serde_json::from_slice(text).map_err(|error| ImageError::document(what, error))
}

fn is_index(kind: &MediaType) -> bool {
    let docker = "application/vnd.docker.distribution.manifest.list.v2+json";
    *kind == MediaType::ImageIndex || kind.to_string() == docker
}

fn runs_here(platform: &oci_spec::image::Platform) -> bool {
    platform.os().to_string() == "linux" && platform.architecture().to_string() == architecture()
}

/// This machine, as OCI documents name it.
pub(crate) fn platform() -> String {
    format!("linux/{}", architecture())
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

//! Small images, made by the tests themselves.

#![allow(clippy::unwrap_used, reason = "test code")]
#![allow(dead_code, reason = "not every test binary uses all of it")]

use std::path::Path;

use corten_runtime_image::Digest;
use serde_json::{Value, json};

/// A tar stream with one file for each pair of name and content.
pub(crate) fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// The blobs of an image, by digest, and its manifest's descriptor.
pub(crate) struct Image {
    pub blobs: Vec<(Digest, Vec<u8>)>,
    pub manifest: Value,
    pub manifest_text: Vec<u8>,
    pub id: Digest,
    pub config_text: Vec<u8>,
}

/// An image with a layer for each tar stream, compressed with gzip.
pub(crate) fn image(layers: &[Vec<u8>], command: &str) -> Image {
    let mut blobs = Vec::new();
    let mut descriptors = Vec::new();
    for layer in layers {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, layer).unwrap();
        let blob = gzip.finish().unwrap();
        let media = "application/vnd.oci.image.layer.v1.tar+gzip";
        descriptors.push(descriptor(media, &blob));
        blobs.push((Digest::of(&blob), blob));
    }
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let config_text = serde_json::to_vec(&json!({
        "architecture": "amd64", "os": "linux",
        "config": { "Cmd": [command], "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    }))
    .unwrap();
    let id = Digest::of(&config_text);
    let manifest_text = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config_text),
        "layers": descriptors,
    }))
    .unwrap();
    blobs.push((id.clone(), config_text.clone()));
    blobs.push((Digest::of(&manifest_text), manifest_text.clone()));
    let manifest = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest_text);
    Image { blobs, manifest, manifest_text, id, config_text }
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    let digest = Digest::of(blob).to_string();
    json!({ "mediaType": media_type, "digest": digest, "size": blob.len() })
}

/// Writes images as an OCI layout.
pub(crate) fn write(folder: &Path, images: &[(&Image, &str)]) {
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let mut manifests = Vec::new();
    for (image, name) in images {
        for (digest, blob) in &image.blobs {
            std::fs::write(blobs.join(digest.hex()), blob).unwrap();
        }
        let mut manifest = image.manifest.clone();
        manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        manifests.push(manifest);
    }
    let index = json!({ "schemaVersion": 2, "manifests": manifests });
    std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

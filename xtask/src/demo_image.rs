//! The demo image: one static binary, packed as an OCI layout without any other program.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cargo;

/// What the image is called; `.local` belongs to no registry (RFC 6762).
pub(crate) const NAME: &str = "corten.local/web:1";

/// Builds the image; the same sources give the same digests.
pub(crate) fn build() -> Result<PathBuf> {
    let binary = cargo::build_static(&["corten-demo-web"])?.join("corten-demo-web");
    let content = std::fs::read(&binary).with_context(|| format!("read {}", binary.display()))?;
    let layout = cargo::target_dir().join("images/web");
    write_layout(&layout, &content).with_context(|| format!("write {}", layout.display()))?;
    Ok(layout)
}

fn write_layout(layout: &Path, binary: &[u8]) -> Result<()> {
    let blobs = layout.join("blobs/sha256");
    if layout.exists() {
        std::fs::remove_dir_all(layout)?;
    }
    std::fs::create_dir_all(&blobs)?;
    let tar = layer(binary)?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    std::io::Write::write_all(&mut gzip, &tar)?;
    let layer = blob(&blobs, "application/vnd.oci.image.layer.v1.tar+gzip", &gzip.finish()?)?;
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Entrypoint": ["/web"],
            "ExposedPorts": { "8080/tcp": {} },
            "User": "65532:65532",
            "WorkingDir": "/",
        },
        "rootfs": { "type": "layers", "diff_ids": [digest(&tar)] },
    });
    let config =
        blob(&blobs, "application/vnd.oci.image.config.v1+json", &serde_json::to_vec(&config)?)?;
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer] });
    let mut manifest = blob(&blobs, kind, &serde_json::to_vec(&manifest)?)?;
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": NAME });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    std::fs::write(layout.join("index.json"), serde_json::to_vec(&index)?)?;
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(())
}

fn layer(binary: &[u8]) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        tar.append_data(&mut header, path, content)
    };
    add("web", 0o755, binary)?;
    add("etc/passwd", 0o644, b"root:x:0:0:root:/:/web\nnobody:x:65532:65532:nobody:/:/web\n")?;
    add("etc/group", 0o644, b"root:x:0:\nnobody:x:65532:\n")?;
    Ok(tar.into_inner()?)
}

fn blob(folder: &Path, media_type: &str, content: &[u8]) -> Result<Value> {
    let digest = digest(content);
    std::fs::write(folder.join(digest.trim_start_matches("sha256:")), content)?;
    Ok(json!({ "mediaType": media_type, "digest": digest, "size": content.len() }))
}

fn digest(content: &[u8]) -> String {
    let hex: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

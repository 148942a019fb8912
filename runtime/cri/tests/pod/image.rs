//! An image to run: busybox, as an OCI layout.

use std::fs;
use std::path::Path;

use serde_json::json;
use sha2::{Digest as _, Sha256};

/// What it is called in the store.
pub(crate) const NAME: &str = "docker.io/library/busybox:test";
/// Debian package busybox-static.
pub(crate) const BUSYBOX: &str = "/bin/busybox";

const APPLETS: [&str; 14] = [
    "sh", "sleep", "echo", "cat", "hostname", "ip", "head", "tail", "printf", "true", "ls", "id",
    "nc", "stty",
];

/// Writes the layout.
pub(crate) fn write(layout: &Path) {
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let layer = layer();
    let diff_id = format!("sha256:{}", hex(&layer));
    let layer = blob(layout, "application/vnd.oci.image.layer.v1.tar", &layer);
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Env": ["PATH=/bin"], "Cmd": ["sh"] },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    });
    let config = config.to_string();
    let config = blob(layout, "application/vnd.oci.image.config.v1+json", config.as_bytes());
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer],
    });
    let mut manifest = blob(layout, kind, manifest.to_string().as_bytes());
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": NAME });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

fn layer() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, mode: u32, link: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len().try_into().unwrap());
        if !link.is_empty() {
            header.set_link_name(link).unwrap();
        }
        archive.append_data(&mut header, path, content).unwrap();
    };
    for dir in ["bin", "etc", "proc", "sys", "dev"] {
        add(dir, tar::EntryType::Directory, 0o755, "", b"");
    }
    add("tmp", tar::EntryType::Directory, 0o1777, "", b"");
    add("bin/busybox", tar::EntryType::Regular, 0o755, "", &fs::read(BUSYBOX).unwrap());
    for applet in APPLETS {
        add(&format!("bin/{applet}"), tar::EntryType::Symlink, 0o777, "busybox", b"");
    }
    add("etc/passwd", tar::EntryType::Regular, 0o644, "", b"root:x:0:0::/:/bin/sh\n");
    archive.into_inner().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn blob(layout: &Path, kind: &str, bytes: &[u8]) -> serde_json::Value {
    let name = hex(bytes);
    fs::write(layout.join("blobs/sha256").join(&name), bytes).unwrap();
    json!({ "mediaType": kind, "digest": format!("sha256:{name}"), "size": bytes.len() })
}

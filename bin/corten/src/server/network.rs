//! The network of a node's pods: the plugins' configuration, once the node has its range.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use corten_client::Informer;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use super::paths::Paths;

/// The bridge that the pods of a node are on.
pub(crate) const BRIDGE: &str = "cni0";
const FILE: &str = "10-corten.conflist";

/// Links the plugins' names to the one binary, in a folder of our own.
///
/// # Errors
/// Names the link that can't be made.
pub(crate) fn link_plugins(paths: &Paths, bin_dir: &Path) -> Result<()> {
    let binary = bin_dir.join("corten-cni");
    std::fs::create_dir_all(&paths.cni_bin)
        .with_context(|| format!("create {}", paths.cni_bin.display()))?;
    for plugin in corten_cni_plugins::names() {
        let link = paths.cni_bin.join(plugin);
        if std::fs::read_link(&link).is_ok_and(|target| target == binary) {
            continue;
        }
        let new = paths.cni_bin.join(format!(".{plugin}.new"));
        remove(&new)?;
        std::os::unix::fs::symlink(&binary, &new)
            .and_then(|()| std::fs::rename(&new, &link))
            .with_context(|| format!("link {}", link.display()))?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes the configuration whenever the node's range of pod addresses becomes known.
pub(crate) async fn configure(
    nodes: Informer<Node>,
    node_name: String,
    conf_dir: PathBuf,
    state: PathBuf,
) {
    let mut changes = nodes.subscribe().boxed();
    let mut written = None;
    while changes.next().await.is_some() {
        let node = nodes.object(None, &node_name);
        let range = node.and_then(|node| node.spec.as_ref()?.pod_cidr.clone());
        if range.is_none() || range == written {
            continue;
        }
        let Some(text) = range.as_deref() else { continue };
        match write(&conf_dir, &conflist(text, &state)) {
            Ok(()) => {
                tracing::info!(range = text, "the pod network is configured");
                written = range;
            }
            Err(error) => tracing::error!("the pod network cannot be configured: {error:#}"),
        }
    }
}

fn conflist(range: &str, state: &Path) -> Value {
    json!({
        "cniVersion": "1.1.0",
        "name": "corten",
        "plugins": [
            {
                "type": "bridge",
                "bridge": BRIDGE,
                "isGateway": true,
                "isDefaultGateway": true,
                "ipMasq": true,
                "ipMasqBackend": "nftables",
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{ "subnet": range }]],
                    "dataDir": state.join("networks"),
                },
            },
            { "type": "portmap", "backend": "nftables", "capabilities": { "portMappings": true } },
        ],
    })
}

fn write(folder: &Path, conflist: &Value) -> Result<()> {
    let path = folder.join(FILE);
    let text = serde_json::to_string_pretty(conflist)?;
    if std::fs::read_to_string(&path).is_ok_and(|now| now == text) {
        return Ok(());
    }
    corten_pki::write_public(&path, text.as_bytes()).context("write the plugins' configuration")
}

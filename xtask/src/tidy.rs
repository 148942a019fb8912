//! `cargo xtask tidy`: house rules that the compiler does not know.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::cargo::{cargo, root};
use crate::say;

/// The layer of each folder; an edge must point to a lower one.
const LAYERS: &[(&str, u8)] = &[
    ("api/", 0),
    ("sys/linux", 0),
    ("sys/netlink", 1),
    ("runtime/cgroup", 1),
    ("runtime/seccomp", 1),
    ("cni/types", 1),
    ("support/", 1),
    ("runtime/container", 2),
    ("runtime/image", 2),
    ("runtime/shim", 2),
    ("runtime/streaming", 2),
    ("cni/invoke", 2),
    ("cni/plugins", 2),
    ("proxy/model", 2),
    ("proxy/nftables", 2),
    ("proxy/iptables", 2),
    ("apiserver/store", 2),
    ("apiserver/registry", 2),
    ("client", 2),
    ("apiserver/server", 3),
    ("controllers", 3),
    ("kubelet", 3),
    ("network/", 3),
    ("proxy/daemon", 3),
    ("runtime/cri", 3),
    ("scheduler", 3),
    ("bin/", 4),
];

/// Edges within a layer that are meant.
const SIDEWAYS: &[(&str, &str)] = &[
    ("runtime/shim", "runtime/container"),
    ("cni/plugins", "cni/invoke"),
    ("proxy/nftables", "proxy/model"),
    ("proxy/iptables", "proxy/model"),
    ("apiserver/registry", "apiserver/store"),
];

/// Not of the product: they may use anything.
const OUTSIDE: &[&str] = &["xtask", "tests/"];

/// What is exec'd or resident per pod stays tiny.
const SMALL: &[&str] = &["corten-run", "corten-cni"];
const TOO_LARGE: &[&str] = &["tokio", "rustls", "reqwest", "hyper", "kube"];

const LINES_MAX: usize = 800;

pub(crate) fn run() -> Result<()> {
    let mut wrong = Vec::new();
    layers(&mut wrong)?;
    small_binaries(&mut wrong)?;
    lengths(&mut wrong)?;
    ensure!(wrong.is_empty(), "{} house rules are broken:\n  {}", wrong.len(), wrong.join("\n  "));
    say::line("tidy: the layers, the small binaries and the sizes of files are as they should be");
    Ok(())
}

fn output(arguments: &[&str]) -> Result<String> {
    let output = cargo(arguments).output().context("start cargo")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Finds edges that point up or sideways.
fn layers(wrong: &mut Vec<String>) -> Result<()> {
    let metadata = output(&["metadata", "--format-version", "1", "--no-deps"])?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
    let mut folders = BTreeMap::new();
    for package in packages {
        let manifest = package["manifest_path"].as_str().context("a package has a manifest")?;
        let folder = Path::new(manifest).parent().context("a manifest is in a folder")?;
        let folder = folder.strip_prefix(root()).context("a package is in the workspace")?;
        let name = package["name"].as_str().context("a package has a name")?;
        folders.insert(name, folder.to_string_lossy().into_owned());
    }
    for package in packages {
        let name = package["name"].as_str().context("a package has a name")?;
        let from = &folders[name];
        if is_outside(from) {
            continue;
        }
        let Some(layer) = layer(from) else {
            wrong.push(format!("{from} has no layer: give it one in xtask/src/tidy.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let target = dependency["name"].as_str().unwrap_or_default();
            let Some(to) = folders.get(target) else { continue };
            let for_tests = dependency["kind"].as_str() == Some("dev");
            if for_tests && is_outside(to) {
                continue;
            }
            let meant = SIDEWAYS.contains(&(from.as_str(), to.as_str()));
            if self::layer(to).is_none_or(|lower| lower >= layer) && !meant {
                wrong.push(format!("{from} must not depend on {to}: edges point down"));
            }
        }
    }
    Ok(())
}

fn is_outside(folder: &str) -> bool {
    OUTSIDE.iter().any(|outside| folder.starts_with(outside))
}

fn layer(folder: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|(prefix, _)| {
            folder == *prefix || prefix.ends_with('/') && folder.starts_with(prefix)
        })
        .map(|(_, layer)| *layer)
}

fn small_binaries(wrong: &mut Vec<String>) -> Result<()> {
    for binary in SMALL {
        let tree = output(&["tree", "-p", binary, "-e", "normal", "--prefix", "none"])?;
        for line in tree.lines() {
            let name = line.split(' ').next().unwrap_or_default();
            if TOO_LARGE.contains(&name) {
                wrong.push(format!("{binary} must not link {name}"));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    Ok(())
}

fn lengths(wrong: &mut Vec<String>) -> Result<()> {
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() {
                if !name.starts_with('.') && name != "target" && name != "gen" {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                let lines = std::fs::read_to_string(&path)?.lines().count();
                if lines > LINES_MAX {
                    let shown = path.strip_prefix(root()).unwrap_or(&path).display();
                    wrong.push(format!("{shown} has {lines} lines: split it, {LINES_MAX} at most"));
                }
            }
        }
    }
    Ok(())
}

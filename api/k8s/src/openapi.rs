//! OpenAPI v3 (and, made from it, [`v2`]): an index and one document per group and version, built from the kind and schema
//! tables. There are no descriptions; everything that clients act on is there: types, list and
//! patch extensions, group-version-kinds, operations with their query parameters and media types.

mod paths;
mod schemas;
pub mod v2;

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use crate::kinds::{self, KINDS};

/// What `/openapi/v3` answers: where each document is. The hash in the address lets clients cache
/// a document for as long as it does not change.
pub fn index() -> &'static Value {
    static INDEX: OnceLock<Value> = OnceLock::new();
    INDEX.get_or_init(|| {
        let mut paths = Map::new();
        for (group, versions) in kinds::groups() {
            for version in versions {
                let Some(document) = document(group, version) else { continue };
                let root = root(group, version);
                let hash = fnv1a(document.to_string().as_bytes());
                let url = format!("/openapi/v3/{root}?hash={hash:016X}");
                paths.insert(root, json!({"serverRelativeURL": url}));
            }
        }
        json!({"paths": paths})
    })
}

/// What `/openapi/v3/api/v1` and `/openapi/v3/apis/<group>/<version>` answer.
pub fn document(group: &str, version: &str) -> Option<Value> {
    let mut schemas = schemas::Schemas::default();
    let mut paths = Map::new();
    for kind in KINDS.iter().filter(|k| k.group == group && k.version == version) {
        if !kind.plural.is_empty() {
            paths::add(kind, &mut schemas, &mut paths);
        }
    }
    if paths.is_empty() {
        return None;
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": crate::KUBERNETES_VERSION},
        "paths": paths,
        "components": {"schemas": schemas.into_components()},
    }))
}

/// `api/v1`, `apis/apps/v1`.
fn root(group: &str, version: &str) -> String {
    let prefix = if group.is_empty() { "api" } else { "apis" };
    format!("{prefix}/{}", kinds::group_version(group, version))
}

/// FNV-1a, 64 bits: the hash must be the same in every process, and need not resist anybody.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;

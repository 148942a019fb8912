//! Writes the committed code that is made from published definitions: `cargo xtask gen`.
//!
//! A package of its own: what it needs to parse protobuf would slow every `cargo xtask` down.
//! Needs `go`, `protoc` and `pip`, and the registries that they fetch from.

mod cri;
mod k8s;
mod seccomp;

use std::path::Path;

use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let workspace = workspace.context("the package is in the workspace")?;
    cri::generate(workspace).context("api/cri")?;
    seccomp::generate(workspace).context("runtime/seccomp")?;
    let folder = workspace.join(k8s::OUTPUT);
    for (name, content) in k8s::run().context("api/k8s")? {
        let path = folder.join(name);
        std::fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

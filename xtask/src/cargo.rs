//! Calls of cargo, and where things are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The host's own target is named all the same: flags for it then do not reach build scripts, and
/// what is linked statically does not overwrite what is not.
fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

/// `target`, or where the environment puts it.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(path) => root().join(path),
        None => root().join("target"),
    }
}

/// Where [`build_release`] leaves `corten`, `corten-run` and `corten-cni`.
pub(crate) fn release_dir() -> PathBuf {
    target_dir().join("corten")
}

/// cargo, in the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    // What cargo told xtask of its own package would make build scripts run again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("start {shown}"))?;
    ensure!(status.success(), "{shown}: {status}");
    Ok(())
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let name = |word: &std::ffi::OsStr| word.to_string_lossy().into_owned();
    words.map(name).collect::<Vec<_>>().join(" ")
}

/// Builds all binaries as users get them, side by side in [`release_dir`].
pub(crate) fn build_release() -> Result<PathBuf> {
    run(&mut cargo(&["build", "--release", "--package", "corten"]))?;
    let statics = build_static(&["corten-run", "corten-cni"])?;
    let folder = release_dir();
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    install(&target_dir().join("release/corten"), &folder.join("corten"))?;
    for name in ["corten-run", "corten-cni"] {
        install(&statics.join(name), &folder.join(name))?;
    }
    Ok(folder)
}

/// Builds packages that link everything statically; returns the folder with their binaries.
pub(crate) fn build_static(packages: &[&str]) -> Result<PathBuf> {
    let target = target();
    let mut command = cargo(&["build", "--profile", "small", "--target", &target]);
    for package in packages {
        command.args(["--package", package]);
    }
    // Not relocatable: what needs no relocation is shared between all processes that run it.
    run(command.env("RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static"))?;
    Ok(target_dir().join(target).join("small"))
}

/// Replaces a file by rename: a program that runs can't be written to.
fn install(from: &Path, to: &Path) -> Result<()> {
    let new = to.with_extension("new");
    std::fs::copy(from, &new)
        .with_context(|| format!("copy {} to {}", from.display(), new.display()))?;
    std::fs::rename(&new, to).with_context(|| format!("rename {}", new.display()))
}

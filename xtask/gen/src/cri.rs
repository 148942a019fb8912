//! `api/cri/src/gen`: the messages, client and server of CRI v1, from the interface's own
//! definition.
//!
//! The definition comes through the Go module proxy (checked against Go's checksum database) and
//! is not kept; neither are its comments: the compiler is asked for descriptors without source
//! text.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use prost::Message as _;
use serde_json::Value;

/// The Go module that holds the definition. Its minor version is Kubernetes' own.
const MODULE: &str = "k8s.io/cri-api@v0.36.3";
const PROTO_IN_MODULE: &str = "pkg/apis/runtime/v1/api.proto";
/// The messages whose `Debug` is written by hand in `api/cri`, because they hold secrets.
const SECRET_MESSAGES: [&str; 1] = [".runtime.v1.AuthConfig"];
/// The messages that the service keeps on disk: what a sandbox and a container were asked to be.
const STORED_MESSAGES: [&str; 25] = [
    "CDIDevice",
    "Capability",
    "ContainerConfig",
    "ContainerMetadata",
    "DNSConfig",
    "Device",
    "HugepageLimit",
    "IDMapping",
    "ImageSpec",
    "Int64Value",
    "KeyValue",
    "LinuxContainerConfig",
    "LinuxContainerResources",
    "LinuxContainerSecurityContext",
    "LinuxContainerUser",
    "LinuxPodSandboxConfig",
    "LinuxSandboxSecurityContext",
    "Mount",
    "NamespaceOption",
    "PodSandboxConfig",
    "PodSandboxMetadata",
    "PortMapping",
    "SELinuxOption",
    "SecurityProfile",
    "UserNamespace",
];
const STORED: &str = "#[derive(::serde::Serialize, ::serde::Deserialize)] #[serde(default)]";
/// What stored messages hold for another operating system is not stored.
const FOREIGN_FIELDS: [&str; 2] = ["ContainerConfig.windows", "PodSandboxConfig.windows"];

/// Writes the generated files below `workspace`; needs `go` and `protoc`.
///
/// # Errors
/// When a tool is missing or fails, or the files cannot be written.
pub(crate) fn generate(workspace: &Path) -> Result<()> {
    let scratch = tempfile::tempdir().context("make a scratch folder")?;
    let proto = download(scratch.path())?.join(PROTO_IN_MODULE);
    let text = std::fs::read_to_string(&proto)
        .with_context(|| format!("read the definition {}", proto.display()))?;
    // Compilers before protoc 22 do not know this option; what it asks for is done by
    // `SECRET_MESSAGES`.
    let text = text.replace(" [debug_redact = true]", "");
    std::fs::write(scratch.path().join("api.proto"), text).context("write the scratch proto")?;
    let descriptors = scratch.path().join("api.bin");
    run(Command::new("protoc")
        .arg("--proto_path")
        .arg(scratch.path())
        .arg("--descriptor_set_out")
        .arg(&descriptors)
        .arg("api.proto"))?;
    let descriptors = std::fs::read(&descriptors).context("read what protoc wrote")?;
    let descriptors = prost_types::FileDescriptorSet::decode(descriptors.as_slice())
        .context("decode what protoc wrote")?;
    let out = workspace.join("api/cri/src/gen");
    std::fs::create_dir_all(&out).with_context(|| format!("make {}", out.display()))?;
    let mut builder =
        tonic_prost_build::configure().out_dir(&out).btree_map(".").skip_debug(SECRET_MESSAGES);
    for message in STORED_MESSAGES {
        builder = builder.message_attribute(format!(".runtime.v1.{message}"), STORED);
    }
    for field in FOREIGN_FIELDS {
        builder = builder.field_attribute(format!(".runtime.v1.{field}"), "#[serde(skip)]");
    }
    builder.compile_fds(descriptors).context("generate the messages and services")
}

/// Has Go fetch the module; the folder it lies in.
fn download(scratch: &Path) -> Result<PathBuf> {
    std::fs::write(scratch.join("go.mod"), "module scratch\n").context("write a scratch go.mod")?;
    let output = run(Command::new("go")
        .current_dir(scratch)
        .env("GOFLAGS", "-mod=mod")
        .args(["mod", "download", "-json", MODULE]))?;
    let reply: Value = serde_json::from_slice(&output).context("parse go's reply")?;
    let dir = reply.get("Dir").and_then(Value::as_str);
    Ok(PathBuf::from(dir.with_context(|| format!("go names no folder for {MODULE}"))?))
}

fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .output()
        .with_context(|| format!("start {}: is it installed?", command.get_program().display()))?;
    if !output.status.success() {
        bail!(
            "{} failed ({}): {}",
            command.get_program().display(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}

//! Generates the table of system call numbers (`runtime/seccomp/src/gen/`).
//!
//! Source: the constants that `linux-raw-sys` (Apache-2.0 or MIT) has made of the kernel's own
//! headers, one folder for each architecture. Only names and numbers are taken.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

const PACKAGE: &str = "linux-raw-sys";

/// Where the table goes, relative to the workspace root.
const OUTPUT: &str = "runtime/seccomp/src/gen/syscalls.rs";

/// The table's columns, and the folder that each comes from. `runtime/seccomp/src/abi.rs` names the
/// columns by these constants.
const COLUMNS: [(&str, &str); 13] = [
    ("X86_64", "x86_64"),
    ("X86", "x86"),
    ("X32", "x32"),
    ("AARCH64", "aarch64"),
    ("ARM", "arm"),
    ("RISCV64", "riscv64"),
    ("LOONGARCH64", "loongarch64"),
    ("PPC64", "powerpc64"),
    ("PPC", "powerpc"),
    ("S390X", "s390x"),
    ("MIPS64", "mips64"),
    ("MIPS", "mips"),
    ("M68K", "m68k"),
];

/// Constants with the prefix that name no call: counts, bases, and places kept free.
const NOT_CALLS: [&str; 7] = [
    "ARM_NR_BASE",
    "NR_Linux",
    "NR_OABI_SYSCALL_BASE",
    "NR_SYSCALL_BASE",
    "NR_SYSCALL_MASK",
    "NR_reserved",
    "NR_unused",
];

/// Writes the table.
pub(crate) fn generate(workspace: &Path) -> Result<()> {
    let (version, folder) = package()?;
    let mut table: BTreeMap<String, [Option<u32>; COLUMNS.len()]> = BTreeMap::new();
    for (column, (_, name)) in COLUMNS.iter().enumerate() {
        let path = folder.join("src").join(name).join("general.rs");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let calls = text.lines().filter_map(call).collect::<Vec<_>>();
        ensure!(calls.len() > 250, "{} names {} calls only", path.display(), calls.len());
        for (call, number) in calls {
            table.entry(call.to_owned()).or_default()[column] = Some(number);
        }
    }
    let path = workspace.join(OUTPUT);
    std::fs::write(&path, render(&version, &table))
        .with_context(|| format!("write {}", path.display()))
}

/// Version and folder of the package, as cargo has resolved it for this workspace.
fn package() -> Result<(String, PathBuf)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1"])
        .output()
        .context("run cargo metadata")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let newest = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|package| package["name"] == PACKAGE)
        .max_by_key(|package| {
            let version = package["version"].as_str().unwrap_or_default();
            version.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>()
        })
        .with_context(|| format!("{PACKAGE} is not among the workspace's dependencies"))?;
    let text = |field: &str| newest[field].as_str().context("cargo metadata is complete");
    let folder = Path::new(text("manifest_path")?).parent().context("a manifest is in a folder")?;
    Ok((text("version")?.to_owned(), folder.to_owned()))
}

/// Name and number of a line such as `pub const __NR_read: u32 = 0;`.
fn call(line: &str) -> Option<(&str, u32)> {
    let (name, number) = line.strip_prefix("pub const __")?.split_once(": u32 = ")?;
    if NOT_CALLS.iter().any(|prefix| name.starts_with(prefix)) {
        return None;
    }
    // Those of arm alone have numbers of their own.
    let call = name.strip_prefix("NR_").or_else(|| name.strip_prefix("ARM_NR_"))?;
    Some((call, number.strip_suffix(';')?.parse().ok()?))
}

fn render(version: &str, table: &BTreeMap<String, [Option<u32>; COLUMNS.len()]>) -> String {
    let mut text = format!(
        "// Written by `cargo xtask gen` from {PACKAGE} {version}. Do not edit.\n\n\
         use super::{{Row, NONE}};\n\n"
    );
    for (column, (name, _)) in COLUMNS.iter().enumerate() {
        writeln!(text, "pub(crate) const {name}: usize = {column};").unwrap_or_default();
    }
    let (calls, columns) = (table.len(), COLUMNS.len());
    write!(
        text,
        "\npub(super) const COLUMNS: usize = {columns};\n\n\
         /// Sorted.\n#[rustfmt::skip]\npub(super) static NAMES: [&str; {calls}] = [\n"
    )
    .unwrap_or_default();
    for name in table.keys() {
        writeln!(text, "    {name:?},").unwrap_or_default();
    }
    write!(
        text,
        "];\n\n/// In the order of the names.\n#[rustfmt::skip]\n\
         pub(super) static NUMBERS: [Row; {calls}] = [\n"
    )
    .unwrap_or_default();
    for (name, numbers) in table {
        let numbers: Vec<String> = numbers
            .iter()
            .map(|number| number.map_or_else(|| "NONE".to_owned(), |number| number.to_string()))
            .collect();
        writeln!(text, "    [{}], // {name}", numbers.join(", ")).unwrap_or_default();
    }
    text.push_str("];\n");
    text
}

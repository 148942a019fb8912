//! Generates the Kubernetes schema table (`api/k8s/src/gen/`).
//!
//! Source: the JSON schemas in the PyPI package `kubernetes-validate` (Apache-2.0), which keep the
//! `x-kubernetes-*` extensions. Only facts are taken: type and field names, types and formats,
//! required fields, list types and map keys, patch strategies and merge keys, group-version-kinds.
//! Descriptions are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

/// The release of the schema package, and the Kubernetes version taken from it.
const PACKAGE: &str = "kubernetes-validate==1.37.0";
const DEFINITIONS: &str =
    "kubernetes_validate/kubernetes-json-schema/v1.36.0-local/_definitions.json";

/// Where the table goes, relative to the workspace root.
pub(crate) const OUTPUT: &str = "api/k8s/src/gen";

/// Downloads the schema package and returns the content of every generated file by file name.
pub(crate) fn run() -> Result<BTreeMap<String, String>> {
    let dir = tempfile::tempdir().context("creating a temporary directory")?;
    let status = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"])
        .arg(dir.path())
        .arg(PACKAGE)
        .status()
        .context("running `python3 -m pip download`")?;
    ensure!(status.success(), "`pip download {PACKAGE}` failed: {status}");
    let wheel = fs::read_dir(dir.path())?
        .filter_map(|e| e.ok().map(|e| e.path()))
        .find(|p| p.extension().is_some_and(|e| e == "whl" || e == "gz"))
        .with_context(|| format!("`pip download {PACKAGE}` left no archive"))?;
    let is_wheel = wheel.extension().is_some_and(|e| e == "whl");
    let module = if is_wheel { "zipfile" } else { "tarfile" };
    let status = Command::new("python3")
        .args(["-m", module, "-e"])
        .arg(&wheel)
        .arg(dir.path())
        .status()
        .with_context(|| format!("unpacking {}", wheel.display()))?;
    ensure!(status.success(), "unpacking {} failed: {status}", wheel.display());
    let definitions = find_definitions(dir.path())?;
    generate(&definitions)
}

/// A source archive has one more folder above the package than a wheel.
fn find_definitions(dir: &Path) -> Result<PathBuf> {
    let mut candidates = vec![dir.join(DEFINITIONS)];
    for entry in fs::read_dir(dir)? {
        candidates.push(entry?.path().join(DEFINITIONS));
    }
    candidates
        .into_iter()
        .find(|p| p.is_file())
        .with_context(|| format!("{PACKAGE} holds no {DEFINITIONS}"))
}

/// Turns one `_definitions.json` into the generated files, by file name.
pub(crate) fn generate(definitions: &Path) -> Result<BTreeMap<String, String>> {
    let text =
        fs::read(definitions).with_context(|| format!("reading {}", definitions.display()))?;
    let root: Value = serde_json::from_slice(&text)
        .with_context(|| format!("parsing {}", definitions.display()))?;
    let defs = root["$defs"].as_object().context("no $defs in the definitions")?;
    let defs: BTreeMap<&str, &Map<String, Value>> = defs
        .iter()
        .filter_map(|(name, def)| Some((name.as_str(), def.as_object()?)))
        .filter(|(name, _)| name.starts_with("io.k8s."))
        .collect();
    let mut modules: BTreeMap<String, Vec<(&str, String)>> = BTreeMap::new();
    for (name, def) in &defs {
        if is_struct(name, def) {
            let text = struct_text(name, def, &defs).with_context(|| format!("type {name}"))?;
            modules.entry(module_of(name)?).or_default().push((name, text));
        }
    }
    let mut files = BTreeMap::new();
    let mut index = String::from(HEADER);
    for module in modules.keys() {
        writeln!(index, "#[rustfmt::skip]\npub(crate) mod {module};")?;
    }
    index.push_str("\n/// Every type, sorted by name.\n#[rustfmt::skip]\n");
    index.push_str("pub(crate) static TYPES: &[&crate::schema::Type] = &[\n");
    let mut all: Vec<&str> = modules.values().flatten().map(|(name, _)| *name).collect();
    all.sort_unstable();
    for name in all {
        writeln!(index, "    &{},", path_of(name)?)?;
    }
    index.push_str("];\n");
    files.insert("mod.rs".to_owned(), index);
    for (module, types) in modules {
        let mut text = String::from(HEADER);
        let body: String = types.iter().map(|(_, t)| t.as_str()).collect();
        let used: BTreeSet<&str> =
            SHAPES.iter().copied().filter(|s| uses_shape(&body, s)).collect();
        let used: Vec<&str> = used.into_iter().collect();
        writeln!(text, "use crate::schema::FieldType::{{{}}};", used.join(", "))?;
        let field = if body.contains(" f(") { ", field as f" } else { "" };
        writeln!(text, "use crate::schema::{{Type{field}}};\n")?;
        text.push_str(&body);
        files.insert(format!("{module}.rs"), text);
    }
    Ok(files)
}

const HEADER: &str = "// Generated by `cargo xtask gen`; do not edit.\n\n";
const SHAPES: &[&str] = &[
    "Any",
    "Bool",
    "Bytes",
    "Double",
    "Int32",
    "Int64",
    "IntOrString",
    "List",
    "Map",
    "MicroTime",
    "Obj",
    "Quantity",
    "Str",
    "Time",
];

fn uses_shape(body: &str, shape: &str) -> bool {
    [" ", "&", "("].iter().any(|before| {
        [")", "("].iter().any(|after| body.contains(&format!("{before}{shape}{after}")))
    })
}

/// Definitions without properties that are not empty structs.
fn opaque(name: &str) -> Option<&'static str> {
    Some(match name.rsplit('.').next()? {
        "Quantity" => "Quantity",
        "IntOrString" => "IntOrString",
        "Time" => "Time",
        "MicroTime" => "MicroTime",
        "FieldsV1"
        | "RawExtension"
        | "JSON"
        | "JSONSchemaPropsOrArray"
        | "JSONSchemaPropsOrBool"
        | "JSONSchemaPropsOrStringArray"
        | "Patch" => {
            return Some(ANY);
        }
        _ => return None,
    })
}

const ANY: &str = "Any";

fn is_struct(name: &str, def: &Map<String, Value>) -> bool {
    def.contains_key("properties") || opaque(name).is_none()
}

/// `io.k8s.api.core.v1.PodSpec` → `core_v1`.
fn module_of(name: &str) -> Result<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let [.., group, version, _] = parts.as_slice() else { bail!("odd type name {name}") };
    Ok(match *version {
        "version" => "version".to_owned(),
        _ => format!("{group}_{version}"),
    })
}

/// `PodIP` → `POD_IP`, `CSIDriver` → `CSI_DRIVER`.
fn constant(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, c) in chars.iter().enumerate() {
        let after_lower = i > 0 && !chars[i - 1].is_uppercase();
        let before_lower = chars.get(i + 1).is_some_and(|n| n.is_lowercase());
        if i > 0 && c.is_uppercase() && (after_lower || before_lower) {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn path_of(name: &str) -> Result<String> {
    Ok(format!("crate::generated::{}::{}", module_of(name)?, constant(short(name))))
}

type Definitions<'a> = BTreeMap<&'a str, &'a Map<String, Value>>;

fn struct_text(name: &str, def: &Map<String, Value>, defs: &Definitions<'_>) -> Result<String> {
    let mut out =
        format!("pub(crate) static {}: Type = Type::new({name:?}, ", constant(short(name)));
    let required: BTreeSet<&str> = strings(def.get("required")).into_iter().collect();
    let empty = Map::new();
    let properties = def.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    if properties.is_empty() {
        out.push_str("&[])");
    } else {
        out.push_str("&[\n");
        for (field, schema) in properties {
            let text = field_text(field, schema, required.contains(field.as_str()), name, defs)
                .with_context(|| format!("field {field}"))?;
            writeln!(out, "    {text},")?;
        }
        out.push_str("])");
    }
    if let Some(gvks) = def.get("x-kubernetes-group-version-kind").and_then(Value::as_array) {
        let gvks: Vec<String> = gvks
            .iter()
            .map(|g| {
                let part = |k: &str| g[k].as_str().unwrap_or_default().to_owned();
                format!("({:?}, {:?}, {:?})", part("group"), part("version"), part("kind"))
            })
            .collect();
        write!(out, ".gvks(&[{}])", gvks.join(", "))?;
    }
    match def.get("x-kubernetes-map-type").and_then(Value::as_str) {
        Some("atomic") => out.push_str(".atomic()"),
        Some("granular") | None => {}
        Some(other) => bail!("unknown map type {other}"),
    }
    out.push_str(";\n");
    Ok(out)
}

fn field_text(
    name: &str,
    schema: &Value,
    required: bool,
    owner: &str,
    defs: &Definitions<'_>,
) -> Result<String> {
    let mut out = format!("f({name:?}, {})", type_text(schema, owner, defs)?);
    if required {
        out.push_str(".required()");
    }
    let keys = strings(schema.get("x-kubernetes-list-map-keys"));
    match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("atomic") => out.push_str(".list_atomic()"),
        Some("set") => out.push_str(".list_set()"),
        Some("map") => write!(out, ".list_map(&{keys:?})")?,
        None => {}
        Some(other) => bail!("unknown list type {other}"),
    }
    match schema.get("x-kubernetes-map-type").and_then(Value::as_str) {
        Some("atomic") => out.push_str(".map_atomic()"),
        Some("granular") | None => {}
        Some(other) => bail!("unknown map type {other}"),
    }
    if let Some(strategy) = schema.get("x-kubernetes-patch-strategy").and_then(Value::as_str) {
        for word in strategy.split(',') {
            match word {
                "merge" => {
                    let key = schema.get("x-kubernetes-patch-merge-key").and_then(Value::as_str);
                    write!(out, ".patch_merge({:?})", key.unwrap_or_default())?;
                }
                "retainKeys" => out.push_str(".patch_retain_keys()"),
                "replace" => out.push_str(".patch_replace()"),
                other => bail!("unknown patch strategy {other}"),
            }
        }
    }
    Ok(out)
}

fn type_text(schema: &Value, owner: &str, defs: &Definitions<'_>) -> Result<String> {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = reference.rsplit('/').next().unwrap_or_default();
        let def = defs.get(target).with_context(|| format!("dangling reference {reference}"))?;
        if !is_struct(target, def) {
            return Ok(match opaque(target) {
                Some(ANY) => format!("Any({target:?})"),
                Some(shape) => shape.to_owned(),
                None => bail!("{target} is neither a struct nor opaque"),
            });
        }
        let same = module_of(target)? == module_of(owner)?;
        let path = if same { constant(short(target)) } else { path_of(target)? };
        return Ok(format!("Obj(&{path})"));
    }
    let kinds = match schema.get("type") {
        Some(Value::String(s)) => vec![s.as_str()],
        other => strings(other),
    };
    let kind = kinds.iter().find(|k| **k != "null").copied();
    let format = schema.get("format").and_then(Value::as_str);
    Ok(match (kind, format) {
        (Some("string"), None) => "Str".to_owned(),
        (Some("string"), Some("byte")) => "Bytes".to_owned(),
        (Some("boolean"), _) => "Bool".to_owned(),
        (Some("integer"), Some("int32")) => "Int32".to_owned(),
        (Some("integer"), Some("int64") | None) => "Int64".to_owned(),
        (Some("number"), _) => "Double".to_owned(),
        (Some("array"), _) => format!("List(&{})", type_text(&schema["items"], owner, defs)?),
        (Some("object"), _) => match schema.get("additionalProperties") {
            Some(value) => format!("Map(&{})", type_text(value, owner, defs)?),
            None => "Any(\"\")".to_owned(),
        },
        other => bail!("unhandled schema type {other:?}"),
    })
}

fn strings(value: Option<&Value>) -> Vec<&str> {
    value
        .and_then(Value::as_array)
        .map(|a| a.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

//! A bundle: a folder with `config.json` and, mostly, the root file system.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxResources, Process, Spec};
use serde::de::DeserializeOwned;

use crate::amend::amend;

/// How long a document may be: far more than any engine writes, far less than hurts.
const DOCUMENT_BYTES_MAX: u64 = 16 << 20;

/// A document that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is longer than anything sane.
    #[error("{} is longer than {DOCUMENT_BYTES_MAX} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// It is no JSON, or a field is of the wrong shape.
    #[error("{document}: at {field}")]
    Parse {
        /// Which document.
        document: String,
        /// The JSON path of what is wrong, such as `mounts[2].destination`.
        field: String,
        /// What is wrong, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// It is of a version of the specification that is not understood.
    #[error("{document}: ociVersion: {version:?} is not supported, only 1.x is")]
    Version {
        /// Which document.
        document: String,
        /// What it says.
        version: String,
    },
}

/// A bundle whose `config.json` has been read.
#[derive(Debug)]
pub struct Bundle {
    /// The folder.
    pub path: PathBuf,
    /// Its `config.json`.
    pub spec: Spec,
}

impl Bundle {
    /// Reads `<path>/config.json`.
    ///
    /// # Errors
    /// See [`DocumentError`].
    pub fn load(path: &Path) -> Result<Self, DocumentError> {
        let file = path.join("config.json");
        let text = read_bounded(&file)?;
        let spec = parse_spec(&text, &file.display().to_string())?;
        Ok(Self { path: path.to_owned(), spec })
    }
}

/// Parses a `config.json`; `document` is how errors call it.
///
/// # Errors
/// See [`DocumentError`].
pub fn parse_spec(text: &[u8], document: &str) -> Result<Spec, DocumentError> {
    let spec: Spec = parse(text, document, "/process")?;
    let version = spec.version();
    if !(version == "1" || version.starts_with("1.")) {
        return Err(DocumentError::Version {
            document: document.to_owned(),
            version: version.clone(),
        });
    }
    Ok(spec)
}

/// Parses a process document, as `exec --process` takes it.
///
/// # Errors
/// See [`DocumentError`].
pub fn parse_process(text: &[u8], document: &str) -> Result<Process, DocumentError> {
    parse(text, document, "")
}

/// Parses a document like `linux.resources`, as `update --resources` takes it.
///
/// # Errors
/// See [`DocumentError`].
pub fn parse_resources(text: &[u8], document: &str) -> Result<LinuxResources, DocumentError> {
    parse_strictly(text, document)
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, DocumentError> {
    let error = |source| DocumentError::Read { path: path.to_owned(), source };
    let mut text = Vec::new();
    std::fs::File::open(path)
        .map_err(error)?
        .take(DOCUMENT_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(error)?;
    if text.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(DocumentError::TooLong { path: path.to_owned() });
    }
    Ok(text)
}

fn parse<T: DeserializeOwned>(
    text: &[u8],
    document: &str,
    process: &str,
) -> Result<T, DocumentError> {
    parse_strictly(text, document).or_else(|error| {
        let amended = serde_json::from_slice(text).ok().and_then(|mut value| {
            amend(&mut value, process).then(|| serde_json::from_value(value).ok()).flatten()
        });
        // The first error has lines and columns; and it is the document's own.
        amended.ok_or(error)
    })
}

fn parse_strictly<T: DeserializeOwned>(text: &[u8], document: &str) -> Result<T, DocumentError> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        DocumentError::Parse {
            document: document.to_owned(),
            field: if field == "." { "the top".to_owned() } else { field },
            source: error.into_inner(),
        }
    })?;
    json.end().map_err(|source| DocumentError::Parse {
        document: document.to_owned(),
        field: "the end".to_owned(),
        source,
    })?;
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn message(text: &str) -> String {
        let error = parse_spec(text.as_bytes(), "config.json").unwrap_err();
        match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        }
    }

    #[test]
    fn errors_name_the_place() {
        expect![[
            r#"config.json: at process.args: invalid type: string "sh", expected a sequence at line 1 column 64"#
        ]]
        .assert_eq(&message(
            r#"{"ociVersion":"1.2.0","process":{"user":{},"cwd":"/","args":"sh"}}"#,
        ));
        expect!["config.json: at linux.namespaces[1].type: unknown variant `nett`, expected one of `mount`, `cgroup`, `uts`, `ipc`, `user`, `pid`, `network`, `time` at line 1 column 74"]
        .assert_eq(&message(
            r#"{"ociVersion":"1.2.0","linux":{"namespaces":[{"type":"pid"},{"type":"nett"}]}}"#,
        ));
        expect!["config.json: at the top: EOF while parsing a value at line 1 column 0"]
            .assert_eq(&message(""));
        expect![[r#"config.json: ociVersion: "2.0.0" is not supported, only 1.x is"#]]
            .assert_eq(&message(r#"{"ociVersion":"2.0.0"}"#));
        expect!["config.json: at the end: trailing characters at line 1 column 24"]
            .assert_eq(&message(r#"{"ociVersion":"1.2.0"} {}"#));
    }

    /// At every level, whatever it is: the specification's "Extensibility".
    #[test]
    fn unknown_fields_are_ignored() {
        let text = json!({
            "ociVersion": "1.9.0", "future": { "a": 1 },
            "process": { "user": { "uid": 0, "gid": 0, "future": 1 }, "cwd": "/", "args": ["x"],
                         "future": [] },
            "mounts": [{ "destination": "/x", "future": "x" }],
            "hooks": { "future": [] },
            "linux": { "future": {}, "resources": { "memory": { "future": 1 }, "future": 2 },
                       "namespaces": [{ "type": "pid", "future": true }] },
        });
        parse_spec(text.to_string().as_bytes(), "config.json").unwrap();
    }

    #[test]
    fn an_unknown_capability_is_left_out() {
        let sets = json!({ "bounding": ["CAP_KILL", "CAP_FUTURE"], "effective": ["CAP_FUTURE"] });
        let process = json!({ "cwd": "/", "user": { "uid": 0, "gid": 0 }, "capabilities": sets });
        let read = parse_process(process.to_string().as_bytes(), "process").unwrap();
        let read = read.capabilities().as_ref().unwrap();
        assert_eq!(read.bounding().as_ref().unwrap().len(), 1);
        assert!(read.effective().as_ref().unwrap().is_empty());
        let spec = json!({ "ociVersion": "1.3.0", "process": process });
        parse_spec(spec.to_string().as_bytes(), "config.json").unwrap();
        // What is no name of anything is an error still.
        let wrong = json!({ "cwd": "/", "user": {}, "capabilities": { "bounding": [7] } });
        parse_process(wrong.to_string().as_bytes(), "process").unwrap_err();
    }

    #[test]
    fn scheduler_flags_have_the_specifications_names() {
        use oci_spec::runtime::LinuxSchedulerFlag;

        let names = [
            "SCHED_FLAG_RESET_ON_FORK",
            "SCHED_FLAG_RECLAIM",
            "SCHED_FLAG_DL_OVERRUN",
            "SCHED_FLAG_KEEP_POLICY",
            "SCHED_FLAG_KEEP_PARAMS",
            "SCHED_FLAG_UTIL_CLAMP_MIN",
            "SCHED_FLAG_UTIL_CLAMP_MAX",
        ];
        let process = json!({
            "cwd": "/", "user": { "uid": 0, "gid": 0 },
            "scheduler": { "policy": "SCHED_OTHER", "flags": names },
        });
        let read = parse_process(process.to_string().as_bytes(), "process").unwrap();
        let flags = read.scheduler().as_ref().unwrap().flags().clone().unwrap();
        assert_eq!(flags[0], LinuxSchedulerFlag::SchedResetOnFork);
        assert_eq!(flags[2], LinuxSchedulerFlag::SchedFlagDLOverrun);
        assert_eq!(flags.len(), names.len());
    }

    #[test]
    fn a_bundle_without_a_config_says_which_file() {
        let dir = tempfile::tempdir().unwrap();
        let error = Bundle::load(dir.path()).unwrap_err();
        assert!(error.to_string().ends_with("/config.json"), "{error}");
    }
}

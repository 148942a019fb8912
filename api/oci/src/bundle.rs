//! A bundle: a folder with `config.json` and, mostly, the root file system.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxResources, Process, Spec};
use serde::de::DeserializeOwned;

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
    let spec: Spec = parse(text, document)?;
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
    parse(text, document)
}

/// Parses a document like `linux.resources`, as `update --resources` takes it.
///
/// # Errors
/// See [`DocumentError`].
pub fn parse_resources(text: &[u8], document: &str) -> Result<LinuxResources, DocumentError> {
    parse(text, document)
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

fn parse<T: DeserializeOwned>(text: &[u8], document: &str) -> Result<T, DocumentError> {
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

    #[test]
    fn a_bundle_without_a_config_says_which_file() {
        let dir = tempfile::tempdir().unwrap();
        let error = Bundle::load(dir.path()).unwrap_err();
        assert!(error.to_string().ends_with("/config.json"), "{error}");
    }
}

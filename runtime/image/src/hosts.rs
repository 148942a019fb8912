//! Which hosts are asked for a registry's images: `hosts.toml`, as containerd reads it.
//!
//! Of the folders that are searched the first counts that has one named after the registry (or else
//! `_default`), with a file `hosts.toml` in it: its hosts are mirrors, asked in the order of the
//! file, and at last its `server`, which is the registry itself if it says nothing. What such a
//! file may say, and is not honoured here, is refused by name. (containerd: docs/hosts.md.)

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::error::ImageError;

const FILE: &str = "hosts.toml";
/// Folders for registries that have none of their own.
const DEFAULT: &str = "_default";
/// Files that are longer are refused; certificates have a few kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Mirrors of one registry.
const HOSTS_MAX: usize = 32;

/// A host to be asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Endpoint {
    /// `host` or `host:port`; none for the registry by its own name.
    pub(crate) authority: Option<String>,
    pub(crate) plain_http: bool,
    /// May say what a tag stands for; else it is asked only for digests.
    pub(crate) resolves: bool,
    /// Certificates in PEM that are trusted beside the machine's.
    pub(crate) authorities: Vec<Vec<u8>>,
    pub(crate) skip_verify: bool,
    pub(crate) connect_within: Option<Duration>,
}

impl Endpoint {
    /// The registry itself.
    pub(crate) fn origin() -> Self {
        Self { resolves: true, ..Self::default() }
    }
}

#[derive(Debug, Deserialize)]
struct HostsFile {
    server: Option<String>,
    #[serde(default)]
    host: BTreeMap<Spanned<String>, Host>,
    // Of the server itself.
    #[serde(flatten)]
    of_server: BTreeMap<String, toml::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Host {
    capabilities: Option<Vec<String>>,
    ca: Option<OneOrMany>,
    #[serde(default)]
    skip_verify: bool,
    dial_timeout: Option<String>,
    client: Option<toml::Value>,
    header: Option<toml::Value>,
    #[serde(default)]
    override_path: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

/// The hosts to be asked for the images of `registry`, in this order. Blocks.
pub(crate) fn endpoints(dirs: &[PathBuf], registry: &str) -> Result<Vec<Endpoint>, ImageError> {
    for dir in dirs {
        for name in [registry, DEFAULT] {
            // A registry's name is no path: it has no '/' and is not "..".
            let path = dir.join(name).join(FILE);
            match read(&path) {
                Ok(bytes) => return parse(&path, &bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(ImageError::disk("read", &path)(error)),
            }
        }
    }
    Ok(vec![Endpoint::origin()])
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("longer than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Endpoint>, ImageError> {
    let wrong = |reason: String| ImageError::document(path.display().to_string(), reason);
    let text = std::str::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
    let file: HostsFile = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let mut hosts: Vec<_> = file.host.into_iter().collect();
    if hosts.len() > HOSTS_MAX {
        return Err(wrong(format!("more than {HOSTS_MAX} hosts")));
    }
    hosts.sort_by_key(|(url, _)| url.span().start);
    let mut endpoints = Vec::new();
    for (url, host) in hosts {
        let url = url.into_inner();
        let found = endpoint(path, Some(&url), host);
        endpoints.extend(found.map_err(|reason| wrong(format!("host.{url:?}: {reason}")))?);
    }
    let of_server = toml::Value::Table(file.of_server.into_iter().collect());
    let server = Host::deserialize(of_server).map_err(|error| wrong(error.to_string()))?;
    let server = endpoint(path, file.server.as_deref(), server);
    endpoints.extend(server.map_err(|reason| wrong(format!("server: {reason}")))?);
    Ok(endpoints)
}

/// One host; nothing when images are only to be pushed there.
fn endpoint(path: &Path, url: Option<&str>, host: Host) -> Result<Option<Endpoint>, String> {
    for (field, given) in [
        ("client", host.client.is_some()),
        ("header", host.header.is_some()),
        ("override_path", host.override_path),
    ] {
        if given {
            return Err(format!("{field} is not supported: leave it out"));
        }
    }
    let can = |wanted: &str| {
        host.capabilities.as_ref().is_none_or(|all| all.iter().any(|one| one == wanted))
    };
    for capability in host.capabilities.iter().flatten() {
        if !["pull", "resolve", "push"].contains(&capability.as_str()) {
            return Err(format!("{capability:?} is no capability; pull, resolve and push are"));
        }
    }
    if !can("pull") {
        return Ok(None);
    }
    let (authority, plain_http) = match url {
        Some(url) => split(url).map(|(authority, plain)| (Some(authority), plain))?,
        None => (None, false),
    };
    let dial = host.dial_timeout.as_deref().map(duration).transpose()?;
    let files = match host.ca {
        None => Vec::new(),
        Some(OneOrMany::One(file)) => vec![file],
        Some(OneOrMany::Many(files)) => files,
    };
    let mut authorities = Vec::new();
    for file in files {
        let file = path.parent().unwrap_or(Path::new("/")).join(file);
        authorities.push(read(&file).map_err(|error| format!("ca: {}: {error}", file.display()))?);
    }
    Ok(Some(Endpoint {
        authority,
        plain_http,
        resolves: can("resolve"),
        authorities,
        skip_verify: host.skip_verify,
        connect_within: dial,
    }))
}

/// A URL's host and port, and whether it is plain HTTP.
fn split(url: &str) -> Result<(String, bool), String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let plain = match scheme {
        "http" => true,
        "https" => false,
        other => return Err(format!("{other:?} is neither http nor https")),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    // What some write, and what is asked for anyway.
    let authority = authority.strip_suffix("/v2").unwrap_or(authority);
    if authority.is_empty() || authority.contains(['/', '?', '#', '@', ' ']) {
        return Err(format!("{url:?} must be a scheme, a host and perhaps a port"));
    }
    Ok((authority.to_owned(), plain))
}

/// Go's notation, as far as it makes sense here: `500ms`, `30s`, `1m`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("dial_timeout: {text:?} is no duration; write it as 500ms, 30s or 1m");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().map_err(|_no_number| wrong())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number.into())),
        "s" => Ok(Duration::from_secs(number.into())),
        "m" => Ok(Duration::from_secs(u64::from(number) * 60)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(registry: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(registry);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(FILE), text).unwrap();
        std::fs::write(folder.join("ca.pem"), "certificate").unwrap();
        let path = dir.path().to_owned();
        (dir, path)
    }

    fn error(text: &str) -> String {
        let (_dir, path) = with("r.io", text);
        endpoints(&[path], "r.io").unwrap_err().to_string()
    }

    #[test]
    fn mirrors_come_in_the_order_of_the_file_and_the_server_last() {
        let text = r#"
            server = "https://registry-1.docker.io"
            [host."https://zoo.example:5000"]
              capabilities = ["pull", "resolve"]
              ca = "ca.pem"
              dial_timeout = "500ms"
            [host."http://127.0.0.1:5000/"]
              capabilities = ["pull"]
              skip_verify = true
            [host."https://push.example"]
              capabilities = ["push"]
        "#;
        let (_dir, path) = with("docker.io", text);
        let zoo = Endpoint {
            authority: Some("zoo.example:5000".to_owned()),
            resolves: true,
            authorities: vec![b"certificate".to_vec()],
            connect_within: Some(Duration::from_millis(500)),
            ..Endpoint::default()
        };
        let local = Endpoint {
            authority: Some("127.0.0.1:5000".to_owned()),
            plain_http: true,
            skip_verify: true,
            ..Endpoint::default()
        };
        let server =
            Endpoint { authority: Some("registry-1.docker.io".to_owned()), ..Endpoint::origin() };
        assert_eq!(endpoints(&[path], "docker.io").unwrap(), [zoo, local, server]);
    }

    #[test]
    fn the_first_folder_that_has_something_counts() {
        let nothing = tempfile::tempdir().unwrap();
        let (_one, default) = with(DEFAULT, "[host.\"http://all.example\"]");
        let (_two, own) = with("r.io", "skip_verify = true");
        let dirs = |dirs: &[&Path]| dirs.iter().map(|dir| dir.to_path_buf()).collect::<Vec<_>>();
        let own_first = endpoints(&dirs(&[nothing.path(), &own, &default]), "r.io").unwrap();
        assert_eq!(own_first, [Endpoint { skip_verify: true, ..Endpoint::origin() }]);
        let default_first = endpoints(&dirs(&[&default, &own]), "r.io").unwrap();
        assert_eq!(default_first.len(), 2);
        assert_eq!(endpoints(&dirs(&[&own]), "other.io").unwrap(), [Endpoint::origin()]);
    }

    #[test]
    fn what_is_not_honoured_is_refused_by_name() {
        assert!(
            error("[host.\"https://m\".header]\nx = \"y\"").contains("header is not supported")
        );
        assert!(error("[host.\"https://m\"]\noverride_path = true").contains("override_path"));
        assert!(error("[host.\"https://m\"]\nclient = \"c.pem\"").contains("client"));
        assert!(error("[host.\"https://m\"]\ncapabilities = [\"fly\"]").contains("\"fly\""));
        assert!(error("[host.\"https://m\"]\nspeed = 1").contains("speed"));
        assert!(error("speed = 1").contains("speed"));
        assert!(error("[host.\"ftp://m\"]").contains("ftp"));
        assert!(error("[host.\"https://m/path\"]").contains("/path"));
        assert!(error("[host.\"https://m\"]\nca = \"gone.pem\"").contains("gone.pem"));
        assert!(error("[host.\"https://m\"]\ndial_timeout = \"soon\"").contains("soon"));
        assert!(error("server = [").contains("hosts.toml"));
    }
}

//! The folder of network configurations, `/etc/cni/net.d`.

use std::path::{Path, PathBuf};

use corten_cni_types::{ConfError, NetworkConfList};

use crate::InvokeError;

/// A configuration is a page of JSON; what is larger is not one.
const CONF_BYTES_MAX: u64 = 1 << 20;

/// Loads the first network by file name: `*.conflist`, `*.conf` or `*.json`. A file that cannot be
/// used is passed over with a warning, so that one bad file does not take the node's network away.
///
/// # Errors
/// [`InvokeError::NotConfigured`] when there is no such file; what is wrong with the first when
/// none can be used.
pub fn load_conf_dir(dir: &Path) -> Result<NetworkConfList, InvokeError> {
    let mut first_error = None;
    for path in files(dir, &["conflist", "conf", "json"])? {
        match load(dir, &path) {
            Ok(list) => return Ok(list),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "a network configuration is passed over");
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or_else(|| InvokeError::NotConfigured { dir: dir.to_owned() }))
}

fn load(dir: &Path, path: &Path) -> Result<NetworkConfList, InvokeError> {
    let bad = |source| InvokeError::Conf { path: path.to_owned(), source };
    let text = read(path)?;
    if path.extension().is_none_or(|extension| extension != "conflist") {
        return NetworkConfList::parse_single(&text).map_err(bad);
    }
    let mut list = NetworkConfList::parse(&text).map_err(bad)?;
    if !list.load_only_inlined_plugins {
        let folder = dir.join(&list.name);
        add_folder(&mut list, &folder)?;
    }
    list.require_plugins().map_err(bad)?;
    Ok(list)
}

/// Adds the plugins from the folder named after the network (specification 1.1.0, "Plugin
/// configuration objects" kept outside of the list).
fn add_folder(list: &mut NetworkConfList, folder: &Path) -> Result<(), InvokeError> {
    for path in files(folder, &["conf"]).or_else(missing_is_empty)? {
        let bad = |source| InvokeError::Conf { path: path.clone(), source };
        let raw = serde_json::from_slice(&read(&path)?)
            .map_err(|source| bad(ConfError::Shape { source }))?;
        let index = list.plugins.len();
        list.plugins.push(corten_cni_types::PluginConf::new(index, raw).map_err(bad)?);
    }
    Ok(())
}

fn missing_is_empty(error: InvokeError) -> Result<Vec<PathBuf>, InvokeError> {
    if matches!(error, InvokeError::NotConfigured { .. }) { Ok(Vec::new()) } else { Err(error) }
}

fn files(dir: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, InvokeError> {
    let failed = |source| InvokeError::ReadConf { path: dir.to_owned(), source };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(InvokeError::NotConfigured { dir: dir.to_owned() });
        }
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| extensions.contains(&extension)) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Vec<u8>, InvokeError> {
    use std::io::Read as _;
    let failed = |source| InvokeError::ReadConf { path: path.to_owned(), source };
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(CONF_BYTES_MAX + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > CONF_BYTES_MAX {
        return Err(failed(std::io::Error::other("larger than 1 MiB")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str, text: &str) {
        std::fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
        std::fs::write(dir.join(name), text).unwrap();
    }

    const LIST: &str = r#"{"cniVersion":"1.1.0","name":"one","plugins":[{"type":"bridge"}]}"#;

    #[test]
    fn the_first_usable_file_wins() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "00-broken.conflist", "{");
        write(dir.path(), "10-one.conflist", LIST);
        write(dir.path(), "20-two.conf", r#"{"cniVersion":"1.0.0","name":"two","type":"ptp"}"#);
        write(dir.path(), "05-note.txt", "not a configuration");
        assert_eq!(load_conf_dir(dir.path()).unwrap().name, "one");
        std::fs::remove_file(dir.path().join("10-one.conflist")).unwrap();
        let two = load_conf_dir(dir.path()).unwrap();
        assert_eq!((two.name.as_str(), two.plugins[0].plugin_type.as_str()), ("two", "ptp"));
    }

    #[test]
    fn plugins_of_the_networks_folder_are_appended() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "10-one.conflist", LIST);
        write(dir.path(), "one/b.conf", r#"{"type":"tuning"}"#);
        write(dir.path(), "one/a.conf", r#"{"type":"portmap"}"#);
        let types: Vec<_> = load_conf_dir(dir.path())
            .unwrap()
            .plugins
            .into_iter()
            .map(|plugin| plugin.plugin_type)
            .collect();
        assert_eq!(types, ["bridge", "portmap", "tuning"]);
    }

    #[test]
    fn what_is_missing_or_broken_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = dir.path().join("nowhere");
        assert!(load_conf_dir(&nowhere).unwrap_err().to_string().contains("nowhere has no"));
        write(dir.path(), "10-bad.conflist", r#"{"cniVersion":"1.1.0","name":"x"}"#);
        let error = load_conf_dir(dir.path()).unwrap_err();
        assert!(error.to_string().contains("10-bad.conflist cannot be used"), "{error}");
    }
}

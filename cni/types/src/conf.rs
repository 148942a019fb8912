//! Network configurations: lists of plugins, as administrators write them.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{InvalidName, ParseVersionError, Version, validate_network_name};

/// Keys that the specification defines in a plugin's configuration.
pub mod keys {
    /// The version of the specification.
    pub const CNI_VERSION: &str = "cniVersion";
    /// The network's name.
    pub const NAME: &str = "name";
    /// The plugin's binary.
    pub const TYPE: &str = "type";
    /// Which capability arguments the plugin takes.
    pub const CAPABILITIES: &str = "capabilities";
    /// The capability arguments, put there by the runtime.
    pub const RUNTIME_CONFIG: &str = "runtimeConfig";
    /// The result of the plugin before, put there by the runtime.
    pub const PREV_RESULT: &str = "prevResult";
    /// Arguments in JSON (the conventions document).
    pub const ARGS: &str = "args";
    /// GC: the attachments that still exist.
    pub const VALID_ATTACHMENTS: &str = "cni.dev/valid-attachments";
    /// The older spelling of [`VALID_ATTACHMENTS`], which runtimes send as well.
    pub const VALID_ATTACHMENTS_OLD: &str = "cni.dev/attachments";
}

/// One plugin's part of a network configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginConf {
    /// The binary's file name.
    pub plugin_type: String,
    /// Everything that was written, `type` included.
    pub raw: Map<String, Value>,
}

/// A network: the plugins that make it, in the order of ADD.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkConfList {
    /// The version that the plugins are spoken to in.
    pub cni_version: Version,
    /// The network's name, unique on the host.
    pub name: String,
    /// CHECK is not to be called.
    pub disable_check: bool,
    /// GC is not to be called.
    pub disable_gc: bool,
    /// Plugins in the folder named after the network are not added.
    pub load_only_inlined_plugins: bool,
    /// The plugins.
    pub plugins: Vec<PluginConf>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    /// It is not JSON, or a field has the wrong type.
    #[error("not a CNI network configuration")]
    Shape {
        /// What the decoder says, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// A version that is not spoken.
    #[error("cniVersion cannot be used")]
    Version {
        /// Which.
        #[source]
        source: ParseVersionError,
    },
    /// The network's name is missing or wrong.
    #[error("name cannot be used")]
    Name {
        /// Why.
        #[source]
        source: InvalidName,
    },
    /// There is no plugin.
    #[error("plugins is missing or empty: a network needs at least one plugin")]
    NoPlugins,
    /// A plugin without a type.
    #[error("plugins[{index}].type is missing or not text")]
    NoType {
        /// Which plugin.
        index: usize,
    },
    /// A plugin's type is a path.
    #[error("plugins[{index}].type {plugin_type:?} must be a plain file name")]
    BadType {
        /// Which plugin.
        index: usize,
        /// What was given.
        plugin_type: String,
    },
    /// A flag that is neither true nor false.
    #[error("{key} must be true or false")]
    Flag {
        /// Which.
        key: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    cni_version: Option<String>,
    #[serde(default)]
    cni_versions: Vec<String>,
    #[serde(default)]
    name: String,
    disable_check: Option<Value>,
    #[serde(rename = "disableGC")]
    disable_gc: Option<Value>,
    load_only_inlined_plugins: Option<Value>,
    #[serde(default)]
    plugins: Vec<Map<String, Value>>,
}

impl NetworkConfList {
    /// Reads a list (a `.conflist` file).
    ///
    /// # Errors
    /// [`ConfError`].
    pub fn parse(text: &[u8]) -> Result<Self, ConfError> {
        let list: List =
            serde_json::from_slice(text).map_err(|source| ConfError::Shape { source })?;
        let list = Self {
            cni_version: choose_version(list.cni_version, &list.cni_versions)?,
            name: list.name,
            disable_check: flag("disableCheck", list.disable_check.as_ref())?,
            disable_gc: flag("disableGC", list.disable_gc.as_ref())?,
            load_only_inlined_plugins: flag(
                "loadOnlyInlinedPlugins",
                list.load_only_inlined_plugins.as_ref(),
            )?,
            plugins: list
                .plugins
                .into_iter()
                .enumerate()
                .map(|(index, raw)| PluginConf::new(index, raw))
                .collect::<Result<_, _>>()?,
        };
        validate_network_name(&list.name).map_err(|source| ConfError::Name { source })?;
        Ok(list)
    }

    /// Reads the configuration of a single plugin (a `.conf` or `.json` file) as a list of one.
    ///
    /// # Errors
    /// [`ConfError`].
    pub fn parse_single(text: &[u8]) -> Result<Self, ConfError> {
        let raw: Map<String, Value> =
            serde_json::from_slice(text).map_err(|source| ConfError::Shape { source })?;
        let text = |key: &str| raw.get(key).and_then(Value::as_str).map(str::to_owned);
        let name = text(keys::NAME).unwrap_or_default();
        let cni_version = choose_version(text(keys::CNI_VERSION), &[])?;
        validate_network_name(&name).map_err(|source| ConfError::Name { source })?;
        Ok(Self {
            cni_version,
            name,
            disable_check: false,
            disable_gc: false,
            load_only_inlined_plugins: true,
            plugins: vec![PluginConf::new(0, raw)?],
        })
    }

    /// Refuses a network without plugins. Apart from [`NetworkConfList::parse`], because plugins
    /// may come from the folder that is named after the network.
    ///
    /// # Errors
    /// [`ConfError::NoPlugins`].
    pub fn require_plugins(&self) -> Result<(), ConfError> {
        if self.plugins.is_empty() { Err(ConfError::NoPlugins) } else { Ok(()) }
    }
}

impl PluginConf {
    /// Takes a plugin's object; `index` is where it stands, for the error.
    ///
    /// # Errors
    /// [`ConfError::NoType`], [`ConfError::BadType`].
    pub fn new(index: usize, raw: Map<String, Value>) -> Result<Self, ConfError> {
        let Some(plugin_type) = raw.get(keys::TYPE).and_then(Value::as_str) else {
            return Err(ConfError::NoType { index });
        };
        let plugin_type = plugin_type.to_owned();
        // A path would run a program from outside the plugin folders.
        if plugin_type.is_empty() || plugin_type.contains('/') || plugin_type.starts_with('.') {
            return Err(ConfError::BadType { index, plugin_type });
        }
        Ok(Self { plugin_type, raw })
    }

    /// Whether the plugin declares that it takes a capability's arguments.
    #[must_use]
    pub fn has_capability(&self, capability: &str) -> bool {
        let declared = self.raw.get(keys::CAPABILITIES).and_then(|set| set.get(capability));
        declared.and_then(Value::as_bool).unwrap_or(false)
    }
}

/// The newest version that is both offered and spoken; 0.3.1 is not assumed when none is given,
/// since the specification makes the field required.
fn choose_version(single: Option<String>, offered: &[String]) -> Result<Version, ConfError> {
    let offered = offered.iter().cloned().chain(single);
    let mut last_error = ParseVersionError { text: String::new() };
    let mut best = None;
    for text in offered {
        match text.parse::<Version>() {
            Ok(version) => best = best.max(Some(version)),
            Err(error) => last_error = error,
        }
    }
    best.ok_or(ConfError::Version { source: last_error })
}

/// Booleans may be written as text, as the reference library accepts them.
fn flag(key: &'static str, value: Option<&Value>) -> Result<bool, ConfError> {
    let Some(value) = value else { return Ok(false) };
    if let Some(value) = value.as_bool() {
        return Ok(value);
    }
    match value.as_str().map(str::to_ascii_lowercase).as_deref() {
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        _ => Err(ConfError::Flag { key }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn a_list_is_read() {
        let list = NetworkConfList::parse(
            br#"{"cniVersion":"1.0.0","cniVersions":["0.4.0","1.1.0","9.9.9"],"name":"corten",
                "disableCheck":"True","plugins":[{"type":"bridge","capabilities":{"ips":true}}]}"#,
        )
        .unwrap();
        assert_eq!(list.cni_version, Version::V1_1_0);
        assert!(list.disable_check && !list.disable_gc);
        assert!(list.plugins[0].has_capability("ips"));
        assert!(!list.plugins[0].has_capability("mac"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases: &[(&str, &str)] = &[
            (r#"{"name":"n","plugins":[]}"#, "CNI version \"\" is not supported"),
            (r#"{"cniVersion":"2.0.0","name":"n"}"#, "CNI version \"2.0.0\" is not supported"),
            (r#"{"cniVersion":"1.1.0","name":"a/b"}"#, "network name \"a/b\" is not valid"),
            (r#"{"cniVersion":"1.1.0","name":"n","plugins":[{}]}"#, "plugins[0].type is missing"),
            (
                r#"{"cniVersion":"1.1.0","name":"n","plugins":[{"type":"../sh"}]}"#,
                "plugins[0].type \"../sh\" must be a plain",
            ),
            (r#"{"cniVersion":"1.1.0","name":"n","disableGC":3}"#, "disableGC must be true"),
            ("{", "EOF while parsing"),
        ];
        for (text, expected) in cases {
            let error = NetworkConfList::parse(text.as_bytes()).unwrap_err();
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            let message = format!("{error}: {cause}");
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}

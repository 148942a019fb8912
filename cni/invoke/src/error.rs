//! Why a network could not be worked on.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use corten_cni_types::{CniError, Command, ConfError, InvalidName, ResultError};

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// The folder has no configuration.
    #[error("no network is configured: {} has no *.conflist, *.conf or *.json file", dir.display())]
    NotConfigured {
        /// The folder.
        dir: PathBuf,
    },
    /// A configuration file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    ReadConf {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A configuration file is wrong.
    #[error("{} cannot be used", path.display())]
    Conf {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: ConfError,
    },
    /// The configuration that an attachment was made with, as it is cached, is wrong.
    #[error(
        "the cached configuration of network {network:?}, container {container_id}, is damaged"
    )]
    CachedConf {
        /// The network.
        network: String,
        /// The container.
        container_id: String,
        /// What is wrong.
        #[source]
        source: ConfError,
    },
    /// The configuration asks for something that its version lacks.
    #[error("{command} needs CNI version {needed} or newer, but network {network:?} has {version}")]
    Version {
        /// What was asked.
        command: Command,
        /// The network.
        network: String,
        /// Its version.
        version: &'static str,
        /// The least that is needed.
        needed: &'static str,
    },
    /// A parameter that the specification does not allow.
    #[error("the call's parameters are wrong")]
    Parameter {
        /// Which.
        #[source]
        source: InvalidName,
    },
    /// No folder has the plugin.
    #[error("CNI plugin {plugin:?} is in none of the folders {searched:?}")]
    NotFound {
        /// The plugin's type.
        plugin: String,
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// The plugin could not be run.
    #[error("cannot run {} {command}", plugin.display())]
    Run {
        /// The binary.
        plugin: PathBuf,
        /// The verb.
        command: Command,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The plugin did not end in time and was killed.
    #[error("{} {command} did not end within {limit:?} and was killed", plugin.display())]
    Timeout {
        /// The binary.
        plugin: PathBuf,
        /// The verb.
        command: Command,
        /// How long it had.
        limit: Duration,
    },
    /// The plugin wrote more than it may and was killed.
    #[error("{} {command} wrote more than {limit} bytes and was killed", plugin.display())]
    TooMuchOutput {
        /// The binary.
        plugin: PathBuf,
        /// The verb.
        command: Command,
        /// How much it may write.
        limit: usize,
    },
    /// The plugin failed and said why.
    #[error("{} {command} failed", plugin.display())]
    Plugin {
        /// The binary.
        plugin: PathBuf,
        /// The verb.
        command: Command,
        /// What it said.
        #[source]
        source: CniError,
    },
    /// The plugin failed without saying why in the specification's form.
    #[error("{} {command} ended with {status}; it wrote: {output}", plugin.display())]
    Exit {
        /// The binary.
        plugin: PathBuf,
        /// The verb.
        command: Command,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote.
        output: String,
    },
    /// The plugin succeeded, but what it wrote is not JSON.
    #[error("{} {command} wrote something that is not JSON", plugin.display())]
    Output {
        /// The binary.
        plugin: PathBuf,
        /// The verb.
        command: Command,
        /// What the decoder says.
        #[source]
        source: serde_json::Error,
    },
    /// The plugin succeeded, but what it wrote is not a result.
    #[error("{} {command} wrote a wrong result", plugin.display())]
    Result {
        /// The binary.
        plugin: PathBuf,
        /// The verb.
        command: Command,
        /// What is wrong.
        #[source]
        source: ResultError,
    },
    /// The cached result of ADD cannot be read, written or removed.
    #[error("the cached result {} cannot be used", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// CHECK of an attachment that was never added.
    #[error("{container_id}'s {ifname} was never added to network {network:?}: no cached result")]
    NotAdded {
        /// The network.
        network: String,
        /// The container.
        container_id: String,
        /// The interface.
        ifname: String,
    },
    /// Several steps of a teardown failed; each was tried.
    #[error("{} steps failed: {}", failures.len(), list(failures))]
    Several {
        /// What failed.
        failures: Vec<InvokeError>,
    },
}

impl InvokeError {
    /// The specification's code, when a plugin gave one.
    #[must_use]
    pub fn cni_code(&self) -> Option<u32> {
        if let Self::Plugin { source, .. } = self { Some(source.code) } else { None }
    }

    /// Nothing, the one failure, or all of them.
    pub(crate) fn collect(mut failures: Vec<Self>) -> Result<(), Self> {
        match failures.pop() {
            None => Ok(()),
            Some(only) if failures.is_empty() => Err(only),
            Some(last) => {
                failures.push(last);
                Err(Self::Several { failures })
            }
        }
    }
}

fn list(failures: &[InvokeError]) -> String {
    let texts: Vec<_> = failures
        .iter()
        .map(|failure| {
            let mut text = failure.to_string();
            let mut cause = std::error::Error::source(failure);
            while let Some(inner) = cause {
                text.push_str(": ");
                text.push_str(&inner.to_string());
                cause = inner.source();
            }
            text
        })
        .collect();
    texts.join("; ")
}

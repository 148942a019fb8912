//! Errors of the kubelet as a whole.

/// Why the kubelet could not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot work.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// A file that the kubelet needs cannot be read.
    #[error("cannot read {path}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The host does not tell what a Node must say.
    #[error("the host does not tell its {what}")]
    Host {
        /// What is missing.
        what: &'static str,
    },
    /// The cgroups of pods cannot be made.
    #[error("cannot prepare the cgroups of pods")]
    Cgroup(#[from] corten_runtime_cgroup::Error),
    /// The certificate or key of the kubelet's API cannot be used.
    #[error("cannot serve the kubelet's API")]
    Pki(#[from] corten_pki::PkiError),
    /// The address of the kubelet's API is taken or not this host's.
    #[error("cannot listen on {address} for the kubelet's API: is another kubelet running?")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// An error with all its causes on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

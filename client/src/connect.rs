//! A client from a kubeconfig file.

use std::path::{Path, PathBuf};

use kube::config::{KubeConfigOptions, Kubeconfig};

/// Why no client could be made from a kubeconfig file.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file can't be read or is not a kubeconfig.
    #[error("{path}: cannot be read as a kubeconfig", path = path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// The file is a kubeconfig, but no TLS client can be built with what it holds.
    #[error("{path}: no client can be built with its certificates", path = path.display())]
    Client {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<kube::Error>,
    },
}

/// A client for the current context of the kubeconfig at `path`. Nothing is sent yet.
///
/// # Errors
/// [`ConnectError`] names the file and what is wrong with it.
pub async fn connect_kubeconfig(path: &Path) -> Result<kube::Client, ConnectError> {
    let unreadable = |source| ConnectError::Kubeconfig { path: path.to_owned(), source };
    let file = Kubeconfig::read_from(path).map_err(unreadable)?;
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(unreadable)?;
    kube::Client::try_from(config)
        .map_err(|source| ConnectError::Client { path: path.to_owned(), source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let error = connect_kubeconfig(Path::new("/nonexistent/config")).await.err().unwrap();
        assert_eq!(error.to_string(), "/nonexistent/config: cannot be read as a kubeconfig");
    }
}

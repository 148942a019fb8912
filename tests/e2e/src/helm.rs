//! The real helm.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// helm with a cluster's kubeconfig.
#[derive(Debug)]
pub struct Helm {
    kubeconfig: PathBuf,
    home: tempfile::TempDir,
}

impl Helm {
    /// Whether it is installed.
    #[must_use]
    pub fn is_installed() -> bool {
        crate::on_path("helm")
    }

    /// helm that knows nothing of other runs.
    ///
    /// # Errors
    /// When no folder for its cache can be made.
    pub fn new(kubeconfig: &Path) -> Result<Self> {
        Ok(Self { kubeconfig: kubeconfig.to_owned(), home: tempfile::tempdir()? })
    }

    /// Its standard output.
    ///
    /// # Errors
    /// When it fails: with what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("helm")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .env("HOME", self.home.path())
            .stdin(Stdio::null())
            .output()
            .context("start helm")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "helm {}: {said}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }
}

//! The real kubectl.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};

/// kubectl with a cluster's kubeconfig.
#[derive(Debug)]
pub struct Kubectl {
    kubeconfig: PathBuf,
    home: tempfile::TempDir,
}

impl Kubectl {
    /// Whether it is installed.
    #[must_use]
    pub fn is_installed() -> bool {
        crate::on_path("kubectl")
    }

    /// kubectl that caches nothing between tests.
    ///
    /// # Errors
    /// When no folder for its cache can be made.
    pub fn new(kubeconfig: &Path) -> Result<Self> {
        Ok(Self { kubeconfig: kubeconfig.to_owned(), home: tempfile::tempdir()? })
    }

    /// A call that is yet to be made.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .env("HOME", self.home.path())
            .stdin(Stdio::null());
        command
    }

    /// Its output, whatever the exit code.
    ///
    /// # Errors
    /// When it can't be run.
    pub fn output(&self, arguments: &[&str], input: Option<&str>) -> Result<Output> {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().context("start kubectl")?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            stdin.write_all(input.as_bytes())?;
        }
        Ok(child.wait_with_output()?)
    }

    /// Its standard output.
    ///
    /// # Errors
    /// When it fails: with what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        self.feed(arguments, None)
    }

    /// Its standard output, given standard input.
    ///
    /// # Errors
    /// When it fails: with what it said.
    pub fn feed(&self, arguments: &[&str], input: Option<&str>) -> Result<String> {
        let output = self.output(arguments, input)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {}: {said}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What it says on standard error when it is refused.
    ///
    /// # Errors
    /// When it succeeds.
    pub fn refused(&self, arguments: &[&str], input: Option<&str>) -> Result<String> {
        let output = self.output(arguments, input)?;
        ensure!(!output.status.success(), "kubectl {} succeeded", arguments.join(" "));
        Ok(String::from_utf8(output.stderr)?)
    }
}

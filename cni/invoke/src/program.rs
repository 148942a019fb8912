//! One plugin's binary, and one call of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use corten_cni_types::{AddResult, CniError, Command};
use serde_json::Value;

use crate::InvokeError;
use crate::process::{self, Failure};

/// The variables that a plugin is given (specification, "Parameters").
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_NETNS`.
    pub netns: String,
    /// `CNI_IFNAME`.
    pub ifname: String,
    /// `CNI_ARGS`.
    pub args: String,
    /// `CNI_PATH`, colon-separated.
    pub path: String,
}

/// A plugin's binary.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
}

impl Program {
    /// Looks for a plugin in folders, in order.
    ///
    /// # Errors
    /// [`InvokeError::NotFound`].
    pub fn find(plugin_type: &str, folders: &[PathBuf]) -> Result<Self, InvokeError> {
        let not_found =
            || InvokeError::NotFound { plugin: plugin_type.to_owned(), searched: folders.to_vec() };
        if plugin_type.is_empty() || plugin_type.contains('/') || plugin_type.starts_with('.') {
            return Err(not_found());
        }
        folders
            .iter()
            .map(|folder| folder.join(plugin_type))
            .find(|path| path.is_file())
            .map(|path| Self { path })
            .ok_or_else(not_found)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs the plugin and returns what it wrote; nothing when it wrote nothing.
    ///
    /// # Errors
    /// Whatever went wrong in running it; [`InvokeError::Plugin`] when it failed by itself.
    pub fn call(
        &self,
        command: Command,
        environment: &Environment,
        conf: &Value,
        limit: Duration,
    ) -> Result<Option<Value>, InvokeError> {
        let plugin = self.path.clone();
        let variables = [
            ("CNI_COMMAND", command.as_str()),
            ("CNI_CONTAINERID", &environment.container_id),
            ("CNI_NETNS", &environment.netns),
            ("CNI_IFNAME", &environment.ifname),
            ("CNI_ARGS", &environment.args),
            ("CNI_PATH", &environment.path),
        ];
        let mut child = std::process::Command::new(&self.path);
        child.envs(variables);
        let input = conf.to_string();
        let output = process::run(&mut child, input.as_bytes(), limit).map_err(|failure| {
            let plugin = plugin.clone();
            match failure {
                Failure::Io(source) => InvokeError::Run { plugin, command, source },
                Failure::Timeout => InvokeError::Timeout { plugin, command, limit },
                Failure::TooMuchOutput => {
                    InvokeError::TooMuchOutput { plugin, command, limit: process::OUTPUT_BYTES_MAX }
                }
            }
        })?;
        if !output.stderr.is_empty() {
            let text = String::from_utf8_lossy(&output.stderr);
            tracing::debug!(plugin = %plugin.display(), %command, "{}", text.trim_end());
        }
        if !output.status.success() {
            return Err(failed(plugin, command, &output));
        }
        if output.stdout.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        match serde_json::from_slice(&output.stdout) {
            Ok(value) => Ok(Some(value)),
            Err(source) => Err(InvokeError::Output { plugin, command, source }),
        }
    }

    /// [`Program::call`] with ADD, or any verb that answers with a result.
    ///
    /// # Errors
    /// As [`Program::call`]; [`InvokeError::Result`] when the answer is not a result.
    pub fn call_for_result(
        &self,
        command: Command,
        environment: &Environment,
        conf: &Value,
        limit: Duration,
    ) -> Result<AddResult, InvokeError> {
        let value = self.call(command, environment, conf, limit)?.unwrap_or(Value::Null);
        AddResult::from_json(&value).map_err(|source| InvokeError::Result {
            plugin: self.path.clone(),
            command,
            source,
        })
    }
}

/// How much of a plugin's free text is put into an error.
const SHOWN_BYTES_MAX: usize = 2048;

fn failed(plugin: PathBuf, command: Command, output: &process::Output) -> InvokeError {
    if let Ok(source) = serde_json::from_slice::<CniError>(&output.stdout) {
        return InvokeError::Plugin { plugin, command, source };
    }
    let text = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    let start = text.len().saturating_sub(SHOWN_BYTES_MAX);
    let output_text = String::from_utf8_lossy(&text[start..]).trim().to_owned();
    InvokeError::Exit { plugin, command, status: output.status, output: output_text }
}

//! Logs: to standard error, for people.

use anyhow::{Context as _, Result};
use tracing_subscriber::EnvFilter;

/// The variable that raises or lowers what is logged, as `debug` or `corten_kubelet=debug`.
const VARIABLE: &str = "CORTEN_LOG";

/// Starts logging; once per process.
///
/// # Errors
/// When `CORTEN_LOG` is not a filter.
pub(crate) fn start() -> Result<()> {
    let filter = match std::env::var(VARIABLE) {
        Ok(text) => EnvFilter::try_new(&text)
            .with_context(|| format!("{VARIABLE}={text:?} is not a filter; try debug"))?,
        Err(std::env::VarError::NotPresent) => EnvFilter::new("info"),
        Err(error) => return Err(error).context(VARIABLE),
    };
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .with_target(false)
        .try_init()
        .map_err(anyhow::Error::from_boxed)
}

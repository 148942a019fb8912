//! The verbs, a file each.

pub(crate) mod apply;
pub(crate) mod check;
pub(crate) mod cri;
pub(crate) mod image;
pub(crate) mod reset;
pub(crate) mod server;
pub(crate) mod status;

use std::future::Future;
use std::io::Write as _;

use anyhow::{Context as _, Result};

use crate::config::Config;

/// A line on standard output.
pub(crate) fn print(text: &str) {
    // A closed pipe is the reader's way to say that it has seen enough.
    writeln!(std::io::stdout(), "{text}").unwrap_or_default();
}

/// Runs a verb that talks to the API server.
pub(crate) fn with_client<T, F>(config: &Config, verb: impl FnOnce(kube::Client) -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the async runtime")?
        .block_on(async {
            let client = corten_client::connect_kubeconfig(&config.kubeconfig)
                .await
                .context("is `corten server` running here?")?;
            verb(client).await
        })
}

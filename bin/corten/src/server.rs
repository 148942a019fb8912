//! A server: the components of a control plane and a node in one process.
//!
//! They meet only where separate processes would: the API server through a client, the runtime
//! through its socket. Containers belong to their shims and outlive this process.

mod control_plane;
pub(crate) mod images;
pub(crate) mod network;
mod node;
pub(crate) mod paths;

use std::time::Duration;

use anyhow::{Context as _, Result};
use corten_task::Tasks;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::folders;
use crate::identity;
use crate::lock::Lock;
use paths::Paths;

/// How long components may take to end: the kubelet's workers and open requests.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(10);

/// What a component ended with, before it was asked to.
type Ended = tokio::sync::mpsc::Sender<anyhow::Error>;

/// Runs until `stop` completes, then ends everything in order.
///
/// # Errors
/// When a component can't start, or ends by itself.
pub(crate) async fn run(config: Config, stop: impl Future<Output = ()>) -> Result<()> {
    let paths = Paths::new(&config);
    folders::prepare(&config)?;
    let _only = Lock::take(&config.run_dir)?;
    let node_name = config.node_name()?;
    let node_ip = config.node_ip()?;
    let bin_dir = config.bin_dir()?;
    for warning in corten_host::prepare().context("prepare this machine")? {
        tracing::warn!("{warning}");
    }
    let identities = identity::establish(&config, &node_name, node_ip)?;

    let control = Tasks::new();
    let node = Tasks::new();
    let (ended, mut failures) = tokio::sync::mpsc::channel(16);
    let api = control_plane::serve(&config, &paths, &identities, node_ip, &control).await?;
    control_plane::start(&config, &identities, &api, &control, &ended);
    let machine = node::Machine { node_name, node_ip, bin_dir };
    node::start(&config, &paths, &machine, &api, &node, &ended).await?;
    notify(&[NotifyState::Ready]);
    tracing::info!(kubeconfig = %config.kubeconfig.display(), "serving");

    let outcome = tokio::select! {
        () = stop => Ok(()),
        failure = failures.recv() => Err(failure.context("a component ended")?),
    };
    notify(&[NotifyState::Stopping]);
    tracing::info!("stopping; containers go on running");
    for (name, tasks) in [("node", node), ("control plane", control)] {
        if let Err(error) = tasks.shutdown(STOP_MAX).await {
            tracing::warn!("{name}: {error}");
        }
    }
    outcome
}

/// Runs a component that should only end when it is asked to.
fn supervise<E>(
    tasks: &Tasks,
    ended: &Ended,
    name: &'static str,
    component: impl Future<Output = Result<(), E>> + Send + 'static,
) where
    E: std::error::Error + Send + Sync + 'static,
{
    let (token, ended) = (tasks.token(), ended.clone());
    tasks.spawn_graceful(name, async move {
        let failure = match component.await {
            Ok(()) if token.is_cancelled() => return,
            Ok(()) => anyhow::anyhow!("it ended by itself").context(name),
            Err(error) => anyhow::Error::new(error).context(name),
        };
        // A full queue means that another failure is already being dealt with.
        ended.try_send(failure).unwrap_or_default();
    });
}

/// Completes when the process is asked to end.
///
/// # Errors
/// When signals cannot be handled.
pub(crate) fn until_told() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("handle SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Tells systemd, if it is listening.
pub(crate) fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}

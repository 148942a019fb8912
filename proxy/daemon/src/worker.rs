//! Brings plans into the kernel, off the asynchronous threads.

use std::time::Duration;

use corten_proxy_model::{Model, Plan, Warning};
use corten_proxy_nftables::{Config, Found, Proxy};
use corten_sys_netlink::NetlinkError;

use crate::Error;

/// The first and the longest wait after a failure.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// The kernel's side, which one blocking call at a time has.
#[derive(Debug)]
pub(crate) struct Worker {
    config: Config,
    /// Nothing after a failure: then the kernel is read anew.
    proxy: Option<Proxy>,
    /// Unused chains of an earlier process have been removed.
    swept: bool,
    retry: Duration,
    warnings: Vec<Warning>,
}

/// Runs kernel work; its panic becomes this task's.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Blocking work is only cancelled when the runtime ends, and this task with it.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}

fn open(config: Config) -> Result<(Proxy, Found), NetlinkError> {
    let mut proxy = Proxy::open(config)?;
    let found = proxy.start()?;
    Ok((proxy, found))
}

impl Worker {
    /// Takes over what the kernel has.
    pub(crate) async fn start(config: Config, model: &mut Model) -> Result<Self, Error> {
        let opened = config.clone();
        let (proxy, found) =
            blocking(move || open(opened)).await.map_err(|source| Error::Kernel { source })?;
        tracing::info!(frontends = found.frontends.len(), "rules taken over");
        model.adopt(found.frontends, found.local);
        Ok(Self {
            config,
            proxy: Some(proxy),
            swept: false,
            retry: RETRY_MIN,
            warnings: Vec::new(),
        })
    }

    pub(crate) fn warnings(&self) -> impl Iterator<Item = &Warning> {
        self.warnings.iter()
    }

    /// Brings the model's changes into the kernel. After a failure, which is logged, returns when
    /// to try again.
    pub(crate) async fn sync(&mut self, model: &mut Model) -> Option<Duration> {
        match self.try_sync(model).await {
            Ok(()) => {
                self.retry = RETRY_MIN;
                None
            }
            Err(error) => {
                let after = self.retry;
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, ?after, "rules cannot be changed; trying again");
                self.retry = (self.retry * 2).min(RETRY_MAX);
                Some(after)
            }
        }
    }

    async fn try_sync(&mut self, model: &mut Model) -> Result<(), NetlinkError> {
        let mut proxy = match self.proxy.take() {
            Some(proxy) => proxy,
            None => {
                // It is not known how far the plan that failed had come.
                let config = self.config.clone();
                let (proxy, found) = blocking(move || open(config)).await?;
                model.forget_committed();
                model.adopt(found.frontends, found.local);
                proxy
            }
        };
        let plan = model.plan();
        if plan.is_empty() && self.swept {
            self.warnings = plan.warnings.clone();
            model.commit(plan);
            self.proxy = Some(proxy);
            return Ok(());
        }
        let sweep = !std::mem::replace(&mut self.swept, true);
        let (proxy, plan, outcome) = blocking(move || {
            let outcome = apply(&mut proxy, &plan, sweep);
            (proxy, plan, outcome)
        })
        .await;
        outcome?;
        self.proxy = Some(proxy);
        tracing::debug!(changes = plan.changes.len(), "rules changed");
        self.warnings.clone_from(&plan.warnings);
        model.commit(plan);
        Ok(())
    }
}

fn apply(proxy: &mut Proxy, plan: &Plan, sweep: bool) -> Result<(), NetlinkError> {
    proxy.apply(plan)?;
    if let Err(error) = proxy.forget_flows(&plan.stale_flows()) {
        // The rules are right. Such flows end by themselves when their sender is silent.
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "flows to endpoints that are gone cannot be forgotten");
    }
    if sweep && let Err(error) = proxy.sweep() {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "chains that nothing uses cannot be removed");
    }
    Ok(())
}

//! What every request handler shares.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use corten_apiserver_store::Store;
use corten_task::{CancellationToken, Tasks};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::allocate::Allocators;
use crate::authn::token::Tokens;
use crate::authz::Rbac;
use crate::config::{Config, ServeError};
use crate::documents::Documents;
use crate::kubelet::Kubelet;

/// The server's state; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Api(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) config: Config,
    pub(crate) rbac: Rbac,
    pub(crate) tokens: Tokens,
    pub(crate) kubelet: Kubelet,
    pub(crate) allocators: Allocators,
    pub(crate) documents: Documents,
    /// Room for requests that only read, and for those that write.
    pub(crate) reading: Semaphore,
    pub(crate) writing: Semaphore,
    /// Whether everything that a cluster has from the start is there.
    pub(crate) ready: AtomicBool,
    /// Ends watches and connections.
    pub(crate) stop: CancellationToken,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Deref for Api {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Api {
    pub(crate) fn new(
        config: Config,
        store: Arc<dyn Store>,
        tasks: Tasks,
    ) -> Result<Self, ServeError> {
        let stop = tasks.token();
        Ok(Self(Arc::new(Inner {
            rbac: Rbac::new(),
            tokens: Tokens::new(&config)?,
            kubelet: Kubelet::new(&config.kubelet, tasks)?,
            allocators: Allocators::new(&config)?,
            documents: Documents::default(),
            reading: Semaphore::new(config.reading_max),
            writing: Semaphore::new(config.writing_max),
            ready: AtomicBool::new(false),
            stop,
            store,
            config,
        })))
    }

    /// The time, for timestamps of objects and tokens.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// An identifier that nothing had before.
    pub(crate) fn new_uid(&self) -> String {
        uuid::Uuid::new_v4().to_string()
    }
}

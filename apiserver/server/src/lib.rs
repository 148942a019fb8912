//! The Kubernetes API over HTTP: TLS, who asks, whether they may, and the verbs on every kind.
//!
//! A request goes by `dispatch` → `authn` → `authz` → `rest`, which knows no kind: what a kind is
//! comes from `corten-api-k8s` (names, schema) and `corten-apiserver-registry` (defaults,
//! validation, printing). Objects are read from the store's memory and written through its
//! transactions; `admission` stands before every write.
//!
//! Non-goals so far, refused with a clear error: server-side apply, custom resources,
//! protobuf answers (bodies are read), exec, attach and port-forward.
//!
//! Entry types: [`serve`], [`Config`], [`Handle`].
//! Privileges: none beyond the port that is listened on.

mod admission;
mod allocate;
mod authn;
mod authz;
mod body;
mod bootstrap;
mod config;
mod dispatch;
mod documents;
mod error;
mod kubelet;
mod listen;
mod negotiate;
mod protobuf;
mod request;
mod respond;
mod rest;
mod service;
mod state;
mod user;

use std::net::SocketAddr;
use std::sync::Arc;

use corten_apiserver_store::Store;
use corten_task::Tasks;

pub use body::Body;
pub use config::{Cidr, Config, KeyPairPem, KubeletConfig, ServeError, SigningKeyPem};
pub use service::InProcess;
pub use user::User;

/// A server that runs.
#[derive(Clone, Debug)]
pub struct Handle {
    address: SocketAddr,
    api: state::Api,
}

impl Handle {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server as a tower service that takes every request to be this user's.
    /// `system:authenticated` is added to the groups.
    #[must_use]
    pub fn service_as(&self, user: &str, groups: &[&str]) -> InProcess {
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        InProcess::new(self.api.clone(), Some(User::authenticated(user, &groups)))
    }

    /// The server as a tower service that knows nothing of who asks but what requests say.
    #[must_use]
    pub fn service(&self) -> InProcess {
        InProcess::new(self.api.clone(), None)
    }
}

/// Starts a server on a store; it ends when `tasks` is cancelled. Once this returns, what every
/// cluster has from the start is there.
///
/// # Errors
/// When the configuration is unusable, the address taken or the store does not write.
pub async fn serve(
    config: Config,
    store: Arc<dyn Store>,
    tasks: &Tasks,
) -> Result<Handle, ServeError> {
    let api = state::Api::new(config.clone(), store, tasks.clone())?;
    let address = listen::listen(&config, api.clone(), tasks).await?;
    let port = address.port();
    bootstrap::create(&api, port)
        .await
        .map_err(|status| ServeError::Bootstrap { problem: status.message })?;
    bootstrap::keep_up(&api, port, tasks);
    tracing::info!(%address, "the API server is ready");
    Ok(Handle { address, api })
}

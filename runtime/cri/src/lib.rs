//! The CRI service: what a kubelet or `crictl` speaks to, on a unix socket, to have pods and
//! containers made.
//!
//! `server/` turns requests into operations; `sandbox/` and `container/` carry them out, with a
//! shim for each pod (`shim/`), CNI plugins (`network/`), the image store (`images/`) and cgroups
//! (`cgroups/`); `streaming/` is behind exec, attach and port-forward; `spec/` writes the OCI
//! `config.json`; `store/` keeps on disk what must outlive the service; `recover.rs` takes over
//! what an earlier service left. Containers are the shims' children, so they run on when the
//! service is killed.
//!
//! Entry: [`serve`] with a [`Config`].
//!
//! Non-goals: Kubernetes objects (a kubelet's business), running containers itself, Windows.
//! Not there yet, and refused by name: user namespaces, devices and CDI, AppArmor
//! profiles, SELinux labels, checkpoints, pod metrics.
//!
//! Privileges: root.

mod cgroups;
mod clock;
mod config;
mod container;
mod error;
mod events;
mod host;
mod images;
mod network;
mod recover;
mod refuse;
mod sandbox;
mod server;
mod service;
mod shim;
mod signal;
mod spec;
mod stats;
mod store;
mod streaming;
#[cfg(test)]
mod tests;
mod user;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corten_runtime_image::ImageStore;
use corten_task::Tasks;

pub use config::{Cni, Config, Streaming};

use cgroups::SystemCgroups;
use clock::{RandomIds, SystemClock};
use error::chain;
use host::Host;
use images::StoredImages;
use network::CniNetwork;
use service::{Parts, Service};
use shim::ProcessShims;
use store::Store;
use streaming::Containers;

/// The service could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder or file that the service needs cannot be used.
    #[error("{doing} {}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Another service is at work in the same folder.
    #[error("{} is locked: is another corten running with the same root?", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// The machine has no cgroups to put containers in.
    #[error("find out about the cgroups of this machine")]
    Cgroups {
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The records of pods cannot be read.
    #[error("take over what was there before: {reason}")]
    Recover {
        /// Why not.
        reason: String,
    },
    /// Streams cannot be served.
    #[error("listen on {address} for exec, attach and port-forward")]
    Streaming {
        /// Where.
        address: IpAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The socket cannot be served any more.
    #[error("serve {}", socket.display())]
    Serve {
        /// Which.
        socket: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn file_error(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { doing, path, source }
}

/// Serves CRI on `config.socket` until `tasks` is cancelled. Pods that an earlier service left are
/// taken over before the first request is answered.
///
/// # Errors
/// [`Error`] when the service cannot start, or the socket fails.
pub async fn serve(config: Config, images: ImageStore, tasks: Tasks) -> Result<(), Error> {
    let _lock = server::lock(&config.root)?;
    let store =
        Store::open(&config.root).map_err(|error| Error::Recover { reason: chain(&error) })?;
    let cgroups =
        SystemCgroups::probe().map_err(|source| Error::Cgroups { source: Box::new(source) })?;
    let parts = Parts {
        shims: Arc::new(ProcessShims::new(
            config.shim_binary.clone(),
            config.state_dir(),
            tasks.clone(),
        )),
        network: Arc::new(CniNetwork::new(&config.cni)),
        images: Arc::new(StoredImages::new(images)),
        cgroups: Arc::new(cgroups),
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
    };
    let listener = server::bind(&config)?;
    let streaming = config.streaming.clone();
    let (urls, streams) = corten_runtime_streaming::bind(corten_runtime_streaming::Config {
        address: streaming.address,
        port: streaming.port,
    })
    .await
    .map_err(|source| Error::Streaming { address: streaming.address, source })?;
    let service = Service::new(config, Host::probe(), parts, store, urls, tasks);
    recover::recover(&service).await.map_err(|error| Error::Recover { reason: chain(&error) })?;
    streams.serve(Arc::new(Containers::new(&service)), &service.tasks);
    server::run(service, listener).await
}

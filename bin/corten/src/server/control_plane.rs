//! The store, the API server, the scheduler and the controllers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use corten_apiserver_server::{Cidr, Handle, KeyPairPem, KubeletConfig, SigningKeyPem};
use corten_apiserver_store::{Embedded, Options};
use corten_client::Informers;
use corten_pki::Issued;
use corten_task::Tasks;

use super::paths::Paths;
use super::{Ended, supervise};
use crate::config::{self, Config};
use crate::identity::Identities;

/// An API server in this process, and how its clients are made.
#[derive(Debug)]
pub(crate) struct Api {
    handle: Handle,
}

impl Api {
    /// A client that acts as `user`, a member of `groups`; its requests do not leave the process.
    pub(crate) fn client(&self, user: &str, groups: &[&str]) -> kube::Client {
        kube::Client::new(self.handle.service_as(user, groups), "default")
    }
}

/// Opens the store and serves the API on it.
///
/// # Errors
/// When the store is damaged or the port taken.
pub(crate) async fn serve(
    config: &Config,
    paths: &Paths,
    identities: &Identities,
    node_ip: IpAddr,
    tasks: &Tasks,
) -> Result<Api> {
    let database = paths.database.clone();
    if let Some(folder) = database.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let store = tokio::task::spawn_blocking(move || Embedded::open(&database, &Options::default()))
        .await
        .context("opening the store was interrupted")?
        .context("open the store")?;
    let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, config.apiserver.port));
    let key = &identities.service_accounts;
    let signing = SigningKeyPem {
        private_pem: key.private_pem().to_owned(),
        public_pem: key.public_pem().to_owned(),
        public_point: key.public_point().to_vec(),
    };
    let ca = &identities.ca_pem;
    let kubelet =
        KubeletConfig { client: key_pair(&identities.kubelet_client), ca_pem: ca.clone() };
    let serving = key_pair(&identities.apiserver);
    let mut settings =
        corten_apiserver_server::Config::new(listen, serving, ca.clone(), signing, kubelet);
    settings.advertise_address = Some(node_ip);
    let (base, prefix_len) = config::network("serviceCidr", &config.service_cidr)?;
    settings.service_cidr = Cidr { base, prefix_len };
    settings.issuer = format!("https://kubernetes.default.svc.{}", config.cluster_domain);
    settings.api_audiences = vec![settings.issuer.clone()];
    let handle = corten_apiserver_server::serve(settings, Arc::new(store), tasks)
        .await
        .context("start the API server")?;
    Ok(Api { handle })
}

fn key_pair(issued: &Issued) -> KeyPairPem {
    KeyPairPem { certificate_pem: issued.certificate_pem.clone(), key_pem: issued.key_pem.clone() }
}

/// Starts the scheduler and the controllers, each under its own name.
pub(crate) fn start(
    config: &Config,
    identities: &Identities,
    api: &Api,
    tasks: &Tasks,
    ended: &Ended,
) {
    // One watch per kind for both: what a controller may read, the scheduler may.
    let controllers = api.client("system:kube-controller-manager", &[]);
    let informers = Informers::new(controllers.clone(), tasks.clone());
    let settings = corten_controllers::Config {
        cluster_cidr: config.cluster_cidr.clone(),
        root_ca_pem: identities.ca_pem.clone(),
        ..corten_controllers::Config::default()
    };
    let run = corten_controllers::run(settings, controllers, informers.clone(), tasks.clone());
    supervise(tasks, ended, "controllers", run);
    let scheduler = api.client("system:kube-scheduler", &[]);
    let settings = corten_scheduler::Config::default();
    let run = corten_scheduler::run(settings, scheduler, informers, tasks.clone());
    supervise(tasks, ended, "scheduler", run);
}

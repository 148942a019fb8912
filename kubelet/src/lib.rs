//! The kubelet: makes the pods that are bound to this node run, and tells the API server how they
//! and the node are.
//!
//! Containers are reached through CRI only; they live in the runtime's hands and go on when the
//! kubelet ends. What the kubelet knows it reads from the API server and the runtime, so a restart
//! loses nothing.
//!
//! Non-goals: anything below CRI, scheduling, static pods, devices.
//! Entry: [`run`] with a [`Config`]. Privileges: root, for mounts, cgroups and the runtime's
//! socket.

mod cgroups;
mod config;
mod cri;
mod error;
mod honoured;
mod host;
mod images;
mod node;
mod objects;
mod pods;
mod probes;
mod rotation;
mod server;
mod volumes;

use std::sync::Arc;
use std::time::Duration;

use corten_client::{Informers, Recorder, Source};
use corten_task::Tasks;
use k8s_openapi::api::core::v1::{Pod, Service};

pub use config::{Config, ConfigError};
pub use error::Error;

use crate::cgroups::{Allocatable, Cgroups};
use crate::cri::Cri;
use crate::host::Host;
use crate::images::Images;
use crate::node::Machine;
use crate::objects::Objects;
use crate::pods::status::HostFacts;
use crate::volumes::Tokens;

/// Between two tries to reach the runtime while it starts.
const RUNTIME_RETRY: Duration = Duration::from_millis(200);
/// Own tasks have this long to end.
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);

/// Runs the kubelet until `tasks` is cancelled. Pods go on running after it.
///
/// # Errors
/// [`Error`] when it cannot start: a setting, a certificate, the port or the cgroups.
pub async fn run(
    config: Config,
    client: kube::Client,
    informers: Informers,
    tasks: Tasks,
) -> Result<(), Error> {
    config.validate()?;
    let token = tasks.token();
    let Some(started) = token.run_until_cancelled(start(config, client, &informers, &tasks)).await
    else {
        return Ok(());
    };
    let own = started?;
    token.cancelled().await;
    if let Err(error) = own.shutdown(SHUTDOWN_MAX).await {
        tracing::warn!(%error, "the kubelet ends with work under way");
    }
    Ok(())
}

/// Waits for the runtime, then starts every part. Returns the group of its tasks.
async fn start(
    config: Config,
    client: kube::Client,
    informers: &Informers,
    tasks: &Tasks,
) -> Result<Tasks, Error> {
    let own = tasks.child();
    let make = |path: &std::path::Path| {
        std::fs::create_dir_all(path)
            .map_err(|source| Error::File { path: path.to_owned(), source })
    };
    make(&config.root.join("pods"))?;
    make(&config.pod_logs_dir)?;
    let (cri, version) = runtime(&config).await;
    let runtime = format!("{}://{}", version.runtime_name, version.runtime_version);
    let machine = Machine::read(&config.root, runtime)?;
    let allocatable = Allocatable {
        cpu_milli: i64::from(machine.cpus) * 1000 - i64::from(config.system_reserved_cpu_milli),
        memory_bytes: i64::try_from(
            machine.memory_bytes.saturating_sub(config.system_reserved_memory_bytes),
        )
        .unwrap_or(i64::MAX),
    };
    let cgroups = Cgroups::prepare(&config.cgroup_root, allocatable, config.pod_pids_limit)?;
    let source = Source { component: "kubelet".to_owned(), host: Some(config.node_name.clone()) };
    let host = Arc::new(Host {
        recorder: Recorder::new(client.clone(), source, &own),
        images: Images::new(cri.clone()),
        config_maps: Objects::new(client.clone(), own.clone()),
        secrets: Objects::new(client.clone(), own.clone()),
        services: informers.get::<Service>(),
        tokens: Tokens::default(),
        facts: HostFacts {
            node_ip: config.node_ip.to_string(),
            runtime_name: version.runtime_name,
        },
        memory_capacity_bytes: i64::try_from(machine.memory_bytes).unwrap_or(i64::MAX),
        tasks: own.clone(),
        cri,
        client,
        cgroups,
        allocatable,
        config,
    });
    let pods = informers.select::<Pod>(&format!("spec.nodeName={}", host.config.node_name));
    let server = server::Server::bind(Arc::clone(&host), pods.clone()).await?;
    own.spawn("kubelet server", server.run());
    own.spawn("pods", pods::run(Arc::clone(&host), pods));
    own.spawn("node", node::run(Arc::clone(&host), machine));
    own.spawn("log rotation", rotation::run(host));
    Ok(own)
}

/// The runtime, as soon as it answers.
async fn runtime(config: &Config) -> (Cri, corten_api_cri::v1::VersionResponse) {
    let mut told = false;
    loop {
        let problem = match Cri::connect(&config.cri_socket).await {
            Ok(cri) => match cri.version().await {
                Ok(version) => return (cri, version),
                Err(error) => error::chain(&error),
            },
            Err(error) => error::chain(&error),
        };
        if !told {
            tracing::info!(cause = problem, "waiting for the container runtime");
            told = true;
        }
        tokio::time::sleep(RUNTIME_RETRY).await;
    }
}

//! The container runtime, the service proxy and the kubelet.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use corten_client::Informers;
use corten_runtime_cri::Cni;
use corten_runtime_image::ImageStore;
use corten_task::Tasks;

use super::control_plane::Api;
use super::paths::Paths;
use super::{Ended, images, network, supervise};
use crate::config::Config;

/// This machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) node_name: String,
    pub(crate) node_ip: IpAddr,
    pub(crate) bin_dir: PathBuf,
}

/// Starts what makes this machine a node.
///
/// # Errors
/// When the image store is damaged or a file can't be written.
pub(crate) async fn start(
    config: &Config,
    paths: &Paths,
    machine: &Machine,
    api: &Api,
    tasks: &Tasks,
    ended: &Ended,
) -> Result<()> {
    let (root, settings) = (paths.images.clone(), config.images.clone());
    let store = tokio::task::spawn_blocking(move || ImageStore::open(&root, settings))
        .await
        .context("opening the image store was interrupted")?
        .context("open the image store")?;
    images::serve(&paths.images_socket, store.clone(), tasks)?;
    network::link_plugins(paths, &machine.bin_dir)?;

    let runtime = corten_runtime_cri::serve(cri(config, paths, machine), store, tasks.clone());
    supervise(tasks, ended, "cri", runtime);

    let client = api.client(&format!("system:node:{}", machine.node_name), &["system:nodes"]);
    let informers = Informers::new(client.clone(), tasks.clone());
    let configure = network::configure(
        informers.get(),
        machine.node_name.clone(),
        paths.cni_conf.clone(),
        paths.cni_state.clone(),
    );
    tasks.spawn("pod network", configure);

    let proxy = api.client("system:kube-proxy", &["system:node-proxier"]);
    let rules = corten_proxy_daemon::run(
        proxy_settings(config, machine),
        proxy.clone(),
        Informers::new(proxy, tasks.clone()),
        tasks.clone(),
    );
    supervise(tasks, ended, "proxy", rules);

    let settings = kubelet(config, paths, machine)?;
    let kubelet = corten_kubelet::run(settings, client, informers, tasks.clone());
    supervise(tasks, ended, "kubelet", kubelet);
    Ok(())
}

fn cri(config: &Config, paths: &Paths, machine: &Machine) -> corten_runtime_cri::Config {
    corten_runtime_cri::Config {
        socket: paths.cri_socket.clone(),
        root: paths.cri.clone(),
        run_dir: config.run_dir.clone(),
        shim_binary: machine.bin_dir.join("corten-run"),
        cni: Cni {
            conf_dir: paths.cni_conf.clone(),
            bin_dirs: vec![paths.cni_bin.clone(), "/opt/cni/bin".into()],
            cache_dir: paths.cni_state.clone(),
            ..Cni::default()
        },
        ..corten_runtime_cri::Config::default()
    }
}

fn proxy_settings(config: &Config, machine: &Machine) -> corten_proxy_daemon::Config {
    corten_proxy_daemon::Config {
        node_name: Some(machine.node_name.clone()),
        cluster_cidrs: vec![config.cluster_cidr.clone()],
        service_cidrs: vec![config.service_cidr.clone()],
        ..corten_proxy_daemon::Config::default()
    }
}

fn kubelet(config: &Config, paths: &Paths, machine: &Machine) -> Result<corten_kubelet::Config> {
    let (_, dns) = config.service_addresses()?;
    Ok(corten_kubelet::Config {
        node_name: machine.node_name.clone(),
        node_ip: machine.node_ip,
        cri_socket: paths.cri_socket.clone(),
        root: paths.kubelet.clone(),
        pod_logs_dir: config.kubelet.pod_logs_dir.clone(),
        cgroup_root: config.kubelet.cgroup_root.clone(),
        listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, config.kubelet.port)),
        server_certificate: paths.pki.join("kubelet.crt"),
        server_key: paths.pki.join("kubelet.key"),
        client_ca: paths.pki.join("ca.crt"),
        max_pods: config.kubelet.max_pods,
        pod_pids_limit: config.kubelet.pod_pids_limit,
        cluster_dns: vec![dns],
        cluster_domain: config.cluster_domain.clone(),
        ..corten_kubelet::Config::default()
    })
}

//! `corten cri`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use corten_runtime_cri::Cni;
use corten_runtime_image::ImageStore;
use corten_task::Tasks;
use sd_notify::NotifyState;

use crate::config::Config;
use crate::folders;
use crate::lock::Lock;
use crate::server::paths::Paths;
use crate::server::{STOP_MAX, images, network, notify, until_told};
use crate::telemetry;

/// Options of `cri`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The unix socket to serve, instead of `cri.sock` in the run folder
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Where the network's configuration is; the first file by name is used
    #[arg(long, value_name = "DIR", default_value = "/etc/cni/net.d")]
    cni_conf_dir: PathBuf,
    /// Where network plugins are searched beside Corten's own; may be given more than once
    #[arg(long, value_name = "DIR", default_value = "/opt/cni/bin")]
    cni_bin_dir: Vec<PathBuf>,
}

pub(crate) fn run(config: Config, options: &Options) -> Result<ExitCode> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "corten cri makes namespaces and cgroups: run it as root, for example with sudo"
    );
    telemetry::start()?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the async runtime")?
        .block_on(serve(config, options))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config, options: &Options) -> Result<()> {
    let stop = until_told()?;
    let paths = Paths::new(&config);
    folders::prepare(&config)?;
    let _only = Lock::take(&config.run_dir)?;
    let bin_dir = config.bin_dir()?;
    let (root, settings) = (paths.images.clone(), config.images.clone());
    let store = tokio::task::spawn_blocking(move || ImageStore::open(&root, settings))
        .await
        .context("opening the image store was interrupted")?
        .context("open the image store")?;
    let tasks = Tasks::new();
    images::serve(&paths.images_socket, store.clone(), &tasks)?;
    network::link_plugins(&paths, &bin_dir)?;
    let mut bin_dirs = vec![paths.cni_bin.clone()];
    bin_dirs.extend(options.cni_bin_dir.iter().cloned());
    let cri = corten_runtime_cri::Config {
        socket: options.socket.clone().unwrap_or(paths.cri_socket),
        root: paths.cri,
        run_dir: config.run_dir.clone(),
        shim_binary: bin_dir.join("corten-run"),
        cni: Cni {
            conf_dir: options.cni_conf_dir.clone(),
            bin_dirs,
            cache_dir: paths.cni_state,
            ..Cni::default()
        },
        ..corten_runtime_cri::Config::default()
    };
    let socket = cri.socket.display().to_string();
    let service = corten_runtime_cri::serve(cri, store, tasks.clone());
    notify(&[NotifyState::Ready]);
    tracing::info!(socket, "serving CRI");
    tokio::select! {
        ended = service => ended.context("the container runtime ended")?,
        () = stop => {}
    }
    notify(&[NotifyState::Stopping]);
    tracing::info!("stopping; containers go on running");
    if let Err(error) = tasks.shutdown(STOP_MAX).await {
        tracing::warn!("{error}");
    }
    Ok(())
}

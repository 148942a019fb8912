//! `corten server`.

use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use crate::config::Config;
use crate::{server, telemetry};

/// Options of `server`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The Node's name, instead of the hostname
    #[arg(long)]
    node_name: Option<String>,
    /// The address by which others reach this machine
    #[arg(long)]
    node_ip: Option<IpAddr>,
}

pub(crate) fn run(mut config: Config, options: &Options) -> Result<ExitCode> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "corten server makes namespaces and cgroups: run it as root, for example with sudo"
    );
    telemetry::start()?;
    config.node_name = options.node_name.clone().or(config.node_name);
    config.node_ip = options.node_ip.or(config.node_ip);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the async runtime")?
        .block_on(async { server::run(config, server::until_told()?).await })?;
    Ok(ExitCode::SUCCESS)
}

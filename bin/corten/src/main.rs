//! The `corten` command: a Kubernetes node with its control plane, and the verbs to run it.
//!
//! Thin: it parses, wires the components together and runs them. Privileges: root, save for
//! `corten check`.

mod command;
mod config;
mod folders;
mod identity;
mod lock;
mod server;
mod telemetry;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "corten", version, about = "A Kubernetes node with its control plane bundled")]
struct Arguments {
    /// Settings; flags win over it. Missing is fine for the default path
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the control plane and this machine's node, in the foreground, until SIGTERM
    Server(command::server::Options),
    /// Run the container runtime alone, for crictl or another kubelet, until SIGTERM
    Cri(command::cri::Options),
    /// Say whether this machine can be a node, and what it lacks
    Check,
    /// Show the nodes, pods and services of the cluster
    Status(command::status::Options),
    /// Create or change the objects of YAML files
    Apply(command::apply::Options),
    /// Import, pull, list and remove images
    Image(command::image::Options),
    /// Stop everything and remove what Corten made on this machine
    Reset(command::reset::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return fail(&anyhow::anyhow!("the TLS provider was set up twice"));
    }
    let config = match config::Config::load(arguments.config.as_deref()) {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    let outcome = match &arguments.command {
        Command::Server(options) => command::server::run(config, options),
        Command::Cri(options) => command::cri::run(config, options),
        Command::Check => command::check::run(),
        Command::Status(options) => command::status::run(&config, options),
        Command::Apply(options) => command::apply::run(&config, options),
        Command::Image(options) => command::image::run(&config, options),
        Command::Reset(options) => command::reset::run(&config, options),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // Nobody reads it any more: the exit code still tells.
    writeln!(std::io::stderr(), "error: {error:#}").unwrap_or_default();
    ExitCode::FAILURE
}

//! `corten status`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::command::{print, with_client};
use crate::config::Config;
use crate::lock;

/// Options of `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Print nothing; the exit code tells whether a server runs and its node is Ready
    #[arg(long)]
    quiet: bool,
    /// Wait until the server runs and all its nodes are Ready, then print nothing
    #[arg(long)]
    wait: bool,
    /// Print only this machine's address, where NodePorts answer
    #[arg(long)]
    address: bool,
    /// How long to wait
    #[arg(long, default_value_t = 60)]
    timeout_seconds: u64,
}

/// How often to look while waiting.
const PERIOD: Duration = Duration::from_millis(50);

pub(crate) fn run(config: &Config, options: &Options) -> Result<ExitCode> {
    if options.wait {
        return wait(config, Duration::from_secs(options.timeout_seconds));
    }
    if options.address {
        print(&config.node_ip()?.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let running = lock::holder(&config.run_dir)?.is_some();
    if options.quiet {
        let ready = running && with_client(config, nodes_are_ready).unwrap_or(false);
        return Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if !running {
        bail!("no corten server runs on this machine");
    }
    with_client(config, show)?;
    Ok(ExitCode::SUCCESS)
}

fn wait(config: &Config, limit: Duration) -> Result<ExitCode> {
    let end = std::time::Instant::now() + limit;
    loop {
        // Its files appear one by one while it starts: any error may pass.
        let outcome = match lock::holder(&config.run_dir)? {
            Some(_) if config.kubeconfig.exists() => with_client(config, nodes_are_ready),
            Some(_) => Ok(false),
            // It may be about to start.
            None => Err(anyhow::anyhow!("no corten server runs on this machine")),
        };
        match outcome {
            Ok(true) => return Ok(ExitCode::SUCCESS),
            Ok(false) | Err(_) if std::time::Instant::now() < end => std::thread::sleep(PERIOD),
            Ok(false) => bail!("no node is Ready after {} s", limit.as_secs()),
            Err(error) => return Err(error),
        }
    }
}

async fn nodes_are_ready(client: Client) -> Result<bool> {
    let nodes = Api::<Node>::all(client).list(&ListParams::default()).await?;
    Ok(!nodes.items.is_empty() && nodes.iter().all(is_ready))
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn show(client: Client) -> Result<()> {
    let all = ListParams::default();
    let nodes = Api::<Node>::all(client.clone()).list(&all).await.context("list nodes")?;
    let pods = Api::<Pod>::all(client.clone()).list(&all).await.context("list pods")?;
    let services = Api::<Service>::all(client).list(&all).await.context("list services")?;
    table(&["NODE", "STATUS", "ADDRESS", "VERSION"], nodes.iter().map(node_row));
    print("");
    table(&["NAMESPACE", "POD", "READY", "PHASE", "RESTARTS", "IP"], pods.iter().map(pod_row));
    print("");
    table(
        &["NAMESPACE", "SERVICE", "TYPE", "CLUSTER-IP", "PORTS"],
        services.iter().map(service_row),
    );
    Ok(())
}

fn node_row(node: &Node) -> Vec<String> {
    let status = node.status.as_ref();
    let address = status
        .and_then(|status| status.addresses.as_ref())
        .and_then(|all| all.iter().find(|address| address.type_ == "InternalIP"))
        .map(|address| address.address.clone());
    let version = status
        .and_then(|status| status.node_info.as_ref())
        .map(|info| info.kubelet_version.clone());
    let ready = if is_ready(node) { "Ready" } else { "NotReady" };
    vec![node.name_any(), ready.to_owned(), or_none(address), or_none(version)]
}

fn pod_row(pod: &Pod) -> Vec<String> {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or(&[]);
    let ready = containers.iter().filter(|container| container.ready).count();
    let all = pod.spec.as_ref().map_or(0, |spec| spec.containers.len());
    let restarts: i32 = containers.iter().map(|container| container.restart_count).sum();
    vec![
        pod.namespace().unwrap_or_default(),
        pod.name_any(),
        format!("{ready}/{all}"),
        or_none(status.and_then(|status| status.phase.clone())),
        restarts.to_string(),
        or_none(status.and_then(|status| status.pod_ip.clone())),
    ]
}

fn service_row(service: &Service) -> Vec<String> {
    let spec = service.spec.as_ref();
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or(&[]);
    let ports = ports.iter().map(|port| match port.node_port {
        Some(node_port) => format!("{}:{node_port}", port.port),
        None => port.port.to_string(),
    });
    vec![
        service.namespace().unwrap_or_default(),
        service.name_any(),
        or_none(spec.and_then(|spec| spec.type_.clone())),
        or_none(spec.and_then(|spec| spec.cluster_ip.clone())),
        ports.collect::<Vec<_>>().join(","),
    ]
}

fn or_none(text: Option<String>) -> String {
    text.unwrap_or_else(|| "<none>".to_owned())
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let head = head.iter().map(|&cell| cell.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max();
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        print(cells.collect::<Vec<_>>().join("   ").trim_end());
    }
}

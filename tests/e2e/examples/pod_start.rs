//! How long a pod takes from its creation to Running, as a client sees it, one after another.
//!
//! `cargo run -p corten-tests-e2e --example pod_start [COUNT]` on a cluster that `cargo xtask up`
//! has started; needs root for its kubeconfig. Prints milliseconds: minimum, median, 99th
//! percentile, maximum.

#![allow(clippy::print_stdout, reason = "this is what it is for")]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::json;

const KUBECONFIG: &str = "/etc/corten/kubeconfig";
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let count = match std::env::args().nth(1) {
        Some(text) => text.parse().context("COUNT is a number")?,
        None => 50,
    };
    ensure!(count > 0, "COUNT is at least 1");
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let client = corten_client::connect_kubeconfig(Path::new(KUBECONFIG)).await?;
        let mut times = Vec::new();
        for number in 0..count {
            times.push(measure(&client, number).await?.as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
        println!(
            "{count} pods, ms from create to Running: min {:.0}, p50 {:.0}, p99 {:.0}, max {:.0}",
            at(0),
            at(50),
            at(99),
            at(100)
        );
        Ok(())
    })
}

async fn measure(client: &Client, number: usize) -> Result<Duration> {
    let name = format!("pod-start-{number}");
    let pod = serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "web", "image": "corten.local/web:1" }],
        },
    }))?;
    let api = Api::<Pod>::namespaced(client.clone(), "default");
    let start = Instant::now();
    api.create(&PostParams::default(), &pod).await?;
    let running = await_condition(api.clone(), &name, |pod: Option<&Pod>| {
        let phase = pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref());
        phase == Some("Running")
    });
    tokio::time::timeout(LIMIT, running).await.with_context(|| format!("{name} is late"))??;
    let took = start.elapsed();
    api.delete(&name, &DeleteParams::default().grace_period(0)).await?;
    Ok(took)
}

//! The controllers: each watches some kinds and brings what is there towards what is wanted.
//!
//! All have one shape: watch → key → reconcile(key) → create, patch or delete. The runner gives
//! each controller a queue of keys (every key at most once, with back-off per key), workers, and
//! a record of its own writes, so that nothing is decided on a cache that does not show them yet.
//! What is to be done is computed by pure functions; the controllers carry it out.
//!
//! Non-goals: leader election, and knowledge of how any other component works inside.
//! Entry types: [`Config`], [`run`]. Privileges: none of the host; of the API server, those of
//! `system:kube-controller-manager`.

mod claim;
mod clock;
mod context;
mod deployment;
mod endpoints;
mod endpointslice;
mod error;
mod garbage_collector;
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod objects;
mod pod_gc;
mod pods;
mod replicaset;
mod root_ca_publisher;
mod runner;
mod service_account;
mod service_endpoints;
mod taint_eviction;

use std::net::IpAddr;

use corten_client::Informers;
use corten_task::Tasks;
use kube::Client;
use serde::{Deserialize, Serialize};

pub use clock::Clock;
use context::Context;

/// What can be set about the controllers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// The addresses of all pods; every node gets a part of them. Default: `10.42.0.0/16`.
    pub cluster_cidr: String,
    /// The length of the prefix that a node gets. Default: 24.
    pub node_cidr_mask_size: u8,
    /// The certificates, in PEM, that the API server's certificate is verified with; published in
    /// every namespace. Default: none, and nothing is published.
    pub root_ca_pem: String,
    /// How long a node may be silent before it counts as lost. Default: 50 s.
    pub node_monitor_grace_period_seconds: u32,
    /// How many ended pods are kept. Default: 12,500.
    pub terminated_pod_gc_threshold: usize,
    /// How many objects of a kind are reconciled at the same time. Default: 5.
    pub concurrent_syncs: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster_cidr: "10.42.0.0/16".to_owned(),
            node_cidr_mask_size: 24,
            root_ca_pem: String::new(),
            node_monitor_grace_period_seconds: 50,
            terminated_pod_gc_threshold: 12_500,
            concurrent_syncs: 5,
        }
    }
}

/// The controllers can't run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A setting that can't work.
    #[error("{field}: {problem}")]
    Config {
        /// The setting.
        field: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

/// A controller, by upstream's name, and how it is started.
type Registration = (&'static str, fn(&Context));

/// All controllers.
const CONTROLLERS: &[Registration] = &[
    ("deployment-controller", deployment::start),
    ("replicaset-controller", replicaset::start),
    ("endpointslice-controller", endpointslice::start),
    ("endpoints-controller", endpoints::start),
    ("namespace-controller", namespace::start),
    ("garbage-collector-controller", garbage_collector::start),
    ("serviceaccount-controller", service_account::start),
    ("root-ca-certificate-publisher-controller", root_ca_publisher::start),
    ("node-lifecycle-controller", node_lifecycle::start),
    ("taint-eviction-controller", taint_eviction::start),
    ("node-ipam-controller", node_ipam::start),
    ("pod-garbage-collector-controller", pod_gc::start),
];

/// Runs all controllers until `tasks` is cancelled.
///
/// # Errors
/// [`Error`] when a setting can't work; nothing has been started then.
pub async fn run(
    config: Config,
    client: Client,
    informers: Informers,
    tasks: Tasks,
) -> Result<(), Error> {
    config.check()?;
    let token = tasks.token();
    let context = Context::new(config, client, informers, tasks, Clock::system());
    for (name, start) in CONTROLLERS {
        tracing::debug!(controller = name, "starting");
        start(&context.of_component(name));
    }
    token.cancelled().await;
    Ok(())
}

impl Config {
    fn check(&self) -> Result<(), Error> {
        let bad = |field, problem: String| Err(Error::Config { field, problem });
        if self.concurrent_syncs == 0 {
            return bad("concurrentSyncs", "must be at least 1".to_owned());
        }
        let Some((IpAddr::V4(_), length)) = self.cluster_network() else {
            let given = &self.cluster_cidr;
            return bad("clusterCidr", format!("{given:?} is not an IPv4 network as 10.42.0.0/16"));
        };
        let size = self.node_cidr_mask_size;
        if size < length || size > 30 {
            return bad("nodeCidrMaskSize", format!("{size} is not between {length} and 30"));
        }
        Ok(())
    }

    fn cluster_network(&self) -> Option<(IpAddr, u8)> {
        let (address, length) = self.cluster_cidr.split_once('/')?;
        let (address, length): (IpAddr, u8) = (address.parse().ok()?, length.parse().ok()?);
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (length <= longest).then_some((address, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_named() {
        assert_eq!(Config::default().check(), Ok(()));
        let field = |config: Config| match config.check() {
            Err(Error::Config { field, .. }) => field,
            Ok(()) => "none",
        };
        let cidr = Config { cluster_cidr: "10.42.0.0".to_owned(), ..Config::default() };
        assert_eq!(field(cidr), "clusterCidr");
        let mask = Config { node_cidr_mask_size: 8, ..Config::default() };
        assert_eq!(field(mask), "nodeCidrMaskSize");
        let syncs = Config { concurrent_syncs: 0, ..Config::default() };
        assert_eq!(field(syncs), "concurrentSyncs");
    }

    #[test]
    fn unknown_settings_are_refused() {
        let error = serde_json::from_str::<Config>(r#"{"clusterCIDR":"10.0.0.0/8"}"#).unwrap_err();
        assert!(error.to_string().contains("clusterCIDR"), "{error}");
    }
}

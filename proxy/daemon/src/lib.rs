//! The service proxy of a node: watches Services and EndpointSlices and keeps the kernel's rules
//! equal to what they mean.
//!
//! A change is in the kernel as soon as the watch tells of it: nothing waits for a period. What
//! comes while a batch is being committed is gathered into the next one. When the process ends, the
//! rules stay, so that connections go on; [`cleanup`] removes them. At the start the rules that are
//! there are taken over.
//!
//! `127.0.0.1:<node port>` is not served (see `proxy/nftables`). With `externalTrafficPolicy:
//! Local` a node port leads to endpoints of the node for everybody, the node's own pods included.
//!
//! Non-goals: making the pods' network; DNS; health endpoints.
//! Entry types: [`Config`], [`run`], [`cleanup`].
//! Privileges: CAP_NET_ADMIN; to watch Services and EndpointSlices and to create Events.

mod convert;
mod host;
mod state;
mod worker;

use std::net::IpAddr;

use corten_client::{EventType, Informers, Recorder, Source};
use corten_proxy_model::Warning;
use corten_proxy_nftables::Network;
use corten_sys_netlink::NetlinkError;
use corten_task::Tasks;
use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::{ObjectReference, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::{Deserialize, Serialize};

use state::{Event, State};
use worker::Worker;

/// How many changes are gathered into one plan at most.
const GATHERED_MAX: usize = 4096;

/// The proxy's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// This node's name: endpoints of the node are told by it. Default: none, so that no endpoint
    /// is local.
    pub node_name: Option<String>,
    /// Where pods' addresses come from, one of each family. Packets to Services' addresses from
    /// elsewhere are masqueraded. Default: `10.42.0.0/16`.
    pub cluster_cidrs: Vec<String>,
    /// Where Services' addresses come from, one of each family. Default: `10.43.0.0/16`.
    pub service_cidrs: Vec<String>,
    /// Masquerade all packets to Services' addresses. Default: false.
    pub masquerade_all: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node_name: None,
            cluster_cidrs: vec!["10.42.0.0/16".to_owned()],
            service_cidrs: vec!["10.43.0.0/16".to_owned()],
            masquerade_all: false,
        }
    }
}

/// Why the proxy cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A network in the configuration is wrong.
    #[error("{field}[{index}] {text:?} is not a network such as 10.43.0.0/16")]
    Network {
        /// The configuration's field.
        field: &'static str,
        /// Which of its entries.
        index: usize,
        /// What was given.
        text: String,
    },
    /// A setting of the kernel cannot be made.
    #[error("cannot set {path} to {value}")]
    Setting {
        /// The setting's file.
        path: String,
        /// The value.
        value: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// nf_tables cannot be used at all.
    #[error("cannot use nf_tables: is the kernel's module there, and is this root?")]
    Kernel {
        /// What the kernel says.
        #[source]
        source: NetlinkError,
    },
}

/// Runs until `tasks` are cancelled. The rules stay.
///
/// # Errors
/// [`Error`], at the start. Later failures are logged and tried again.
pub async fn run(
    config: Config,
    client: kube::Client,
    informers: Informers,
    tasks: Tasks,
) -> Result<(), Error> {
    let rules = rules_config(&config)?;
    host::prepare(rules.pod_networks.iter().any(|network| network.address.is_ipv6()))?;
    let token = tasks.token();
    let source = Source { component: "corten-proxy".to_owned(), host: config.node_name.clone() };
    let recorder = Recorder::new(client, source, &tasks);
    let services = informers.get::<Service>();
    let slices = informers.get::<EndpointSlice>();
    let mut events = futures::stream::select(
        services.subscribe().map(Event::Service).boxed(),
        slices.subscribe().map(Event::Slice).boxed(),
    );
    // Until both are known, a Service without endpoints may only be one whose endpoints are not
    // here yet: what the kernel has from before must not be touched.
    let both = async {
        services.ready().await;
        slices.ready().await;
    };
    if token.run_until_cancelled(both).await.is_none() {
        return Ok(());
    }
    let mut state = State::new(config.node_name.as_deref(), services.store(), slices.store());
    let mut worker = Worker::start(rules, &mut state.model).await?;
    let mut told = std::collections::BTreeSet::new();
    let mut retry = None;
    loop {
        let next = async {
            match retry {
                // A failure is tried again also when nothing happens.
                Some(after) => tokio::time::timeout(after, events.next()).await.ok(),
                None => Some(events.next().await),
            }
        };
        match token.run_until_cancelled(next).await {
            None | Some(Some(None)) => return Ok(()),
            Some(None) => {}
            Some(Some(Some(event))) => {
                state.apply(event);
                let mut gathered = 1;
                while gathered < GATHERED_MAX
                    && let Some(Some(event)) = events.next().now_or_never()
                {
                    state.apply(event);
                    gathered += 1;
                }
            }
        }
        retry = worker.sync(&mut state.model).await;
        tell(&recorder, &mut told, state.warnings().chain(worker.warnings()));
    }
}

/// Removes the rules, if there are any. To be called when no proxy runs.
///
/// # Errors
/// What the kernel refuses.
pub fn cleanup() -> Result<(), NetlinkError> {
    corten_proxy_nftables::cleanup()
}

/// Posts an event for each warning that is new; one that is gone may be told again.
fn tell<'a>(
    recorder: &Recorder,
    told: &mut std::collections::BTreeSet<Warning>,
    warnings: impl Iterator<Item = &'a Warning>,
) {
    let now: std::collections::BTreeSet<Warning> = warnings.cloned().collect();
    for warning in now.difference(told) {
        let Warning { service, reason, message } = warning;
        tracing::warn!(%service, reason, "{message}");
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Service".to_owned()),
            namespace: Some(service.namespace.clone()),
            name: Some(service.name.clone()),
            ..ObjectReference::default()
        };
        recorder.event(&regarding, EventType::Warning, reason, message.clone());
    }
    *told = now;
}

fn rules_config(config: &Config) -> Result<corten_proxy_nftables::Config, Error> {
    Ok(corten_proxy_nftables::Config {
        service_networks: networks("serviceCidrs", &config.service_cidrs)?,
        pod_networks: networks("clusterCidrs", &config.cluster_cidrs)?,
        masquerade_all: config.masquerade_all,
    })
}

fn networks(field: &'static str, texts: &[String]) -> Result<Vec<Network>, Error> {
    let parse = |text: &str| -> Option<Network> {
        let (address, prefix) = text.split_once('/')?;
        let (address, prefix): (IpAddr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
        let width = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= width).then_some(Network { address, prefix })
    };
    texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            parse(text).ok_or_else(|| Error::Network { field, index, text: text.clone() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_network_is_named() {
        let config = Config {
            service_cidrs: vec!["10.43.0.0/16".into(), "10.43.0.0".into()],
            ..Config::default()
        };
        let error = rules_config(&config).unwrap_err();
        let expected = "serviceCidrs[1] \"10.43.0.0\" is not a network such as 10.43.0.0/16";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn unknown_options_are_refused() {
        let error = serde_json::from_str::<Config>(r#"{"nodename":"x"}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `nodename`"), "{error}");
        let config: Config = serde_json::from_str(r#"{"nodeName":"x"}"#).unwrap();
        assert_eq!(config, Config { node_name: Some("x".into()), ..Config::default() });
    }
}

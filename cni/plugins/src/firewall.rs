//! `firewall`: lets packets from and to a container pass through the host, and with an ingress
//! policy keeps bridges apart.
//!
//! The rules are in a table of our own. In nf_tables no table can let pass what another one
//! discards: where a chain of another table discards by its policy what it does not know, ADD
//! fails and names it, instead of giving the container an address that nobody can reach.

mod rules;

use corten_cni_types::{AddResult, CniError, IpNet, codes};
use corten_sys_netlink::route::LinkKind;
use serde::Deserialize;

use crate::interface::{self, kernel};
use crate::skel::Call;
use crate::{Plugin, conf, nft};

pub(crate) use rules::table;

pub(crate) const PLUGIN: Plugin = Plugin { name: "firewall", add, del, check, gc, status };

const HONOURED: &[&str] = &["backend", "ingressPolicy"];

/// Which new connections reach a container, besides those from the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum IngressPolicy {
    /// All.
    #[default]
    #[serde(alias = "")]
    Open,
    /// Those from its own bridge and from elsewhere, but not from other bridges with a policy.
    SameBridge,
    /// As `same-bridge`, and not from its own bridge.
    Isolated,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    backend: Option<String>,
    #[serde(default)]
    ingress_policy: IngressPolicy,
}

impl Options {
    fn read(call: &Call) -> Result<Self, CniError> {
        let options: Self = conf::read(call, HONOURED)?;
        conf::refuse_backend("backend", options.backend.as_deref())?;
        Ok(options)
    }
}

/// The container's addresses.
fn addresses(result: &AddResult) -> Vec<IpNet> {
    result.ips.iter().map(|ip| IpNet::host(ip.address.address())).collect()
}

/// The bridge that the container is on: the result's first interface, as `bridge` has it.
fn bridge(options: &Options, result: &AddResult) -> Result<Option<String>, CniError> {
    if options.ingress_policy == IngressPolicy::Open {
        return Ok(None);
    }
    match result.interfaces.first() {
        Some(first) if first.sandbox.is_empty() && !first.name.is_empty() => {
            Ok(Some(first.name.clone()))
        }
        _ => {
            let msg = "ingressPolicy needs a plugin before it that makes a bridge";
            Err(CniError::new(codes::INVALID_CONFIG, msg))
        }
    }
}

fn add(call: &Call) -> Result<AddResult, CniError> {
    let options = Options::read(call)?;
    let result = interface::previous(call)?;
    let bridge = bridge(&options, result)?;
    refuse_closed_chains(codes::INVALID_CONFIG)?;
    let isolated = options.ingress_policy == IngressPolicy::Isolated;
    rules::add(&nft::owner_of(call), &addresses(result), bridge.as_deref(), isolated)?;
    Ok(result.clone())
}

fn refuse_closed_chains(code: u32) -> Result<(), CniError> {
    let Some(closed) = rules::closed_chains()?.into_iter().next() else { return Ok(()) };
    let msg = format!("forwarding cannot be allowed: chain {closed} discards by its policy");
    let details = "accept the containers' network in that chain and take the firewall plugin out \
                   of the network's list, or set the chain's policy to accept"
        .to_owned();
    Err(CniError { details, ..CniError::new(code, msg) })
}

/// The bridges' rules stay: other containers may be on them. GC removes those of bridges that are
/// gone.
fn del(call: &Call) -> Result<(), CniError> {
    rules::remove(|owner| owner == nft::owner_of(call))
}

fn check(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    let result = interface::previous(call)?;
    let wrong = |msg: String| Err(CniError::new(codes::INTERNAL, msg));
    let present = rules::present()?;
    for address in addresses(result) {
        if !present.addresses.contains(&nft::octets(address.address())) {
            return wrong(format!("{} is not allowed any more", address.address()));
        }
    }
    let isolated = options.ingress_policy == IngressPolicy::Isolated;
    if let Some(bridge) = bridge(&options, result)?
        && !present.is_separate(&bridge, isolated)
    {
        return wrong(format!("bridge {bridge} is not kept apart any more"));
    }
    refuse_closed_chains(codes::INTERNAL)
}

fn gc(call: &Call) -> Result<(), CniError> {
    rules::remove(nft::is_gone(call))?;
    let links = interface::links()?.links().map_err(kernel("list links"))?;
    // A bridge without ports has nobody who could be reached.
    let in_use = |name: &str| {
        let bridge = links.iter().find(|it| it.kind == LinkKind::Bridge && it.name == name);
        bridge.is_some_and(|it| links.iter().any(|port| port.master == Some(it.index)))
    };
    rules::remove_bridges(|name| !in_use(name))
}

fn status(call: &Call) -> Result<(), CniError> {
    Options::read(call)?;
    refuse_closed_chains(codes::NOT_AVAILABLE)
}

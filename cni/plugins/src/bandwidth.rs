//! `bandwidth`: limits how fast a container receives and sends.
//!
//! What the container receives leaves the host's end of its pair, whose queue is a token bucket.
//! What it sends comes in there, where there is no queue: it is redirected to a link of the kind
//! `ifb`, whose queue is one.

use corten_cni_types::{AddResult, CniError, codes};
use corten_sys_netlink::route::{Link, LinkChange, LinkKind, Links, NewLink, TokenBucket};
use rustix::io::Errno;
use serde::Deserialize;

use crate::interface::{self, kernel, shown};
use crate::skel::Call;
use crate::{Plugin, conf, netns, nft};

pub(crate) const PLUGIN: Plugin = Plugin {
    name: "bandwidth",
    add,
    del,
    check,
    gc,
    status: |call| Options::read(call).map(|_options| ()),
};

const HONOURED: &[&str] = &["ingressRate", "ingressBurst", "egressRate", "egressBurst"];

/// How long packets wait at most, in milliseconds: what comes beyond is dropped.
const LATENCY_MS: u64 = 25;

/// The reference plugin's names, so that either removes what the other made.
const IFB_PREFIX: &str = "bwp";
const INTERFACE_NAME_MAX: usize = 15;

/// Rates in bits a second, bursts in bits; seen from the container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Written {
    ingress_rate: u64,
    ingress_burst: u64,
    egress_rate: u64,
    egress_burst: u64,
}

#[derive(Debug, Clone, Copy)]
struct Options {
    ingress: Option<TokenBucket>,
    egress: Option<TokenBucket>,
}

impl Options {
    /// What the administrator writes comes before what the runtime is told.
    fn read(call: &Call) -> Result<Self, CniError> {
        let mut written: Written = conf::read(call, HONOURED)?;
        let runtime = conf::arguments(call, "runtimeConfig").and_then(|it| it.get("bandwidth"));
        if written == Written::default()
            && let Some(runtime) = runtime.filter(|runtime| !runtime.is_null())
        {
            written = serde_json::from_value(runtime.clone()).map_err(|error| {
                CniError::caused(codes::INVALID_CONFIG, "runtimeConfig.bandwidth", &error)
            })?;
        }
        Ok(Self {
            ingress: bucket("ingress", written.ingress_rate, written.ingress_burst)?,
            egress: bucket("egress", written.egress_rate, written.egress_burst)?,
        })
    }
}

fn bucket(what: &str, rate_bits: u64, burst_bits: u64) -> Result<Option<TokenBucket>, CniError> {
    let bad = |msg| Err(CniError::new(codes::INVALID_CONFIG, msg));
    let (rate, burst) = (rate_bits / 8, burst_bits / 8);
    if rate_bits == 0 && burst_bits == 0 {
        return Ok(None);
    }
    if rate == 0 || burst == 0 {
        return bad(format!("{what}Rate and {what}Burst come together, with 8 bits at least"));
    }
    let Ok(burst) = u32::try_from(burst) else {
        return bad(format!("{what}Burst {burst_bits} is more than 4 GiB"));
    };
    let waiting = u128::from(rate) * u128::from(LATENCY_MS) / 1000 + u128::from(burst);
    Ok(Some(TokenBucket { rate, burst, limit: u32::try_from(waiting).unwrap_or(u32::MAX) }))
}

fn ifb_name(network: &str, container_id: &str) -> String {
    let mut name = format!("{IFB_PREFIX}{}", nft::hash(&format!("{network}{container_id}")));
    name.truncate(INTERFACE_NAME_MAX);
    name
}

/// The host's end of the container's pair; it must be among the result's interfaces.
fn host_end(call: &Call, links: &mut Links, result: &AddResult) -> Result<Link, CniError> {
    let namespace = netns::open(&call.netns)?;
    let inside = netns::enter(&namespace, || {
        interface::links().and_then(|mut links| interface::find(&mut links, &call.ifname))
    })?;
    let look = "look for the host's end";
    let found = match inside.peer.filter(|_peer| inside.kind == LinkKind::Veth) {
        Some(index) => links.link_at(index).map_err(kernel(look))?,
        None => None,
    };
    let told = |link: &Link| {
        result.interfaces.iter().any(|it| it.sandbox.is_empty() && it.name == link.name)
    };
    found.filter(told).ok_or_else(|| {
        let msg = format!("{}'s bandwidth cannot be limited", call.ifname);
        let details = "prevResult has no veth interface of the host that leads there".to_owned();
        CniError { details, ..CniError::new(codes::INVALID_CONFIG, msg) }
    })
}

fn add(call: &Call) -> Result<AddResult, CniError> {
    let options = Options::read(call)?;
    let mut result = interface::previous(call)?.clone();
    if options.ingress.is_none() && options.egress.is_none() {
        return Ok(result);
    }
    let mut links = interface::links()?;
    let host_end = host_end(call, &mut links, &result)?;
    if let Some(bucket) = options.ingress {
        links
            .add_token_bucket(host_end.index, bucket)
            .map_err(kernel("limit what the container receives"))?;
    }
    if let Some(bucket) = options.egress {
        let ifb = limit_egress(call, &mut links, &host_end, bucket)?;
        result.interfaces.push(shown(&ifb));
    }
    Ok(result)
}

fn limit_egress(
    call: &Call,
    links: &mut Links,
    host_end: &Link,
    bucket: TokenBucket,
) -> Result<Link, CniError> {
    let name = ifb_name(&call.network, &call.container_id);
    let new = NewLink { mtu: Some(host_end.mtu), ..NewLink::new(&name, LinkKind::Ifb) };
    links.add(&new).map_err(kernel("make the ifb link"))?;
    let work = |links: &mut Links| {
        let ifb = interface::find(links, &name)?;
        // GC knows by the alias whose it is.
        let owner = nft::owner_of(call);
        let change = LinkChange { up: Some(true), alias: Some(&owner), ..LinkChange::default() };
        links
            .set_link(ifb.index, &change)
            .and_then(|()| links.add_token_bucket(ifb.index, bucket))
            .and_then(|()| links.add_ingress(host_end.index))
            .and_then(|()| links.redirect_ingress(host_end.index, ifb.index))
            .map_err(kernel("limit what the container sends"))?;
        Ok(ifb)
    };
    work(links).map_err(|mut error: CniError| {
        if let Err(second) = remove_ifb(links, &name) {
            error.details.push_str(&format!("; removing {name} failed too: {second}"));
        }
        error
    })
}

fn remove_ifb(links: &mut Links, name: &str) -> Result<(), CniError> {
    let found = links.link(name).map_err(kernel("look for the ifb link"))?;
    let Some(ifb) = found.filter(|link| link.kind == LinkKind::Ifb) else { return Ok(()) };
    match links.delete_link(ifb.index) {
        Err(error) if error.is(Errno::NODEV) => Ok(()),
        outcome => outcome.map_err(kernel("remove the ifb link")),
    }
}

/// The token bucket goes with the pair.
fn del(call: &Call) -> Result<(), CniError> {
    remove_ifb(&mut interface::links()?, &ifb_name(&call.network, &call.container_id))
}

fn check(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    let result = interface::previous(call)?;
    if options.ingress.is_none() && options.egress.is_none() {
        return Ok(());
    }
    let mut links = interface::links()?;
    let host_end = host_end(call, &mut links, result)?;
    if let Some(bucket) = options.ingress {
        check_bucket(&mut links, &host_end, bucket)?;
    }
    if let Some(bucket) = options.egress {
        let name = ifb_name(&call.network, &call.container_id);
        let ifb = interface::find(&mut links, &name)?;
        check_bucket(&mut links, &ifb, bucket)?;
        let filters =
            links.ingress_filters(host_end.index).map_err(kernel("read what is redirected"))?;
        if filters == 0 {
            let msg = format!("what comes in by {} is not redirected", host_end.name);
            return Err(CniError::new(codes::INTERNAL, msg));
        }
    }
    Ok(())
}

fn check_bucket(links: &mut Links, link: &Link, wanted: TokenBucket) -> Result<(), CniError> {
    let qdiscs = links.qdiscs(link.index).map_err(kernel("read the queues"))?;
    let found = qdiscs.iter().find(|qdisc| qdisc.root).and_then(|qdisc| qdisc.token_bucket);
    if found.is_some_and(|found| found.is(wanted)) {
        return Ok(());
    }
    let msg = format!("{} is not limited to {} bytes a second", link.name, wanted.rate);
    Err(CniError::new(codes::INTERNAL, msg))
}

/// One that is down and has no alias was left by a call that was killed between two steps.
fn gc(call: &Call) -> Result<(), CniError> {
    let is_gone = nft::is_gone(call);
    let mut links = interface::links()?;
    for link in links.links().map_err(kernel("list links"))? {
        let ours = link.kind == LinkKind::Ifb && link.name.starts_with(IFB_PREFIX);
        let unfinished = link.alias.is_empty() && !link.up;
        if ours && (unfinished || is_gone(&link.alias)) {
            remove_ifb(&mut links, &link.name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets() {
        let found = bucket("ingress", 8_000_000, 80_000).unwrap();
        assert_eq!(found, Some(TokenBucket { rate: 1_000_000, burst: 10_000, limit: 35_000 }));
        assert_eq!(bucket("egress", 0, 0).unwrap(), None);
        for (rate, burst) in [(0, 8), (8, 0), (8, 1 << 40)] {
            assert_eq!(bucket("egress", rate, burst).unwrap_err().code, codes::INVALID_CONFIG);
        }
    }

    #[test]
    fn the_reference_plugins_name() {
        // As it gives it to container "c1" of network "net".
        assert_eq!(ifb_name("net", "c1"), "bwp623e1c388032");
    }
}

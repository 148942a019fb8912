//! Flows of UDP have no end that the kernel sees: it goes on sending them where it once did.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use corten_proxy_model::{FrontendKey, StaleFlow};
use corten_sys_netlink::NetlinkError;
use corten_sys_netlink::conntrack::{Conntrack, Flow};

/// What leads to a frontend's endpoints that are gone; nothing for flows without translation.
type Stale = HashMap<FrontendKey, HashSet<Option<SocketAddr>>>;

/// Deletes such flows. The kernel's list is read once, and not at all if there is none to find.
pub(crate) fn forget(stale: &[StaleFlow]) -> Result<usize, NetlinkError> {
    let mut wanted: Stale = HashMap::new();
    for flow in stale {
        let (key, endpoint) = match *flow {
            StaleFlow::Endpoint { key, endpoint } => (key, Some(endpoint)),
            StaleFlow::Untranslated { key } => (key, None),
        };
        wanted.entry(key).or_default().insert(endpoint);
    }
    let mut deleted = 0;
    for ipv6 in [false, true] {
        if wanted.keys().any(|key| key.is_ipv6() == ipv6) {
            deleted += Conntrack::open()?.delete(ipv6, |flow| is_stale(&wanted, flow))?;
        }
    }
    Ok(deleted)
}

fn is_stale(wanted: &Stale, flow: &Flow) -> bool {
    let Some(protocol) = corten_proxy_model::Protocol::from_number(flow.original.protocol) else {
        return false;
    };
    let (address, port) = (flow.original.destination, flow.original.destination_port);
    let keys = [
        FrontendKey::Address { address, protocol, port },
        FrontendKey::NodePort { ipv6: address.is_ipv6(), protocol, port },
    ];
    // Answers come from where the flow was sent to.
    let answers: (IpAddr, u16) = (flow.reply.source, flow.reply.source_port);
    let endpoint = (answers != (address, port)).then(|| SocketAddr::new(answers.0, answers.1));
    keys.iter().any(|key| wanted.get(key).is_some_and(|set| set.contains(&endpoint)))
}

//! What the kernel has from an earlier run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use corten_proxy_model::{Frontend, FrontendKey, Target};
use corten_sys_netlink::NetlinkError;
use corten_sys_netlink::tables::{ElementData, Tables, Verdict};

use crate::chain::Chain;
use crate::frame::{DROP, REJECT, VERSION_CHAIN};
use crate::layout::{
    HAIRPIN, Kind, Layout, read_address, read_endpoint, read_indexed_key, read_key,
};

/// A table's content.
#[derive(Debug, Default)]
pub(crate) struct Present {
    pub(crate) chains: BTreeSet<Chain>,
    pub(crate) frontends: Vec<(FrontendKey, Frontend)>,
    pub(crate) local: Vec<IpAddr>,
}

/// Reads a table; nothing when there is none of this version, or when it is not whole.
pub(crate) fn read(tables: &mut Tables, layout: &Layout) -> Result<Option<Present>, NetlinkError> {
    let names: Vec<_> =
        tables.chains(&layout.table())?.into_iter().map(|chain| chain.name).collect();
    if !names.iter().any(|name| name == VERSION_CHAIN) {
        return Ok(None);
    }
    let mut present = Present {
        chains: names.iter().filter_map(|name| Chain::parse(name)).collect(),
        ..Present::default()
    };
    for kind in Kind::BOTH {
        match read_kind(tables, layout, kind)? {
            Some(frontends) => present.frontends.extend(frontends),
            None => return Ok(None),
        }
    }
    for element in tables.elements(&layout.table(), HAIRPIN)? {
        match read_address(*layout, &element.key) {
            Some((address, _same_again)) => present.local.push(address),
            None => return Ok(None),
        }
    }
    Ok(Some(present))
}

type Frontends = Vec<(FrontendKey, Frontend)>;

fn read_kind(
    tables: &mut Tables,
    layout: &Layout,
    kind: Kind,
) -> Result<Option<Frontends>, NetlinkError> {
    let table = &layout.table();
    let mut slots: BTreeMap<FrontendKey, BTreeMap<u32, SocketAddr>> = BTreeMap::new();
    for element in tables.elements(table, kind.endpoints())? {
        let ElementData::Value(value) = &element.data else { return Ok(None) };
        let endpoint = read_endpoint(*layout, value);
        let Some(((key, index), endpoint)) =
            read_indexed_key(*layout, kind, &element.key).zip(endpoint)
        else {
            return Ok(None);
        };
        slots.entry(key).or_default().insert(index, endpoint);
    }
    let mut frontends = Vec::new();
    for map in [kind.services(), kind.unreachable()] {
        for element in tables.elements(table, map)? {
            let key = read_key(*layout, kind, &element.key);
            let ElementData::Verdict(Verdict::Goto(chain)) = element.data else { return Ok(None) };
            let frontend = key.and_then(|key| {
                Some((key, frontend(&chain, slots.remove(&key).unwrap_or_default())?))
            });
            match frontend {
                Some(frontend) => frontends.push(frontend),
                None => return Ok(None),
            }
        }
    }
    // Endpoints of no frontend: a change of somebody else's.
    Ok(slots.is_empty().then_some(frontends))
}

fn frontend(chain: &str, slots: BTreeMap<u32, SocketAddr>) -> Option<Frontend> {
    let without = |target| Frontend { target, affinity_s: None, masquerade: false };
    match chain {
        REJECT => return slots.is_empty().then(|| without(Target::Reject)),
        DROP => return slots.is_empty().then(|| without(Target::Drop)),
        _ => {}
    }
    let chain = Chain::parse(chain)?;
    let whole = slots.keys().copied().eq(0..chain.count);
    whole.then(|| Frontend {
        target: Target::Endpoints(slots.into_values().collect()),
        affinity_s: chain.affinity_s,
        masquerade: chain.masquerade,
    })
}

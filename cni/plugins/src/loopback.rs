//! `loopback`: brings a container's loopback device up.

use corten_cni_types::{AddResult, CniError, Interface, IpConfig, codes};
use corten_sys_netlink::NetlinkError;
use corten_sys_netlink::route::{Link, LinkChange, Links};

use crate::skel::Call;
use crate::{Plugin, conf, netns};

pub(crate) const PLUGIN: Plugin =
    Plugin { name: "loopback", add, del, check, gc: |_call| Ok(()), status: |_call| Ok(()) };

fn add(call: &Call) -> Result<AddResult, CniError> {
    let _no_options: serde_json::Value = conf::read(call, &[])?;
    let namespace = netns::open(&call.netns)?;
    let (link, addresses) = netns::enter(&namespace, || set_up(true))?;
    if let Some(previous) = &call.prev_result {
        return Ok(previous.clone());
    }
    Ok(AddResult {
        interfaces: vec![Interface {
            name: link.name,
            mac: link.mac.to_string(),
            sandbox: call.netns.to_string_lossy().into_owned(),
            ..Interface::default()
        }],
        ips: addresses,
        ..AddResult::default()
    })
}

fn del(call: &Call) -> Result<(), CniError> {
    match netns::open_if_there(&call.netns)? {
        Some(namespace) => netns::enter(&namespace, || set_up(false)).map(|_link| ()),
        None => Ok(()),
    }
}

fn check(call: &Call) -> Result<(), CniError> {
    let namespace = netns::open(&call.netns)?;
    let link = netns::enter(&namespace, || {
        Links::open().and_then(|mut links| find(&mut links)).map_err(failed)
    })?;
    if link.up {
        return Ok(());
    }
    Err(CniError::new(codes::INTERNAL, format!("{} is down", link.name)))
}

fn set_up(up: bool) -> Result<(Link, Vec<IpConfig>), CniError> {
    let work = || -> Result<_, NetlinkError> {
        let mut links = Links::open()?;
        let link = find(&mut links)?;
        links.set_link(link.index, &LinkChange { up: Some(up), ..LinkChange::default() })?;
        let addresses = links.addresses(link.index)?;
        Ok((link, addresses))
    };
    let (link, addresses) = work().map_err(failed)?;
    let addresses = addresses
        .into_iter()
        .filter_map(|found| corten_cni_types::IpNet::new(found.address, found.prefix))
        .map(|address| IpConfig { interface: Some(0), address, gateway: None })
        .collect();
    Ok((link, addresses))
}

/// The loopback device of every namespace has index 1 and this name; it cannot be removed.
fn find(links: &mut Links) -> Result<Link, NetlinkError> {
    links.link("lo")?.ok_or_else(|| NetlinkError::Malformed {
        request: "get link lo".to_owned(),
        what: "there is no loopback device".to_owned(),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err passes")]
fn failed(error: NetlinkError) -> CniError {
    CniError::caused(codes::INTERNAL, "cannot work on the loopback device", &error)
}

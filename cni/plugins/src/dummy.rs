//! `dummy`: a link to nowhere, for an address that is only the container's own.

use corten_cni_types::{AddResult, CniError, codes};
use corten_sys_netlink::route::{LinkKind, NewLink};

use crate::interface::{self, Setup};
use crate::skel::Call;
use crate::{Plugin, conf, ipam, netns, upper};

pub(crate) const PLUGIN: Plugin = Plugin { name: "dummy", add, del, check, gc, status };

/// The address plugin, which must be there: a dummy without an address is good for nothing.
fn read(call: &Call) -> Result<String, CniError> {
    let _no_options: serde_json::Value = conf::read(call, &[])?;
    ipam::plugin_type(call)
        .ok_or_else(|| CniError::new(codes::INVALID_CONFIG, "a dummy interface needs ipam"))
}

fn add(call: &Call) -> Result<AddResult, CniError> {
    let ipam_type = read(call)?;
    let namespace = netns::open(&call.netns)?;
    ipam::with_addresses(call, Some(&ipam_type), |addresses| {
        netns::enter(&namespace, || {
            let mut links = interface::links()?;
            let new = NewLink::new(&call.ifname, LinkKind::Dummy);
            links.add(&new).map_err(upper::refused("make a dummy link"))?;
            upper::or_remove(&call.ifname, || {
                interface::configure(&call.ifname, &addresses, Setup::default())
            })
        })
        .map(|interface| upper::result(call, interface, addresses))
    })
}

fn del(call: &Call) -> Result<(), CniError> {
    let ipam_type = read(call)?;
    interface::remove_from(call)?;
    ipam::del(call, Some(&ipam_type))
}

fn check(call: &Call) -> Result<(), CniError> {
    let ipam_type = read(call)?;
    ipam::check(call, Some(&ipam_type))?;
    interface::check(call, |kind| *kind == LinkKind::Dummy).map(|_link| ())
}

fn gc(call: &Call) -> Result<(), CniError> {
    ipam::gc(call, Some(&read(call)?))
}

fn status(call: &Call) -> Result<(), CniError> {
    ipam::status(call, Some(&read(call)?))
}

//! The CNI plugins `bridge`, `ptp`, `macvlan`, `ipvlan`, `vlan`, `host-device`, `dummy` and
//! `loopback` (interfaces), `host-local` and `static` (addresses), `portmap`, `firewall`,
//! `bandwidth`, `tuning` and `sbr` (what comes after): drop-ins for the reference plugins of these
//! names, in versions 0.3.1 to 1.1.0 of the specification, with GC, which those
//! lack. An option of theirs that is not honoured is an error that names it.
//!
//! Rules go to nf_tables, in tables whose names begin with `corten-`; addresses are kept in the
//! reference `host-local`'s files, so that a node can be switched over.
//!
//! Non-goals: iptables; being a library of networking.
//! Entry types: [`run`], which a binary calls; [`cleanup`], which removes what outlives containers.
//! Privileges: root (CAP_NET_ADMIN on the host and in the container's namespace, CAP_SYS_ADMIN to
//! enter it, the address files' folder).

mod bandwidth;
mod bridge;
mod conf;
mod dummy;
mod firewall;
mod host_device;
mod host_local;
mod interface;
mod ipam;
mod ipvlan;
mod loopback;
mod macvlan;
mod masquerade;
mod netns;
mod nft;
mod portmap;
mod ptp;
mod sbr;
mod skel;
mod static_addresses;
mod tuning;
mod upper;
mod veth;
mod vlan;

pub use skel::{Output, run};

use corten_cni_types::CniError;
use corten_sys_netlink::NetlinkError;
use corten_sys_netlink::route::{LinkKind, Links};
use corten_sys_netlink::tables::Tables;

/// What a plugin does for each verb. All plugins have all of them; one that has nothing to do
/// says so by success.
#[derive(Debug)]
pub(crate) struct Plugin {
    /// The name that the binary is called by.
    pub(crate) name: &'static str,
    pub(crate) add: fn(&skel::Call) -> Result<corten_cni_types::AddResult, CniError>,
    pub(crate) del: fn(&skel::Call) -> Result<(), CniError>,
    pub(crate) check: fn(&skel::Call) -> Result<(), CniError>,
    pub(crate) gc: fn(&skel::Call) -> Result<(), CniError>,
    pub(crate) status: fn(&skel::Call) -> Result<(), CniError>,
}

/// Every plugin.
const PLUGINS: &[Plugin] = &[
    bandwidth::PLUGIN,
    bridge::PLUGIN,
    dummy::PLUGIN,
    firewall::PLUGIN,
    host_device::PLUGIN,
    host_local::PLUGIN,
    ipvlan::PLUGIN,
    loopback::PLUGIN,
    macvlan::PLUGIN,
    portmap::PLUGIN,
    ptp::PLUGIN,
    sbr::PLUGIN,
    static_addresses::PLUGIN,
    tuning::PLUGIN,
    vlan::PLUGIN,
];

/// The names of all plugins: the links to make to the binary.
#[must_use]
pub fn names() -> Vec<&'static str> {
    PLUGINS.iter().map(|plugin| plugin.name).collect()
}

/// Removes what plugins keep while no container is there: the nf_tables tables, and the bridge of
/// the given name if it is one and has no ports. False while the bridge has ports: those of a
/// network namespace that was just let go of vanish a little later.
///
/// # Errors
/// What the kernel refuses.
pub fn cleanup(bridge: &str) -> Result<bool, NetlinkError> {
    let mut tables = Tables::open()?;
    tables.delete_table(&masquerade::table())?;
    tables.delete_table(&bridge::spoof::table())?;
    tables.delete_table(&firewall::table())?;
    tables.delete_table(&portmap::rules::table())?;
    let mut links = Links::open()?;
    let Some(link) = links.link(bridge)? else { return Ok(true) };
    let used = links.links()?.iter().any(|port| port.master == Some(link.index));
    if link.kind == LinkKind::Bridge && !used {
        links.delete_link(link.index)?;
    }
    Ok(!used)
}

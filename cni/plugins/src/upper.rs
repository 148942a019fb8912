//! What `macvlan`, `ipvlan` and `vlan` share: a link of the container that stands on a link of
//! the host or, with `linkInContainer`, of the container itself.

use std::os::fd::AsFd as _;

use corten_cni_types::{AddResult, CniError, Interface, codes};
use corten_sys_netlink::NetlinkError;
use corten_sys_netlink::route::{Link, LinkChange, LinkKind, MacAddress, NewLink};
use rustix::io::Errno;

use crate::interface::{self, Setup, kernel};
use crate::skel::Call;
use crate::{ipam, netns, nft};

/// A link to be made.
#[derive(Debug, Clone)]
pub(crate) struct Upper {
    pub(crate) kind: LinkKind,
    /// The link below; the one of the default route without.
    pub(crate) master: Option<String>,
    /// The link below is in the container.
    pub(crate) in_container: bool,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) mtu: Option<u32>,
    pub(crate) broadcast_queue_length: Option<u32>,
}

/// Names the kind that a kernel lacks.
pub(crate) fn refused(what: &str) -> impl FnOnce(NetlinkError) -> CniError {
    let what = what.to_owned();
    move |error| {
        if !error.is(Errno::OPNOTSUPP) {
            return kernel(&what)(error);
        }
        let msg = format!("cannot {what}: the kernel has no such links");
        CniError::caused(codes::UNSUPPORTED_FIELD, msg, &error)
    }
}

/// Does `work` on an interface that was just made, in its namespace, and removes it when that
/// fails.
pub(crate) fn or_remove<T>(
    ifname: &str,
    work: impl FnOnce() -> Result<T, CniError>,
) -> Result<T, CniError> {
    work().map_err(|mut error| {
        if let Err(second) = interface::remove(ifname) {
            error.details.push_str(&format!("; removing {ifname} failed too: {second}"));
        }
        error
    })
}

/// The result of a plugin that makes one interface, whose all addresses are.
pub(crate) fn result(call: &Call, interface: Interface, mut addresses: AddResult) -> AddResult {
    for ip in &mut addresses.ips {
        ip.interface = Some(0);
    }
    addresses.interfaces = vec![interface::inside(call, interface)];
    addresses
}

/// The name of a link until it has its own. The kernel refuses to make a link for another
/// namespace by a name that a link of the calling one has, and "eth0" is such a name. Whoever is
/// killed before the renaming leaves a link that DEL knows by this.
fn provisional_name(call: &Call) -> String {
    format!("cni{}", &nft::hash(&nft::owner_of(call))[..12])
}

impl Upper {
    /// The link below, and that it can carry what is asked for.
    pub(crate) fn master(&self, call: &Call) -> Result<Link, CniError> {
        let find = || {
            interface::links().and_then(|mut it| interface::master(&mut it, self.master.as_deref()))
        };
        let master = if self.in_container {
            netns::enter(&netns::open(&call.netns)?, find)?
        } else {
            find()?
        };
        match self.mtu {
            Some(mtu) if mtu > master.mtu => {
                let msg = format!("mtu {mtu} is more than {}'s, {}", master.name, master.mtu);
                Err(CniError::new(codes::INVALID_CONFIG, msg))
            }
            _ => Ok(master),
        }
    }

    /// Makes the link and sets it up; nothing of it is left when that fails.
    pub(crate) fn add(&self, call: &Call, addresses: &AddResult) -> Result<Interface, CniError> {
        let namespace = netns::open(&call.netns)?;
        let master = self.master(call)?;
        let provisional = provisional_name(call);
        let new = NewLink {
            parent: Some(master.index),
            mac: self.mac,
            mtu: self.mtu,
            broadcast_queue_length: self.broadcast_queue_length,
            ..NewLink::new(&provisional, self.kind.clone())
        };
        let what = format!("make a link on {}", master.name);
        let make = |new: &NewLink<'_>| interface::links()?.add(new).map_err(refused(&what));
        if self.in_container {
            netns::enter(&namespace, || make(&new))?;
        } else {
            make(&NewLink { namespace: Some(namespace.as_fd()), ..new })?;
        }
        netns::enter(&namespace, || {
            or_remove(&provisional, || {
                let mut links = interface::links()?;
                let link = interface::find(&mut links, &provisional)?;
                let name = LinkChange { name: Some(&call.ifname), ..LinkChange::default() };
                links.set_link(link.index, &name).map_err(kernel("name the interface"))
            })?;
            or_remove(&call.ifname, || {
                interface::configure(&call.ifname, addresses, Setup::default())
            })
        })
    }

    /// Whether the link is as ADD left it.
    pub(crate) fn check(&self, call: &Call) -> Result<(), CniError> {
        let master = self.master(call)?;
        let link = interface::check(call, |kind| *kind == self.kind)?;
        if link.peer == Some(master.index) {
            return Ok(());
        }
        let msg = format!("{} does not stand on {}", link.name, master.name);
        Err(CniError::new(codes::INTERNAL, msg))
    }

    /// Whether a link could be made.
    pub(crate) fn status(&self, call: &Call, ipam_type: Option<&str>) -> Result<(), CniError> {
        if !self.in_container {
            self.master(call).map_err(|error| CniError { code: codes::NOT_AVAILABLE, ..error })?;
        }
        ipam::status(call, ipam_type)
    }
}

/// Removes the link, whatever it was made with.
pub(crate) fn remove(call: &Call) -> Result<(), CniError> {
    match netns::open_if_there(&call.netns)? {
        Some(namespace) => netns::enter(&namespace, || {
            interface::remove(&provisional_name(call))?;
            interface::remove(&call.ifname)
        }),
        None => Ok(()),
    }
}

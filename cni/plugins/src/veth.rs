//! Pairs of links between the host and a container.

use std::fs::File;

use corten_cni_types::{CniError, codes};
use corten_sys_netlink::route::{Link, Links, MacAddress, NewVeth};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::interface::kernel;

/// How many names are tried for the host's end.
const NAME_ATTEMPTS: usize = 8;

/// A pair to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair<'a> {
    /// The name of the container's end.
    pub(crate) ifname: &'a str,
    /// The container's namespace.
    pub(crate) namespace: &'a File,
    /// The bridge of the host's end, 0 for none.
    pub(crate) master: u32,
    /// The hardware address of the container's end.
    pub(crate) mac: Option<MacAddress>,
    pub(crate) mtu: Option<u32>,
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], CniError> {
    let mut bytes = [0; N];
    getrandom(&mut bytes[..], GetRandomFlags::empty()).map_err(|errno| {
        CniError::caused(codes::INTERNAL, "getrandom", &std::io::Error::from(errno))
    })?;
    Ok(bytes)
}

/// Makes a pair; returns the host's end, whose name is made up.
pub(crate) fn add(links: &mut Links, pair: &Pair<'_>) -> Result<Link, CniError> {
    let mut attempts = 0;
    let name = loop {
        let name = format!("veth{:08x}", u32::from_ne_bytes(random()?));
        let new = NewVeth {
            name: &name,
            master: pair.master,
            peer_name: pair.ifname,
            peer_namespace: pair.namespace,
            peer_mac: pair.mac,
            mtu: pair.mtu,
        };
        attempts += 1;
        match links.add_veth(&new) {
            Ok(()) => break name,
            // Whose name is taken? If ours, another one does it.
            Err(error)
                if error.is(Errno::EXIST)
                    && attempts < NAME_ATTEMPTS
                    && links.link(&name).is_ok_and(|link| link.is_some()) => {}
            Err(error) => {
                return Err(kernel(&format!("connect {} with the host", pair.ifname))(error));
            }
        }
    };
    let link = links.link(&name).map_err(kernel("look for the new link"))?;
    link.ok_or_else(|| CniError::new(codes::UNKNOWN_CONTAINER, format!("link {name} vanished")))
}

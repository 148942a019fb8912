//! VLANs of a bridge's ports (`linux/if_bridge.h`), for bridges that filter by VLAN.

use super::Links;
use crate::error::NetlinkError;
use crate::wire::{Wire, attributes, find, ne16, ne32};

const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;
const FAMILY_BRIDGE: u8 = 7;

/// Size of `struct ifinfomsg`.
const HEADER_BYTES: usize = 16;

const IFLA_AF_SPEC: u16 = 26;
const IFLA_EXT_MASK: u16 = 29;
const RTEXT_FILTER_BRVLAN: u32 = 1 << 1;
const IFLA_BRIDGE_FLAGS: u16 = 0;
const IFLA_BRIDGE_VLAN_INFO: u16 = 2;
/// `BRIDGE_FLAGS_MASTER`: it is about the port's bridge.
const FLAGS_MASTER: u16 = 1;
const VLAN_PVID: u16 = 1 << 1;
const VLAN_UNTAGGED: u16 = 1 << 2;

/// A VLAN that a port belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BridgeVlan {
    /// Its number.
    pub id: u16,
    /// Packets without a tag are of this VLAN, and its packets leave without one.
    pub native: bool,
}

impl Links {
    /// The VLANs of a bridge's port.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn bridge_vlans(&mut self, port: u32) -> Result<Vec<BridgeVlan>, NetlinkError> {
        let lists = self.connection.dump(
            GET_LINK,
            || format!("list VLANs of bridge port {port}"),
            |wire| {
                header(wire, 0);
                wire.attribute(IFLA_EXT_MASK, &RTEXT_FILTER_BRVLAN.to_ne_bytes());
            },
            |body| {
                let index = ne32(body, 4);
                let list = find(body.get(HEADER_BYTES..).unwrap_or_default(), IFLA_AF_SPEC);
                Ok((index == Some(port)).then(|| read(list.unwrap_or_default())))
            },
        )?;
        Ok(lists.into_iter().flatten().collect())
    }

    /// Puts a bridge's port into a VLAN.
    ///
    /// # Errors
    /// EOPNOTSUPP when the kernel has no bridges that filter by VLAN.
    pub fn add_bridge_vlan(&mut self, port: u32, vlan: BridgeVlan) -> Result<(), NetlinkError> {
        let request = || format!("add bridge port {port} to VLAN {}", vlan.id);
        self.connection.request(SET_LINK, 0, request, |wire| write(wire, port, vlan))
    }

    /// Takes a bridge's port out of a VLAN.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn delete_bridge_vlan(&mut self, port: u32, id: u16) -> Result<(), NetlinkError> {
        let request = || format!("delete bridge port {port} from VLAN {id}");
        let vlan = BridgeVlan { id, native: false };
        self.connection.request(DELETE_LINK, 0, request, |wire| write(wire, port, vlan))
    }
}

/// `struct ifinfomsg`.
fn header(wire: &mut Wire, index: u32) {
    let mut header = [0; HEADER_BYTES];
    header[0] = FAMILY_BRIDGE;
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    wire.raw(&header);
}

fn write(wire: &mut Wire, port: u32, vlan: BridgeVlan) {
    header(wire, port);
    wire.nest(IFLA_AF_SPEC, |wire| {
        wire.attribute(IFLA_BRIDGE_FLAGS, &FLAGS_MASTER.to_ne_bytes());
        let flags = if vlan.native { VLAN_PVID | VLAN_UNTAGGED } else { 0 };
        let [a, b] = flags.to_ne_bytes();
        let [c, d] = vlan.id.to_ne_bytes();
        wire.attribute(IFLA_BRIDGE_VLAN_INFO, &[a, b, c, d]);
    });
}

/// Without compression (`RTEXT_FILTER_BRVLAN_COMPRESSED`) each VLAN has an entry of its own.
fn read(list: &[u8]) -> Vec<BridgeVlan> {
    attributes(list)
        .filter(|(kind, _value)| *kind == IFLA_BRIDGE_VLAN_INFO)
        .filter_map(|(_kind, value)| {
            let flags = ne16(value, 0)?;
            Some(BridgeVlan { id: ne16(value, 2)?, native: flags & VLAN_PVID != 0 })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel of a test machine may have no VLAN filtering, so the form is held here.
    #[test]
    fn a_vlan_as_the_kernel_takes_it() {
        let mut wire = Wire::default();
        wire.message(SET_LINK, 0, 1, |wire| {
            write(wire, 9, BridgeVlan { id: 100, native: true });
        });
        let body = &wire.bytes()[16..];
        assert_eq!((body[0], ne32(body, 4)), (7, Some(9)));
        let list = find(&body[HEADER_BYTES..], IFLA_AF_SPEC).unwrap();
        assert_eq!(find(list, IFLA_BRIDGE_FLAGS), Some(&1u16.to_ne_bytes()[..]));
        assert_eq!(find(list, 2).unwrap(), [6u16.to_ne_bytes(), 100u16.to_ne_bytes()].concat());
        assert_eq!(read(list), [BridgeVlan { id: 100, native: true }]);
    }
}

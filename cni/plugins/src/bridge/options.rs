//! The options.

use std::collections::BTreeSet;

use corten_cni_types::{CniError, Dns, codes};
use corten_sys_netlink::route::MacAddress;
use serde::Deserialize;

use crate::skel::Call;
use crate::{conf, ipam};

const HONOURED: &[&str] = &[
    "bridge",
    "isGateway",
    "isDefaultGateway",
    "forceAddress",
    "ipMasq",
    "ipMasqBackend",
    "mtu",
    "hairpinMode",
    "promiscMode",
    "vlan",
    "vlanTrunk",
    "preserveDefaultVlan",
    "macspoofchk",
    "enabledad",
    "disableContainerInterface",
    "portIsolation",
];

/// 802.1Q: 0 and 4095 are reserved.
const VLAN_MAX: u16 = 4094;

#[derive(Debug)]
pub(super) struct Options {
    pub(super) bridge: String,
    pub(super) is_gateway: bool,
    pub(super) is_default_gateway: bool,
    pub(super) force_address: bool,
    pub(super) ip_masq: bool,
    pub(super) mtu: Option<u32>,
    pub(super) hairpin: bool,
    pub(super) promiscuous: bool,
    pub(super) vlans: Vlans,
    pub(super) check_mac: bool,
    pub(super) detect_duplicates: bool,
    pub(super) disable_container_interface: bool,
    pub(super) isolated: bool,
    /// The container's end is to have this hardware address.
    pub(super) mac: Option<MacAddress>,
    pub(super) ipam_type: Option<String>,
    pub(super) dns: Dns,
}

/// The VLANs of a container's port.
#[derive(Debug, Clone, Default)]
pub(super) struct Vlans {
    /// Packets without a tag are of this one.
    pub(super) native: Option<u16>,
    /// Packets with these tags pass.
    pub(super) trunk: BTreeSet<u16>,
    /// The port stays in the VLAN that the bridge puts it into.
    pub(super) keep_default: bool,
}

impl Vlans {
    /// Whether none is asked for: then the bridge need not know VLANs.
    pub(super) fn is_empty(&self) -> bool {
        self.native.is_none() && self.trunk.is_empty()
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default = "default_bridge")]
    bridge: String,
    #[serde(default)]
    is_gateway: bool,
    #[serde(default)]
    is_default_gateway: bool,
    #[serde(default)]
    force_address: bool,
    #[serde(default)]
    ip_masq: bool,
    ip_masq_backend: Option<String>,
    #[serde(default)]
    mtu: u32,
    #[serde(default)]
    hairpin_mode: bool,
    #[serde(default)]
    promisc_mode: bool,
    #[serde(default)]
    vlan: u16,
    #[serde(default)]
    vlan_trunk: Option<Vec<Trunk>>,
    #[serde(default)]
    preserve_default_vlan: bool,
    #[serde(default)]
    macspoofchk: bool,
    #[serde(default)]
    enabledad: bool,
    #[serde(default)]
    disable_container_interface: bool,
    #[serde(default)]
    port_isolation: bool,
    #[serde(default)]
    dns: Dns,
}

fn default_bridge() -> String {
    "cni0".to_owned()
}

/// One VLAN, or all from one to another, or both.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trunk {
    #[serde(rename = "minID")]
    min_id: Option<u16>,
    #[serde(rename = "maxID")]
    max_id: Option<u16>,
    id: Option<u16>,
}

fn bad(msg: impl Into<String>) -> CniError {
    CniError::new(codes::INVALID_CONFIG, msg)
}

impl Options {
    pub(super) fn read(call: &Call) -> Result<Self, CniError> {
        let written: Written = conf::read(call, HONOURED)?;
        let ipam_type = ipam::plugin_type(call);
        if ipam_type.is_some() && written.disable_container_interface {
            return Err(bad("ipam and disableContainerInterface exclude each other"));
        }
        if written.hairpin_mode && written.promisc_mode {
            return Err(bad("hairpinMode and promiscMode exclude each other"));
        }
        conf::refuse_backend("ipMasqBackend", written.ip_masq_backend.as_deref())?;
        corten_cni_types::validate_interface_name(&written.bridge)
            .map_err(|error| CniError::caused(codes::INVALID_CONFIG, "bridge", &error))?;
        if written.vlan > VLAN_MAX {
            return Err(bad(format!("vlan {} is not between 0 and {VLAN_MAX}", written.vlan)));
        }
        let vlans = Vlans {
            native: (written.vlan != 0).then_some(written.vlan),
            trunk: trunk(&written.vlan_trunk.unwrap_or_default())?,
            keep_default: written.preserve_default_vlan,
        };
        Ok(Self {
            bridge: written.bridge,
            is_gateway: written.is_gateway || written.is_default_gateway,
            is_default_gateway: written.is_default_gateway,
            force_address: written.force_address,
            ip_masq: written.ip_masq,
            mtu: (written.mtu != 0).then_some(written.mtu),
            hairpin: written.hairpin_mode,
            promiscuous: written.promisc_mode,
            vlans,
            check_mac: written.macspoofchk,
            detect_duplicates: written.enabledad,
            disable_container_interface: written.disable_container_interface,
            isolated: written.port_isolation,
            mac: mac(call)?,
            ipam_type,
            dns: written.dns,
        })
    }
}

fn trunk(list: &[Trunk]) -> Result<BTreeSet<u16>, CniError> {
    let mut ids = BTreeSet::new();
    for (index, trunk) in list.iter().enumerate() {
        let wrong = |what: String| bad(format!("vlanTrunk[{index}]: {what}"));
        let (first, last) = match (trunk.min_id, trunk.max_id) {
            (Some(first), Some(last)) if first <= last => (first, last),
            (Some(first), Some(last)) => {
                return Err(wrong(format!("minID {first} is greater than maxID {last}")));
            }
            // Nothing, as a range from one to zero.
            (None, None) => (1, 0),
            _ => return Err(wrong("minID and maxID come together".to_owned())),
        };
        for id in (first..=last).chain(trunk.id) {
            if id == 0 || id > VLAN_MAX {
                return Err(wrong(format!("VLAN {id} is not between 1 and {VLAN_MAX}")));
            }
            ids.insert(id);
        }
    }
    Ok(ids)
}

/// A hardware address can be asked for in three places; the later wins.
fn mac(call: &Call) -> Result<Option<MacAddress>, CniError> {
    let [environment] = conf::environment_args(call, ["MAC"])?;
    conf::argument_text(call, "runtimeConfig", "mac")
        .or_else(|| conf::argument_text(call, "args.cni", "mac"))
        .or(environment.filter(|text| !text.is_empty()))
        .map(|text| conf::parse_mac("mac", &text))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Result<Vec<u16>, String> {
        let list: Vec<Trunk> = serde_json::from_str(text).unwrap();
        trunk(&list).map(|ids| ids.into_iter().collect()).map_err(|error| error.msg)
    }

    #[test]
    fn trunks() {
        assert_eq!(ids(r#"[{"minID":3,"maxID":5},{"id":4},{"id":9}]"#), Ok(vec![3, 4, 5, 9]));
        assert_eq!(ids("[]"), Ok(vec![]));
        for (text, expected) in [
            (r#"[{"id":1},{"minID":3}]"#, "vlanTrunk[1]: minID and maxID come together"),
            (r#"[{"minID":5,"maxID":3}]"#, "vlanTrunk[0]: minID 5 is greater than maxID 3"),
            (r#"[{"id":4095}]"#, "vlanTrunk[0]: VLAN 4095 is not between 1 and 4094"),
        ] {
            assert_eq!(ids(text), Err(expected.to_owned()));
        }
    }
}

//! `vlan`: a link with the packets of one 802.1Q VLAN of a link of the host.

use corten_cni_types::{AddResult, CniError, Dns, codes};
use corten_sys_netlink::route::LinkKind;
use serde::Deserialize;

use crate::skel::Call;
use crate::upper::{self, Upper};
use crate::{Plugin, conf, ipam};

pub(crate) const PLUGIN: Plugin = Plugin { name: "vlan", add, del, check, gc, status };

const HONOURED: &[&str] = &["master", "vlanId", "mtu", "linkInContainer"];

/// 802.1Q: 4095 is reserved.
const VLAN_MAX: u16 = 4094;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    master: String,
    #[serde(default)]
    vlan_id: u16,
    #[serde(default)]
    mtu: u32,
    #[serde(default)]
    link_in_container: bool,
    #[serde(default)]
    dns: Dns,
}

#[derive(Debug)]
struct Options {
    upper: Upper,
    dns: Dns,
    ipam_type: Option<String>,
}

impl Options {
    fn read(call: &Call) -> Result<Self, CniError> {
        let written: Written = conf::read(call, HONOURED)?;
        let bad = |msg| Err(CniError::new(codes::INVALID_CONFIG, msg));
        if written.master.is_empty() {
            return bad("master is missing: the interface that the VLAN is on".to_owned());
        }
        if written.vlan_id > VLAN_MAX {
            return bad(format!("vlanId {} is not between 0 and {VLAN_MAX}", written.vlan_id));
        }
        let upper = Upper {
            kind: LinkKind::Vlan(written.vlan_id),
            master: Some(written.master),
            in_container: written.link_in_container,
            mac: None,
            mtu: (written.mtu != 0).then_some(written.mtu),
            broadcast_queue_length: None,
        };
        Ok(Self { upper, dns: written.dns, ipam_type: ipam::plugin_type(call) })
    }
}

fn add(call: &Call) -> Result<AddResult, CniError> {
    let options = Options::read(call)?;
    ipam::with_addresses(call, options.ipam_type.as_deref(), |addresses| {
        let interface = options.upper.add(call, &addresses)?;
        let mut result = upper::result(call, interface, addresses);
        if !options.dns.is_empty() {
            result.dns = options.dns.clone();
        }
        Ok(result)
    })
}

fn del(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    upper::remove(call)?;
    ipam::del(call, options.ipam_type.as_deref())
}

fn check(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    ipam::check(call, options.ipam_type.as_deref())?;
    options.upper.check(call)
}

fn gc(call: &Call) -> Result<(), CniError> {
    ipam::gc(call, Options::read(call)?.ipam_type.as_deref())
}

fn status(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    options.upper.status(call, options.ipam_type.as_deref())
}

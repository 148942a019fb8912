//! `ipvlan`: a link on a link of the host, with that one's hardware address.

use corten_cni_types::{AddResult, CniError, Command, Dns, codes};
use corten_sys_netlink::route::{IpvlanMode, LinkKind};
use serde::Deserialize;

use crate::skel::Call;
use crate::upper::{self, Upper};
use crate::{Plugin, conf, ipam};

pub(crate) const PLUGIN: Plugin = Plugin { name: "ipvlan", add, del, check, gc, status };

const HONOURED: &[&str] = &["master", "mode", "mtu", "linkInContainer"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    master: Option<String>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    mtu: u32,
    #[serde(default)]
    link_in_container: bool,
    #[serde(default)]
    dns: Dns,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    #[serde(alias = "")]
    L2,
    L3,
    L3s,
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
        let mode = match written.mode {
            Mode::L2 => IpvlanMode::L2,
            Mode::L3 => IpvlanMode::L3,
            Mode::L3s => IpvlanMode::L3s,
        };
        let upper = Upper {
            kind: LinkKind::Ipvlan(mode),
            master: master(call, written.master.filter(|name| !name.is_empty()))?,
            in_container: written.link_in_container,
            mac: None,
            mtu: (written.mtu != 0).then_some(written.mtu),
            broadcast_queue_length: None,
        };
        Ok(Self { upper, dns: written.dns, ipam_type: ipam::plugin_type(call) })
    }
}

/// Without a name it is the link that the plugin before made; without such a plugin, the one of
/// the default route.
fn master(call: &Call, named: Option<String>) -> Result<Option<String>, CniError> {
    let Some(previous) = call.prev_result.as_ref().filter(|_previous| named.is_none()) else {
        return Ok(named);
    };
    match previous.interfaces.as_slice() {
        // CHECK and DEL are given the result of this very plugin.
        [only] if !only.name.is_empty() && only.name != call.ifname => Ok(Some(only.name.clone())),
        _ if call.command != Command::Add => Ok(None),
        _ => {
            let msg = "prevResult does not have one named interface to stand on: set master";
            Err(CniError::new(codes::INVALID_CONFIG, msg))
        }
    }
}

fn add(call: &Call) -> Result<AddResult, CniError> {
    let options = Options::read(call)?;
    // Chained, and without address management of its own: the addresses are the plugin's before.
    let given = call.prev_result.as_ref().filter(|previous| !previous.ips.is_empty());
    if let Some(given) = given.filter(|_given| options.ipam_type.is_none()) {
        return attach(call, &options, given.clone());
    }
    if options.ipam_type.is_none() {
        let msg = "an ipvlan interface needs ipam, or addresses of a plugin before it";
        return Err(CniError::new(codes::INVALID_CONFIG, msg));
    }
    ipam::with_addresses(call, options.ipam_type.as_deref(), |addresses| {
        attach(call, &options, addresses)
    })
}

fn attach(call: &Call, options: &Options, addresses: AddResult) -> Result<AddResult, CniError> {
    let interface = options.upper.add(call, &addresses)?;
    let mut result = upper::result(call, interface, addresses);
    if !options.dns.is_empty() {
        result.dns = options.dns.clone();
    }
    Ok(result)
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

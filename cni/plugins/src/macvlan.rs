//! `macvlan`: a link with a hardware address of its own on a link of the host.

use corten_cni_types::{AddResult, CniError, Dns};
use corten_sys_netlink::route::{LinkKind, MacvlanMode};
use serde::Deserialize;

use crate::skel::Call;
use crate::upper::{self, Upper};
use crate::{Plugin, conf, ipam};

pub(crate) const PLUGIN: Plugin = Plugin { name: "macvlan", add, del, check, gc, status };

const HONOURED: &[&str] = &["master", "mode", "mtu", "mac", "linkInContainer", "bcqueuelen"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    master: Option<String>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    mtu: u32,
    #[serde(default)]
    mac: String,
    #[serde(default)]
    link_in_container: bool,
    #[serde(default)]
    bcqueuelen: u32,
    #[serde(default)]
    dns: Dns,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    #[serde(alias = "")]
    Bridge,
    Private,
    Vepa,
    Passthru,
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
        let [environment] = conf::environment_args(call, ["MAC"])?;
        let mac = conf::argument_text(call, "runtimeConfig", "mac")
            .or(environment.filter(|text| !text.is_empty()))
            .or((!written.mac.is_empty()).then_some(written.mac));
        let mode = match written.mode {
            Mode::Bridge => MacvlanMode::Bridge,
            Mode::Private => MacvlanMode::Private,
            Mode::Vepa => MacvlanMode::Vepa,
            Mode::Passthru => MacvlanMode::Passthru,
        };
        let upper = Upper {
            kind: LinkKind::Macvlan(mode),
            master: written.master.filter(|name| !name.is_empty()),
            in_container: written.link_in_container,
            mac: mac.map(|text| conf::parse_mac("mac", &text)).transpose()?,
            mtu: (written.mtu != 0).then_some(written.mtu),
            broadcast_queue_length: (written.bcqueuelen != 0).then_some(written.bcqueuelen),
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

//! The options.

use corten_cni_types::{CniError, Dns, codes};
use corten_sys_netlink::route::MacAddress;
use serde::Deserialize;
use serde_json::Value;

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
    "disableContainerInterface",
    "portIsolation",
];

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
    pub(super) disable_container_interface: bool,
    pub(super) isolated: bool,
    /// The container's end is to have this hardware address.
    pub(super) mac: Option<MacAddress>,
    pub(super) ipam_type: Option<String>,
    pub(super) dns: Dns,
}

#[derive(Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Written {
    bridge: String,
    is_gateway: bool,
    is_default_gateway: bool,
    force_address: bool,
    ip_masq: bool,
    ip_masq_backend: Option<String>,
    mtu: u32,
    hairpin_mode: bool,
    promisc_mode: bool,
    disable_container_interface: bool,
    port_isolation: bool,
    dns: Dns,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            bridge: "cni0".to_owned(),
            is_gateway: false,
            is_default_gateway: false,
            force_address: false,
            ip_masq: false,
            ip_masq_backend: None,
            mtu: 0,
            hairpin_mode: false,
            promisc_mode: false,
            disable_container_interface: false,
            port_isolation: false,
            dns: Dns::default(),
        }
    }
}

impl Options {
    pub(super) fn read(call: &Call) -> Result<Self, CniError> {
        let bad = |msg: &str| Err(CniError::new(codes::INVALID_CONFIG, msg));
        let written: Written = conf::read(call, HONOURED)?;
        let ipam_type = ipam::plugin_type(call);
        if ipam_type.is_some() && written.disable_container_interface {
            return bad("ipam and disableContainerInterface exclude each other");
        }
        if written.hairpin_mode && written.promisc_mode {
            return bad("hairpinMode and promiscMode exclude each other");
        }
        if let Some(backend) = written.ip_masq_backend.filter(|name| name != "nftables") {
            let msg = format!("option ipMasqBackend {backend:?} is not supported: use nftables");
            return Err(CniError::new(codes::UNSUPPORTED_FIELD, msg));
        }
        corten_cni_types::validate_interface_name(&written.bridge)
            .map_err(|error| CniError::caused(codes::INVALID_CONFIG, "bridge", &error))?;
        Ok(Self {
            bridge: written.bridge,
            is_gateway: written.is_gateway || written.is_default_gateway,
            is_default_gateway: written.is_default_gateway,
            force_address: written.force_address,
            ip_masq: written.ip_masq,
            mtu: (written.mtu != 0).then_some(written.mtu),
            hairpin: written.hairpin_mode,
            promiscuous: written.promisc_mode,
            disable_container_interface: written.disable_container_interface,
            isolated: written.port_isolation,
            mac: mac(call)?,
            ipam_type,
            dns: written.dns,
        })
    }
}

/// A hardware address can be asked for in three places; the later wins.
fn mac(call: &Call) -> Result<Option<MacAddress>, CniError> {
    let of = |section: Option<&Value>| section?.get("mac")?.as_str().map(str::to_owned);
    let args = of(call.conf.get("args").and_then(|args| args.get("cni")));
    let runtime = of(call.conf.get("runtimeConfig"));
    let text = runtime.or(args).or(conf::environment_arg(call, "MAC")?);
    let parsed = text.filter(|text| !text.is_empty()).map(|text| text.parse::<MacAddress>());
    parsed
        .transpose()
        .map_err(|error| CniError::caused(codes::INVALID_CONFIG, "mac cannot be used", &error))
}

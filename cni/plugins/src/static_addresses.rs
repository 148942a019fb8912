//! `static`: addresses that stand in the configuration.

use std::net::IpAddr;

use corten_cni_types::{AddResult, CniError, Dns, IpConfig, IpNet, Route, codes};
use serde::Deserialize;
use serde_json::Value;

use crate::skel::Call;
use crate::{Plugin, conf, interface};

pub(crate) const PLUGIN: Plugin = Plugin {
    name: "static",
    add,
    del: |_call| Ok(()),
    check,
    // Nothing is kept that could be collected.
    gc: |_call| Ok(()),
    status: |call| Ipam::read(call).map(|_ipam| ()),
};

const HONOURED: &[&str] = &["type", "addresses", "routes", "dns"];

#[derive(Debug, Deserialize)]
struct Ipam {
    #[serde(default)]
    addresses: Vec<Address>,
    #[serde(default)]
    routes: Vec<Route>,
    #[serde(default)]
    dns: Dns,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Address {
    address: IpNet,
    gateway: Option<IpAddr>,
}

fn bad(msg: impl Into<String>) -> CniError {
    CniError::new(codes::INVALID_CONFIG, msg)
}

impl Ipam {
    fn read(call: &Call) -> Result<Self, CniError> {
        let Some(Value::Object(ipam)) = call.conf.get("ipam") else {
            return Err(bad("ipam is missing"));
        };
        conf::refuse_others("ipam.", ipam, HONOURED)?;
        let mut ipam: Self = conf::from_map(ipam)?;
        ipam.add_environment(call)?;
        // The conventions document: these come in place of the others.
        for section in ["args.cni", "runtimeConfig"] {
            let list = conf::arguments(call, section).and_then(|section| section.get("ips"));
            let Some(list) = list else { continue };
            let list: Vec<IpNet> = serde_json::from_value(list.clone()).map_err(|error| {
                CniError::caused(codes::INVALID_CONFIG, format!("{section}.ips"), &error)
            })?;
            if !list.is_empty() {
                let address = |address| Address { address, gateway: None };
                ipam.addresses = list.into_iter().map(address).collect();
            }
        }
        Ok(ipam)
    }

    /// `IP` adds addresses; `GATEWAY` is given to those in whose networks it is.
    fn add_environment(&mut self, call: &Call) -> Result<(), CniError> {
        let [ips, gateways] = conf::environment_args(call, ["IP", "GATEWAY"])?;
        for text in list(ips.as_deref()) {
            let address = text.parse().map_err(|error| {
                CniError::caused(codes::INVALID_ENVIRONMENT, "CNI_ARGS: IP", &error)
            })?;
            self.addresses.push(Address { address, gateway: None });
        }
        for text in list(gateways.as_deref()) {
            let gateway: IpAddr = text.parse().map_err(|error| {
                let msg = format!("CNI_ARGS: GATEWAY {text:?}");
                CniError::caused(codes::INVALID_ENVIRONMENT, msg, &error)
            })?;
            for address in self.addresses.iter_mut().filter(|it| it.address.contains(gateway)) {
                address.gateway = Some(gateway);
            }
        }
        Ok(())
    }
}

fn list(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn add(call: &Call) -> Result<AddResult, CniError> {
    let ipam = Ipam::read(call)?;
    let ips = ipam
        .addresses
        .into_iter()
        .map(|Address { address, gateway }| IpConfig { interface: None, address, gateway })
        .collect();
    Ok(AddResult { ips, routes: ipam.routes, dns: ipam.dns, ..AddResult::default() })
}

fn check(call: &Call) -> Result<(), CniError> {
    let ipam = Ipam::read(call)?;
    let result = interface::previous(call)?;
    for Address { address, gateway } in &ipam.addresses {
        let there = result.ips.iter().any(|ip| {
            ip.address == *address && gateway.is_none_or(|gateway| ip.gateway == Some(gateway))
        });
        if !there {
            return Err(CniError::new(codes::INTERNAL, format!("{address} is not assigned")));
        }
    }
    Ok(())
}

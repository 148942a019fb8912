//! core/v1 Endpoints.

use std::net::IpAddr;

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::{meta, names};
use jiff::Timestamp;
use serde_json::Value;

use crate::read::{self, Read};
use crate::strategy::{Column, Strategy, age};

pub(crate) const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
/// How many addresses a cell shows.
const SHOWN: usize = 3;

pub(crate) struct Endpoints;

impl Strategy for Endpoints {
    fn default(&self, object: &mut Value) {
        for subset in read::items_mut(object, "subsets") {
            for port in read::items_mut(subset, "ports") {
                read::set_default(port, "protocol", "TCP");
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for (i, subset) in object.items("/subsets").iter().enumerate() {
            let path = FieldPath::new("subsets").index(i);
            let lists = ["addresses", "notReadyAddresses"];
            if lists.iter().all(|l| subset.items(&format!("/{l}")).is_empty()) {
                let why = "must specify `addresses` or `notReadyAddresses`";
                errors.push(FieldError::required(&path, why));
            }
            for list in lists {
                for (j, address) in subset.items(&format!("/{list}")).iter().enumerate() {
                    validate_address(address, &path.child(list).index(j), &mut errors);
                }
            }
            let ports = subset.items("/ports");
            for (j, port) in ports.iter().enumerate() {
                let path = path.child("ports").index(j);
                validate_port(port, ports.len() > 1, &path, &mut errors);
            }
        }
        errors
    }

    fn columns(&self) -> &'static [Column] {
        const { &[Column::text("Name"), Column::text("Endpoints"), Column::text("Age")] }
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![meta::name(object).into(), shown(object).into(), age(object, now)]
    }
}

fn validate_address(address: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let ip = address.text("/ip");
    errors.extend(endpoint_ip(ip, &path.child("ip")));
    let hostname = address.text("/hostname");
    if !hostname.is_empty() {
        for why in names::dns1123_label(hostname) {
            errors.push(FieldError::invalid(&path.child("hostname"), hostname, why));
        }
    }
    let node = address.text("/nodeName");
    if !node.is_empty() {
        for why in names::dns1123_subdomain(node) {
            errors.push(FieldError::invalid(&path.child("nodeName"), node, why));
        }
    }
}

fn validate_port(port: &Value, named: bool, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let name = port.text("/name");
    if name.is_empty() && named {
        errors.push(FieldError::required(&path.child("name"), ""));
    } else if !name.is_empty() {
        for why in names::dns1123_label(name) {
            errors.push(FieldError::invalid(&path.child("name"), name, why));
        }
    }
    errors.extend(port_number(port.at("/port"), &path.child("port")));
    errors.extend(protocol(port.text("/protocol"), &path.child("protocol")));
}

/// A port number must be there and within 1 to 65535.
pub(crate) fn port_number(port: &Value, path: &FieldPath) -> Option<FieldError> {
    let number = port.as_i64().unwrap_or_default();
    let why = "must be between 1 and 65535, inclusive";
    (!(1..=65535).contains(&number)).then(|| FieldError::invalid(path, number, why))
}

/// A protocol must be there and known.
pub(crate) fn protocol(protocol: &str, path: &FieldPath) -> Option<FieldError> {
    if protocol.is_empty() {
        return Some(FieldError::required(path, ""));
    }
    (!PROTOCOLS.contains(&protocol)).then(|| FieldError::not_supported(path, protocol, PROTOCOLS))
}

/// An address must be one that other machines can reach.
pub(crate) fn endpoint_ip(text: &str, path: &FieldPath) -> Option<FieldError> {
    let Ok(ip) = text.parse::<IpAddr>() else {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        return Some(FieldError::invalid(path, text, why));
    };
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let multicast = match ip {
        IpAddr::V4(ip) => ip.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    };
    let why = if ip.is_unspecified() {
        format!("may not be unspecified ({text})")
    } else if ip.is_loopback() {
        "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned()
    } else if link_local {
        "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned()
    } else if multicast {
        "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()
    } else {
        return None;
    };
    Some(FieldError::invalid(path, text, why))
}

fn shown(object: &Value) -> String {
    let mut all = Vec::new();
    for subset in object.items("/subsets") {
        let addresses = subset.items("/addresses").iter().map(|a| a.text("/ip"));
        let ports = subset.items("/ports");
        if ports.is_empty() {
            all.extend(addresses.clone().map(str::to_owned));
        }
        for port in ports {
            let number = port.int("/port").unwrap_or_default();
            all.extend(addresses.clone().map(|ip| match ip.contains(':') {
                true => format!("[{ip}]:{number}"),
                false => format!("{ip}:{number}"),
            }));
        }
    }
    match all.len() {
        0 => "<none>".to_owned(),
        _ => first_few(&all),
    }
}

/// The first three, and how many more there are.
pub(crate) fn first_few(all: &[String]) -> String {
    let list = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(",");
    match all.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{list} + {more} more..."),
        _ => list,
    }
}

//! discovery.k8s.io/v1 EndpointSlice.

use std::net::IpAddr;

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::{meta, names};
use jiff::Timestamp;
use serde_json::Value;

use crate::endpoints::{endpoint_ip, first_few, protocol};
use crate::metadata::immutable;
use crate::read::{self, Read};
use crate::strategy::{Column, Strategy, age};

const ADDRESS_TYPES: &[&str] = &["FQDN", "IPv4", "IPv6"];
const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;

pub(crate) struct EndpointSlice;

impl Strategy for EndpointSlice {
    fn default(&self, object: &mut Value) {
        for port in read::items_mut(object, "ports") {
            read::set_default(port, "name", "");
            read::set_default(port, "protocol", "TCP");
        }
    }

    fn next_generation(&self, new: &Value, old: Option<&Value>) -> Option<i64> {
        let Some(old) = old else { return Some(1) };
        let same = ["addressType", "endpoints", "ports"].iter().all(|k| new.get(k) == old.get(k))
            && new.at("/metadata/labels") == old.at("/metadata/labels");
        Some(meta::generation(old) + i64::from(!same))
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let address_type = object.text("/addressType");
        let path = FieldPath::new("addressType");
        if address_type.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else if !ADDRESS_TYPES.contains(&address_type) {
            errors.push(FieldError::not_supported(&path, address_type, ADDRESS_TYPES));
        }
        validate_ports(object.items("/ports"), &mut errors);
        let endpoints = object.items("/endpoints");
        let path = FieldPath::new("endpoints");
        if endpoints.len() > ENDPOINTS_MAX {
            errors.push(FieldError::too_many(&path, endpoints.len(), ENDPOINTS_MAX));
            return errors;
        }
        for (i, endpoint) in endpoints.iter().enumerate() {
            validate_endpoint(endpoint, address_type, &path.index(i), &mut errors);
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let path = FieldPath::new("addressType");
        immutable(new.at("/addressType"), old.at("/addressType"), &path, &mut errors);
        errors
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                Column::text("Name"),
                Column::text("AddressType"),
                Column::text("Ports"),
                Column::text("Endpoints"),
                Column::text("Age"),
            ]
        }
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let or_unset = |all: &[String]| match all.len() {
            0 => "<unset>".to_owned(),
            _ => first_few(all),
        };
        let port = |p: &Value| match (p.int("/port"), p.text("/name")) {
            (Some(port), _) => port.to_string(),
            (None, "") => "*".to_owned(),
            (None, name) => name.to_owned(),
        };
        let ports: Vec<String> = object.items("/ports").iter().map(port).collect();
        let endpoints = object.items("/endpoints").iter();
        let addresses: Vec<String> = endpoints
            .flat_map(|e| e.items("/addresses"))
            .filter_map(|a| a.as_str().map(str::to_owned))
            .collect();
        vec![
            meta::name(object).into(),
            object.text("/addressType").into(),
            or_unset(&ports).into(),
            or_unset(&addresses).into(),
            age(object, now),
        ]
    }
}

fn validate_ports(ports: &[Value], errors: &mut Vec<FieldError>) {
    let path = FieldPath::new("ports");
    if ports.len() > PORTS_MAX {
        errors.push(FieldError::too_many(&path, ports.len(), PORTS_MAX));
        return;
    }
    let mut seen = std::collections::HashSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = port.text("/name");
        if !name.is_empty() {
            for why in names::dns1123_label(name) {
                errors.push(FieldError::invalid(&path.child("name"), name, why));
            }
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        errors.extend(protocol(port.text("/protocol"), &path.child("protocol")));
    }
}

fn validate_endpoint(
    endpoint: &Value,
    address_type: &str,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let addresses = endpoint.items("/addresses");
    let list = path.child("addresses");
    if addresses.is_empty() {
        errors.push(FieldError::required(&list, "must contain at least 1 address"));
    } else if addresses.len() > ADDRESSES_MAX {
        errors.push(FieldError::too_many(&list, addresses.len(), ADDRESSES_MAX));
    }
    for (i, address) in addresses.iter().enumerate() {
        let address = address.as_str().unwrap_or_default();
        let path = list.index(i);
        if address_type == "FQDN" {
            for why in names::dns1123_subdomain(address.trim_end_matches('.')) {
                errors.push(FieldError::invalid(&path, address, why));
            }
            continue;
        }
        errors.extend(endpoint_ip(address, &path));
        let family = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => "IPv4",
            Ok(IpAddr::V6(_)) => "IPv6",
            Err(_) => continue,
        };
        if ADDRESS_TYPES.contains(&address_type) && family != address_type {
            let why = format!("must be an {address_type} address");
            errors.push(FieldError::invalid(&list, address, why));
        }
    }
    for (field, check) in [
        ("nodeName", names::dns1123_subdomain as fn(&str) -> Vec<String>),
        ("hostname", names::dns1123_label),
    ] {
        let value = endpoint.text(&format!("/{field}"));
        if !value.is_empty() {
            for why in check(value) {
                errors.push(FieldError::invalid(&path.child(field), value, why));
            }
        }
    }
}

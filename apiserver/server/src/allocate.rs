//! What Services get that no two may have: cluster addresses and node ports.
//!
//! What is taken is what the Services in the store have. A lock is held from looking to writing;
//! nothing is remembered in between, so that nothing can leak.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::kinds::Kind;
use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use corten_apiserver_store::{Range, Store};
use rand::RngExt as _;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use crate::config::{Cidr, Config, ServeError};
use crate::rest::storage;
use crate::state::Api;

/// Gives out addresses and ports.
#[derive(Debug)]
pub(crate) struct Allocators {
    lock: Mutex<()>,
    cidr: Cidr,
    /// First and last usable address, as numbers.
    addresses: (u32, u32),
    ports: (u16, u16),
}

/// What the Services in the store have.
#[derive(Debug, Default)]
struct Taken {
    addresses: HashSet<IpAddr>,
    /// Number and protocol.
    ports: HashSet<(u16, String)>,
}

impl Allocators {
    pub(crate) fn new(config: &Config) -> Result<Self, ServeError> {
        let cidr = config.service_cidr;
        let wrong = |problem| ServeError::ServiceCidr { cidr, problem };
        let IpAddr::V4(base) = cidr.base else {
            return Err(wrong("only IPv4 ranges are supported"));
        };
        if !(8..=28).contains(&cidr.prefix_len) {
            return Err(wrong("its prefix length must be between 8 and 28"));
        }
        let size = 1_u32 << (32 - cidr.prefix_len);
        let base = base.to_bits() & !(size - 1);
        Ok(Self {
            lock: Mutex::new(()),
            cidr,
            addresses: (base + 1, base + size - 2),
            ports: config.node_ports,
        })
    }

    /// The first address: that of the `kubernetes` Service.
    pub(crate) fn first_address(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(self.addresses.0))
    }

    /// Gives a Service what it needs and does not have. Other kinds need nothing. What is
    /// returned is to be held until the object is written.
    pub(crate) async fn assign(
        &self,
        api: &Api,
        kind: &Kind,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<Option<MutexGuard<'_, ()>>, Status> {
        if (kind.group, kind.kind) != ("", "Service") {
            return Ok(None);
        }
        let guard = self.lock.lock().await;
        let mut taken = Taken::read(&*api.store, meta::uid(object));
        if let Some(old) = old {
            keep(object, old);
        }
        let mut errors = Vec::new();
        self.assign_address(object, &mut taken, &mut errors);
        self.assign_ports(object, &mut taken, &mut errors);
        if errors.is_empty() {
            return Ok(Some(guard));
        }
        Err(status::invalid(kind, meta::name(object), &errors))
    }

    fn assign_address(&self, service: &mut Value, taken: &mut Taken, errors: &mut Vec<FieldError>) {
        let Some(spec) = service.get_mut("spec") else { return };
        if text(spec, "type") == "ExternalName" {
            if let Some(spec) = spec.as_object_mut() {
                for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                    spec.shift_remove(field);
                }
            }
            return;
        }
        let wanted = text(spec, "clusterIP").to_owned();
        let address = match wanted.as_str() {
            "None" => wanted,
            "" => match self.free_address(taken) {
                Some(address) => address.to_string(),
                None => {
                    let path = FieldPath::new("spec").child("clusterIPs");
                    let why = "failed to allocate a serviceIP: range is full";
                    errors.push(FieldError::invalid(&path, Value::Array(Vec::new()), why));
                    return;
                }
            },
            _ => {
                if let Some(why) = self.refusal(&wanted, taken) {
                    let path = FieldPath::new("spec").child("clusterIPs");
                    let why = format!("failed to allocate IP {wanted}: {why}");
                    errors.push(FieldError::invalid(&path, json!([wanted]), why));
                    return;
                }
                wanted
            }
        };
        spec["clusterIP"] = json!(address);
        spec["clusterIPs"] = json!([address]);
        let mut or_set = |field: &str, value: Value| {
            if spec.get(field).is_none_or(Value::is_null) {
                spec[field] = value;
            }
        };
        or_set("ipFamilies", json!(["IPv4"]));
        or_set("ipFamilyPolicy", json!("SingleStack"));
    }

    fn refusal(&self, wanted: &str, taken: &Taken) -> Option<String> {
        let out_of_range = || {
            format!(
                "the provided network does not match the current range: the provided IP \
                 ({wanted}) is not in the valid range. The range of valid IPs is {}",
                self.cidr
            )
        };
        let address: IpAddr = match wanted.parse() {
            Ok(address) => address,
            Err(_no_address) => return Some(out_of_range()),
        };
        let IpAddr::V4(v4) = address else { return Some(out_of_range()) };
        if !(self.addresses.0..=self.addresses.1).contains(&v4.to_bits()) {
            return Some(out_of_range());
        }
        taken.addresses.contains(&address).then(|| "provided IP is already allocated".to_owned())
    }

    /// A free address, from anywhere in the range but its lower part, which is left to those who
    /// ask for a certain one (KEP-3070).
    fn free_address(&self, taken: &Taken) -> Option<IpAddr> {
        let (first, last) = self.addresses;
        let size = last - first + 1;
        let reserved = (size / 16).clamp(16, 256).min(size / 2);
        let upper = first + reserved;
        let start = rand::rng().random_range(upper..=last);
        let free = |bits: &u32| !taken.addresses.contains(&IpAddr::V4(Ipv4Addr::from_bits(*bits)));
        let bits = (start..=last).chain(upper..start).find(free);
        // The first address belongs to the `kubernetes` Service whether it is there yet or not.
        bits.or_else(|| (first + 1..upper).find(free)).map(|b| IpAddr::V4(Ipv4Addr::from_bits(b)))
    }

    fn assign_ports(&self, service: &mut Value, taken: &mut Taken, errors: &mut Vec<FieldError>) {
        let Some(spec) = service.get_mut("spec") else { return };
        let needed = match text(spec, "type") {
            "NodePort" => true,
            "LoadBalancer" => {
                spec.get("allocateLoadBalancerNodePorts").and_then(Value::as_bool).unwrap_or(true)
            }
            _ => false,
        };
        let path = FieldPath::new("spec").child("ports");
        let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
        for (index, port) in ports.into_iter().flatten().enumerate() {
            let protocol = match text(port, "protocol") {
                "" => "TCP".to_owned(),
                protocol => protocol.to_owned(),
            };
            let wanted = port.get("nodePort").and_then(Value::as_u64).unwrap_or(0);
            let path = path.index(index).child("nodePort");
            if wanted == 0 {
                if !needed {
                    continue;
                }
                let Some(free) = self.free_port(taken, &protocol) else {
                    let why = "failed to allocate a nodePort: range is full";
                    errors.push(FieldError::invalid(&path, 0, why));
                    continue;
                };
                taken.ports.insert((free, protocol));
                port["nodePort"] = json!(free);
                continue;
            }
            let number = u16::try_from(wanted).unwrap_or(0);
            if !(self.ports.0..=self.ports.1).contains(&number) {
                let why = format!(
                    "provided port is not in the valid range. The range of valid ports is {}-{}",
                    self.ports.0, self.ports.1
                );
                errors.push(FieldError::invalid(&path, wanted, why));
            } else if !taken.ports.insert((number, protocol)) {
                errors.push(FieldError::invalid(
                    &path,
                    wanted,
                    "provided port is already allocated",
                ));
            }
        }
    }

    fn free_port(&self, taken: &Taken, protocol: &str) -> Option<u16> {
        let (first, last) = self.ports;
        let start = rand::rng().random_range(first..=last);
        (start..=last)
            .chain(first..start)
            .find(|port| !taken.ports.contains(&(*port, protocol.to_owned())))
    }
}

impl Taken {
    /// What every Service but the one with `uid` has.
    fn read(store: &dyn Store, uid: &str) -> Self {
        let prefix = storage::core_key("services", "", "");
        let entries = store
            .range(&Range { prefix: &prefix, ..Range::default() })
            .map(|found| found.items)
            .unwrap_or_default();
        let mut taken = Self::default();
        for entry in entries {
            let service = storage::parsed(&entry);
            if meta::uid(&service) == uid {
                continue;
            }
            let spec = &service["spec"];
            taken.addresses.extend(text(spec, "clusterIP").parse::<IpAddr>().ok());
            let ports = spec.get("ports").and_then(Value::as_array);
            for port in ports.into_iter().flatten() {
                let number = port.get("nodePort").and_then(Value::as_u64).unwrap_or(0);
                if let Ok(number @ 1..) = u16::try_from(number) {
                    taken.ports.insert((number, text(port, "protocol").to_owned()));
                }
            }
        }
        taken
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A change that leaves out what was given keeps it: manifests do not name addresses and ports.
fn keep(service: &mut Value, old: &Value) {
    let has_address = |service: &Value| text(&service["spec"], "type") != "ExternalName";
    if has_address(service) && has_address(old) && text(&service["spec"], "clusterIP").is_empty() {
        service["spec"]["clusterIP"] = old["spec"]["clusterIP"].clone();
    }
    let uses_ports =
        |service: &Value| matches!(text(&service["spec"], "type"), "NodePort" | "LoadBalancer");
    if !uses_ports(old) {
        return;
    }
    let kept = uses_ports(service);
    let same = |a: &Value, b: &Value| {
        let key = |p: &Value| (p.get("port").cloned(), text(p, "protocol").to_owned());
        key(a) == key(b)
    };
    let old_ports = old.pointer("/spec/ports").and_then(Value::as_array);
    let ports = service.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        let before = old_ports.into_iter().flatten().find(|before| same(before, port));
        let given = before.and_then(|before| before.get("nodePort")).cloned();
        let own = port.get("nodePort").and_then(Value::as_u64).unwrap_or(0);
        match given {
            Some(given) if kept && own == 0 => port["nodePort"] = given,
            // No longer of a type that has node ports: those it was given go.
            Some(given) if !kept && Some(&given) == port.get("nodePort") => {
                if let Some(port) = port.as_object_mut() {
                    port.shift_remove("nodePort");
                }
            }
            Some(_) | None => {}
        }
    }
}

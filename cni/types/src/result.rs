//! The result of ADD.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{IpNet, Version};

/// What ADD made: interfaces, addresses, routes, DNS. Held in the newest form; older versions are
/// read and written by [`AddResult::from_json`] and [`AddResult::to_json`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddResult {
    /// The interfaces, those of the host included. An IPAM plugin names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Interface>,
    /// The addresses given to the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpConfig>,
    /// The routes made in the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// DNS settings.
    #[serde(default, skip_serializing_if = "Dns::is_empty")]
    pub dns: Dns,
}

/// An interface that the plugin made or uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Its MTU in bytes; zero when not told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mtu: u32,
    /// The network namespace's path; empty for an interface of the host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
    /// For vhost-user and the like.
    #[serde(rename = "socketPath", default, skip_serializing_if = "String::is_empty")]
    pub socket_path: String,
    /// For PCI devices.
    #[serde(rename = "pciID", default, skip_serializing_if = "String::is_empty")]
    pub pci_id: String,
}

/// An address given to the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpConfig {
    /// Which of the result's interfaces has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<usize>,
    /// The address with its network's prefix length.
    pub address: IpNet,
    /// The network's gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// A route in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The destination.
    pub dst: IpNet,
    /// The next hop; without it the plugin takes the address's gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gw: Option<IpAddr>,
    /// The path's MTU in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The largest TCP segment to advertise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advmss: Option<u32>,
    /// The metric: lower is preferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// The routing table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// The scope, as in rtnetlink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
}

impl Route {
    /// A route without any of the optional settings.
    #[must_use]
    pub fn new(dst: IpNet, gw: Option<IpAddr>) -> Self {
        Self { dst, gw, mtu: None, advmss: None, priority: None, table: None, scope: None }
    }
}

/// DNS settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// Servers, in order of preference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Search domains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Resolver options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Dns {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A result that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// It is not shaped like a result.
    #[error("not a CNI result")]
    Shape {
        /// What the decoder says.
        #[source]
        source: serde_json::Error,
    },
    /// An address points to an interface that is not listed.
    #[error("ips[{ip}].interface is {interface}, but there are {count} interfaces")]
    Interface {
        /// Which address.
        ip: usize,
        /// What it points to.
        interface: usize,
        /// How many interfaces there are.
        count: usize,
    },
}

impl AddResult {
    /// Reads a result of any version from 0.3.1 on.
    ///
    /// # Errors
    /// [`ResultError`].
    pub fn from_json(value: &Value) -> Result<Self, ResultError> {
        let result = Self::deserialize(value).map_err(|source| ResultError::Shape { source })?;
        let count = result.interfaces.len();
        for (ip, config) in result.ips.iter().enumerate() {
            // IPAM plugins list addresses without interfaces; there an index means nothing.
            if let Some(interface) = config.interface.filter(|&index| count > 0 && index >= count) {
                return Err(ResultError::Interface { ip, interface, count });
            }
        }
        Ok(result)
    }

    /// Writes the result in the form of `version`. Fields which that version does not have are
    /// left out, as the specification's section on versions allows.
    #[must_use]
    pub fn to_json(&self, version: Version) -> Value {
        let mut object = Map::new();
        object.insert("cniVersion".to_owned(), version.as_str().into());
        if !self.interfaces.is_empty() {
            let list = self.interfaces.iter().map(|entry| entry.to_json(version)).collect();
            object.insert("interfaces".to_owned(), Value::Array(list));
        }
        if !self.ips.is_empty() {
            let list = self.ips.iter().map(|entry| entry.to_json(version)).collect();
            object.insert("ips".to_owned(), Value::Array(list));
        }
        if !self.routes.is_empty() {
            let list = self.routes.iter().map(|entry| entry.to_json(version)).collect();
            object.insert("routes".to_owned(), Value::Array(list));
        }
        // `dns` is there even when it is empty: clients of the reference plugins expect it.
        object.insert("dns".to_owned(), self.dns.to_json());
        Value::Object(object)
    }
}

impl Interface {
    fn to_json(&self, version: Version) -> Value {
        let mut object = Map::new();
        object.insert("name".to_owned(), self.name.clone().into());
        insert_text(&mut object, "mac", &self.mac);
        if version >= Version::V1_1_0 && self.mtu != 0 {
            object.insert("mtu".to_owned(), self.mtu.into());
        }
        insert_text(&mut object, "sandbox", &self.sandbox);
        if version >= Version::V1_1_0 {
            insert_text(&mut object, "socketPath", &self.socket_path);
            insert_text(&mut object, "pciID", &self.pci_id);
        }
        Value::Object(object)
    }
}

impl IpConfig {
    fn to_json(&self, version: Version) -> Value {
        let mut object = Map::new();
        if version.result_has_family() {
            let family = if self.address.is_ipv4() { "4" } else { "6" };
            object.insert("version".to_owned(), family.into());
        }
        if let Some(interface) = self.interface {
            object.insert("interface".to_owned(), interface.into());
        }
        object.insert("address".to_owned(), self.address.to_string().into());
        if let Some(gateway) = self.gateway {
            object.insert("gateway".to_owned(), gateway.to_string().into());
        }
        Value::Object(object)
    }
}

impl Route {
    fn to_json(&self, version: Version) -> Value {
        let mut object = Map::new();
        object.insert("dst".to_owned(), self.dst.to_string().into());
        if let Some(gateway) = self.gw {
            object.insert("gw".to_owned(), gateway.to_string().into());
        }
        if version >= Version::V1_1_0 {
            let numbers = [
                ("mtu", self.mtu),
                ("advmss", self.advmss),
                ("priority", self.priority),
                ("table", self.table),
                ("scope", self.scope.map(u32::from)),
            ];
            for (key, number) in numbers {
                if let Some(number) = number {
                    object.insert(key.to_owned(), number.into());
                }
            }
        }
        Value::Object(object)
    }
}

impl Dns {
    fn to_json(&self) -> Value {
        let mut object = Map::new();
        insert_list(&mut object, "nameservers", &self.nameservers);
        insert_text(&mut object, "domain", &self.domain);
        insert_list(&mut object, "search", &self.search);
        insert_list(&mut object, "options", &self.options);
        Value::Object(object)
    }
}

fn insert_text(object: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        object.insert(key.to_owned(), text.into());
    }
}

fn insert_list(object: &mut Map<String, Value>, key: &str, list: &[String]) {
    if !list.is_empty() {
        object.insert(key.to_owned(), list.to_vec().into());
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn result() -> AddResult {
        AddResult {
            interfaces: vec![Interface {
                name: "eth0".into(),
                mac: "02:00:00:00:00:01".into(),
                mtu: 1500,
                sandbox: "/run/netns/a".into(),
                ..Interface::default()
            }],
            ips: vec![IpConfig {
                interface: Some(0),
                address: "10.42.0.2/24".parse().unwrap(),
                gateway: Some("10.42.0.1".parse().unwrap()),
            }],
            routes: vec![Route {
                priority: Some(7),
                ..Route::new("0.0.0.0/0".parse().unwrap(), None)
            }],
            dns: Dns::default(),
        }
    }

    fn check(version: Version, expected: &Expect) {
        let value = result().to_json(version);
        expected.assert_eq(&value.to_string());
        assert_eq!(AddResult::from_json(&value).unwrap().ips, result().ips);
    }

    #[test]
    fn each_version_has_its_form() {
        check(
            Version::V0_4_0,
            &expect![[
                r#"{"cniVersion":"0.4.0","interfaces":[{"name":"eth0","mac":"02:00:00:00:00:01","sandbox":"/run/netns/a"}],"ips":[{"version":"4","interface":0,"address":"10.42.0.2/24","gateway":"10.42.0.1"}],"routes":[{"dst":"0.0.0.0/0"}],"dns":{}}"#
            ]],
        );
        check(
            Version::V1_0_0,
            &expect![[
                r#"{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","mac":"02:00:00:00:00:01","sandbox":"/run/netns/a"}],"ips":[{"interface":0,"address":"10.42.0.2/24","gateway":"10.42.0.1"}],"routes":[{"dst":"0.0.0.0/0"}],"dns":{}}"#
            ]],
        );
        check(
            Version::V1_1_0,
            &expect![[
                r#"{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","mac":"02:00:00:00:00:01","mtu":1500,"sandbox":"/run/netns/a"}],"ips":[{"interface":0,"address":"10.42.0.2/24","gateway":"10.42.0.1"}],"routes":[{"dst":"0.0.0.0/0","priority":7}],"dns":{}}"#
            ]],
        );
    }

    #[test]
    fn an_address_of_no_interface_is_refused() {
        let mut value = result().to_json(Version::V1_1_0);
        value["ips"][0]["interface"] = 3.into();
        let error = AddResult::from_json(&value).unwrap_err();
        assert_eq!(error.to_string(), "ips[0].interface is 3, but there are 1 interfaces");
    }
}

//! The parameters of one call.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Linux's `IFNAMSIZ`, without the terminating zero.
const INTERFACE_NAME_MAX: usize = 15;

/// What the runtime says about one attachment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuntimeArgs {
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_NETNS`; empty on DEL when the namespace is gone already.
    pub netns: PathBuf,
    /// `CNI_IFNAME`.
    pub ifname: String,
    /// `CNI_ARGS`, in order.
    pub args: Vec<(String, String)>,
    /// By capability: a plugin is given in `runtimeConfig` those that its configuration declares.
    pub capability_args: BTreeMap<String, Value>,
}

impl RuntimeArgs {
    /// Adds the `portMappings` capability, unless there are none.
    #[must_use]
    pub fn with_port_mappings(mut self, mappings: &[PortMapping]) -> Self {
        if !mappings.is_empty() {
            let list = mappings.iter().map(PortMapping::to_json).collect();
            self.capability_args.insert("portMappings".to_owned(), Value::Array(list));
        }
        self
    }

    /// The arguments as `CNI_ARGS` carries them: `K=V;K2=V2`.
    #[must_use]
    pub fn args_text(&self) -> String {
        let pairs: Vec<_> = self.args.iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join(";")
    }
}

/// A transport protocol of a port mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[serde(alias = "TCP")]
    Tcp,
    /// UDP.
    #[serde(alias = "UDP")]
    Udp,
    /// SCTP.
    #[serde(alias = "SCTP")]
    Sctp,
}

impl Protocol {
    /// The lower-case name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A port of the host that leads to a port of the container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// The port on the host.
    pub host_port: u16,
    /// The port in the container.
    pub container_port: u16,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The host's address; every address of the host without it.
    #[serde(rename = "hostIP", default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
}

impl PortMapping {
    fn to_json(&self) -> Value {
        let mut object = serde_json::Map::new();
        object.insert("hostPort".to_owned(), self.host_port.into());
        object.insert("containerPort".to_owned(), self.container_port.into());
        object.insert("protocol".to_owned(), self.protocol.as_str().into());
        if let Some(address) = self.host_ip {
            object.insert("hostIP".to_owned(), address.to_string().into());
        }
        Value::Object(object)
    }
}

/// A name that the specification (section "Parameters") does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} is not valid: {rule}")]
pub struct InvalidName {
    /// What kind of name.
    pub what: &'static str,
    /// The name.
    pub name: String,
    /// What is asked of such a name.
    pub rule: &'static str,
}

/// A container's id: starts with a letter or digit, goes on with those and `_.-`.
///
/// # Errors
/// [`InvalidName`].
pub fn validate_container_id(name: &str) -> Result<(), InvalidName> {
    validate_identifier("container id", name)
}

/// A network's name: the same rule as for a container's id.
///
/// # Errors
/// [`InvalidName`].
pub fn validate_network_name(name: &str) -> Result<(), InvalidName> {
    validate_identifier("network name", name)
}

fn validate_identifier(what: &'static str, name: &str) -> Result<(), InvalidName> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    // File names are made of these: 255 bytes is what a file system takes.
    if first && rest && name.len() <= 200 {
        return Ok(());
    }
    let rule = "it must start with a letter or digit, go on with those or '_', '.', '-', and be at \
                most 200 long";
    Err(InvalidName { what, name: name.to_owned(), rule })
}

/// An interface's name as the kernel takes it.
///
/// # Errors
/// [`InvalidName`].
pub fn validate_interface_name(name: &str) -> Result<(), InvalidName> {
    let bad = |byte: u8| byte == b'/' || byte == b':' || byte.is_ascii_whitespace() || byte == 0;
    let dots = name == "." || name == "..";
    if !name.is_empty() && name.len() <= INTERFACE_NAME_MAX && !dots && !name.bytes().any(bad) {
        return Ok(());
    }
    let rule = "it must have 1 to 15 characters, none of them '/', ':' or a space, and not be \
                '.' or '..'";
    Err(InvalidName { what: "interface name", name: name.to_owned(), rule })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "0a_b.c-d"] {
            assert_eq!(validate_container_id(good), Ok(()));
        }
        for bad in ["", "-a", "a/b", "../x", "a b", &"x".repeat(201)] {
            assert_eq!(validate_container_id(bad).unwrap_err().name, bad);
        }
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "sixteen-bytes-xx"] {
            assert_eq!(validate_interface_name(bad).unwrap_err().name, bad);
        }
        assert_eq!(validate_interface_name("eth0"), Ok(()));
    }

    #[test]
    fn port_mappings_are_a_capability() {
        let mapping = PortMapping {
            host_port: 8080,
            container_port: 80,
            protocol: Protocol::Tcp,
            host_ip: Some("10.0.0.1".parse().unwrap()),
        };
        let args = RuntimeArgs::default().with_port_mappings(std::slice::from_ref(&mapping));
        let value = args.capability_args["portMappings"][0].clone();
        assert_eq!(serde_json::from_value::<PortMapping>(value).unwrap(), mapping);
        assert!(RuntimeArgs::default().with_port_mappings(&[]).capability_args.is_empty());
    }
}

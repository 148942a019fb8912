//! The sandbox's network: CNI plugins, called from threads that may block.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use corten_api_cri::v1::{PortMapping, Protocol};

mod cni;

pub(crate) use cni::CniNetwork;

/// The name of a sandbox's interface, as Kubernetes has it.
pub(crate) const INTERFACE: &str = "eth0";

/// A sandbox to be attached to the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attachment {
    pub(crate) sandbox_id: String,
    /// The pinned namespace.
    pub(crate) namespace: PathBuf,
    pub(crate) pod_name: String,
    pub(crate) pod_namespace: String,
    pub(crate) pod_uid: String,
    pub(crate) port_mappings: Vec<HostPort>,
}

/// A port of the node that leads into a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) protocol: Transport,
    pub(crate) host_ip: Option<IpAddr>,
    pub(crate) host_port: u16,
    pub(crate) container_port: u16,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
    Sctp,
}

/// A network plugin, or its configuration, failed.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct NetworkError {
    pub(crate) what: String,
    #[source]
    pub(crate) source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Attaches sandboxes. The calls block.
pub(crate) trait Network: Send + Sync + fmt::Debug {
    /// Attaches; the addresses that the sandbox got, first the one that names it.
    fn add(&self, attachment: &Attachment) -> Result<Vec<IpAddr>, NetworkError>;
    /// Undoes [`Network::add`]; also what only half happened.
    fn remove(&self, attachment: &Attachment) -> Result<(), NetworkError>;
    /// Removes what is left of attachments that are not among these sandboxes.
    fn collect(&self, sandboxes: &BTreeSet<String>) -> Result<(), NetworkError>;
    /// Whether sandboxes can be attached.
    fn ready(&self) -> Result<(), NetworkError>;
}

/// The host ports among a sandbox's port mappings; a mapping without one is the pod's own affair.
///
/// The error is the field and what is wrong with it.
pub(crate) fn host_ports(mappings: &[PortMapping]) -> Result<Vec<HostPort>, (String, String)> {
    let mut ports = Vec::new();
    for (index, mapping) in mappings.iter().enumerate() {
        let field = |name: &str| format!("config.port_mappings[{index}].{name}");
        if mapping.host_port == 0 {
            continue;
        }
        let protocol = match Protocol::try_from(mapping.protocol) {
            Ok(Protocol::Tcp) => Transport::Tcp,
            Ok(Protocol::Udp) => Transport::Udp,
            Ok(Protocol::Sctp) => Transport::Sctp,
            Err(unknown) => return Err((field("protocol"), unknown.to_string())),
        };
        let port = |name: &str, value: i32| match u16::try_from(value) {
            Ok(port) if port > 0 => Ok(port),
            Ok(_) | Err(_) => Err((field(name), format!("{value} is not a port (1 to 65535)"))),
        };
        let host_ip = match mapping.host_ip.as_str() {
            "" => None,
            text => match text.parse::<IpAddr>() {
                Ok(address) if address.is_unspecified() => None,
                Ok(address) => Some(address),
                Err(wrong) => return Err((field("host_ip"), format!("{text:?}: {wrong}"))),
            },
        };
        ports.push(HostPort {
            protocol,
            host_ip,
            host_port: port("host_port", mapping.host_port)?,
            container_port: port("container_port", mapping.container_port)?,
        });
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(host: i32, container: i32, ip: &str) -> PortMapping {
        PortMapping {
            protocol: Protocol::Udp.into(),
            container_port: container,
            host_port: host,
            host_ip: ip.to_owned(),
        }
    }

    #[test]
    fn only_host_ports_are_mapped() {
        let ports = host_ports(&[mapping(0, 80, ""), mapping(8080, 80, "0.0.0.0")]).unwrap();
        let expected = HostPort {
            protocol: Transport::Udp,
            host_ip: None,
            host_port: 8080,
            container_port: 80,
        };
        assert_eq!(ports, [expected]);
    }

    #[test]
    fn what_is_not_a_port_is_named() {
        let (field, reason) = host_ports(&[mapping(70_000, 80, "")]).unwrap_err();
        assert_eq!(field, "config.port_mappings[0].host_port");
        assert_eq!(reason, "70000 is not a port (1 to 65535)");
        let (field, _) = host_ports(&[mapping(8080, 80, "nonsense")]).unwrap_err();
        assert_eq!(field, "config.port_mappings[0].host_ip");
    }
}

//! The network as CNI plugins make it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use corten_cni_invoke::{InvokeError, Invoker, load_conf_dir};
use corten_cni_types::{Attachment as CniAttachment, PortMapping, Protocol, RuntimeArgs};

use super::{Attachment, INTERFACE, Network, NetworkError, Transport};
use crate::config::Cni;

/// Reads the configuration anew for each call: whoever sets the network up may come later than we.
#[derive(Debug)]
pub(crate) struct CniNetwork {
    conf_dir: PathBuf,
    invoker: Invoker,
}

impl CniNetwork {
    pub(crate) fn new(config: &Cni) -> Self {
        let invoker = Invoker::new(config.bin_dirs.clone(), &config.cache_dir)
            .with_time_limit(config.timeout());
        Self { conf_dir: config.conf_dir.clone(), invoker }
    }
}

fn failed(what: &str) -> impl FnOnce(InvokeError) -> NetworkError {
    let what = what.to_owned();
    move |error| NetworkError { what, source: Some(Box::new(error)) }
}

fn arguments(attachment: &Attachment) -> RuntimeArgs {
    let mappings: Vec<_> = attachment
        .port_mappings
        .iter()
        .map(|port| PortMapping {
            host_port: port.host_port,
            container_port: port.container_port,
            protocol: match port.protocol {
                Transport::Tcp => Protocol::Tcp,
                Transport::Udp => Protocol::Udp,
                Transport::Sctp => Protocol::Sctp,
            },
            host_ip: port.host_ip,
        })
        .collect();
    // The names by which plugins know Kubernetes' pods.
    let args = [
        ("IgnoreUnknown", "1"),
        ("K8S_POD_NAMESPACE", &attachment.pod_namespace),
        ("K8S_POD_NAME", &attachment.pod_name),
        ("K8S_POD_INFRA_CONTAINER_ID", &attachment.sandbox_id),
        ("K8S_POD_UID", &attachment.pod_uid),
    ];
    RuntimeArgs {
        container_id: attachment.sandbox_id.clone(),
        netns: attachment.namespace.clone(),
        ifname: INTERFACE.to_owned(),
        args: args.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..RuntimeArgs::default()
    }
    .with_port_mappings(&mappings)
}

impl Network for CniNetwork {
    fn add(&self, attachment: &Attachment) -> Result<Vec<IpAddr>, NetworkError> {
        let list = load_conf_dir(&self.conf_dir).map_err(failed("CNI configuration"))?;
        let result = self.invoker.add(&list, &arguments(attachment)).map_err(failed("CNI ADD"))?;
        let inside = |index: usize| {
            let interface = result.interfaces.get(index);
            interface.is_some_and(|interface| !interface.sandbox.is_empty())
        };
        let ips: Vec<IpAddr> = result
            .ips
            .iter()
            .filter(|ip| ip.interface.is_none_or(inside))
            .map(|ip| ip.address.address())
            .collect();
        if ips.is_empty() {
            return Err(NetworkError {
                what: format!("network {:?} gave the pod no address", list.name),
                source: None,
            });
        }
        Ok(ips)
    }

    fn remove(&self, attachment: &Attachment) -> Result<(), NetworkError> {
        let mut args = arguments(attachment);
        if !attachment.namespace.exists() {
            // As the specification has it: the namespace went away, what is outside of it did not.
            args.netns = PathBuf::new();
        }
        // The network that it was attached to, which may not be the one that is configured now.
        if self.invoker.del_cached(&args).map_err(failed("CNI DEL"))? > 0 {
            return Ok(());
        }
        let list = load_conf_dir(&self.conf_dir).map_err(failed("CNI configuration"))?;
        self.invoker.del(&list, &args).map_err(failed("CNI DEL"))
    }

    fn collect(&self, sandboxes: &BTreeSet<String>) -> Result<(), NetworkError> {
        let valid: Vec<_> = sandboxes
            .iter()
            .map(|id| CniAttachment { container_id: id.clone(), ifname: INTERFACE.to_owned() })
            .collect();
        let stale = self.invoker.del_stale(&valid).map_err(failed("CNI DEL of what is left"));
        let list = load_conf_dir(&self.conf_dir).map_err(failed("CNI configuration"));
        list.and_then(|list| self.invoker.gc(&list, &valid).map_err(failed("CNI GC"))).and(stale)
    }

    fn ready(&self) -> Result<(), NetworkError> {
        let list = load_conf_dir(&self.conf_dir).map_err(failed("CNI configuration"))?;
        self.invoker.status(&list).map_err(failed("CNI STATUS"))
    }
}

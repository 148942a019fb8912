//! What the kubelet can be told.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Settings of the kubelet. Every field has a default save the names, keys and addresses that
/// only the cluster knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// The Node's name; also its hostname label.
    pub node_name: String,
    /// The address that the node is known by.
    pub node_ip: IpAddr,
    /// Labels that the Node is registered with, beside the well-known ones.
    pub node_labels: BTreeMap<String, String>,
    /// The container runtime's CRI socket.
    pub cri_socket: PathBuf,
    /// Where volumes and the pods' own files live.
    pub root: PathBuf,
    /// Where the runtime writes container logs.
    pub pod_logs_dir: PathBuf,
    /// The cgroup below which `kubepods` is made.
    pub cgroup_root: String,
    /// The address of the kubelet's own API.
    pub listen: SocketAddr,
    /// The certificate of the kubelet's own API, PEM.
    pub server_certificate: PathBuf,
    /// Its key, PEM.
    pub server_key: PathBuf,
    /// The authority that signed the API server's client certificate, PEM.
    pub client_ca: PathBuf,
    /// Pods that the node takes.
    pub max_pods: u32,
    /// Processes that one pod may have; a fork bomb stops here. 0: as many as the node.
    pub pod_pids_limit: u64,
    /// The cluster's DNS servers.
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// The host's resolver configuration, for pods that use it.
    pub resolv_conf: PathBuf,
    /// Bytes of memory kept back from pods.
    pub system_reserved_memory_bytes: u64,
    /// Thousandths of a cpu kept back from pods.
    pub system_reserved_cpu_milli: u32,
    /// A container's log is rotated when it is larger.
    pub container_log_max_bytes: u64,
    /// Log files kept of one container, the current one included.
    pub container_log_max_files: u32,
    /// The Kubernetes version that the node reports.
    pub version: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node_name: String::new(),
            node_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            node_labels: BTreeMap::new(),
            cri_socket: "/run/corten/cri.sock".into(),
            root: "/var/lib/corten/kubelet".into(),
            pod_logs_dir: "/var/log/pods".into(),
            cgroup_root: "/".to_owned(),
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 10250)),
            server_certificate: "/var/lib/corten/pki/kubelet.crt".into(),
            server_key: "/var/lib/corten/pki/kubelet.key".into(),
            client_ca: "/var/lib/corten/pki/ca.crt".into(),
            max_pods: 110,
            pod_pids_limit: 1024,
            cluster_dns: vec![IpAddr::V4(Ipv4Addr::new(10, 43, 0, 10))],
            cluster_domain: "cluster.local".to_owned(),
            resolv_conf: "/etc/resolv.conf".into(),
            system_reserved_memory_bytes: 0,
            system_reserved_cpu_milli: 0,
            container_log_max_bytes: 10 << 20,
            container_log_max_files: 5,
            version: format!("v1.36.0+corten.{}", env!("CARGO_PKG_VERSION")),
        }
    }
}

/// A setting that cannot work.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("kubelet setting {field} {problem}")]
pub struct ConfigError {
    /// The field, as it is written in the file.
    pub field: &'static str,
    /// What is wrong and what would be right.
    pub problem: &'static str,
}

impl Config {
    /// The folder that `seccompProfile.localhostProfile` of a pod is relative to.
    #[must_use]
    pub fn seccomp_profiles(&self) -> PathBuf {
        self.root.join("seccomp")
    }

    /// Checks what types cannot.
    ///
    /// # Errors
    /// [`ConfigError`] naming the first field that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |field, problem| Err(ConfigError { field, problem });
        if self.node_name.is_empty() {
            return wrong("nodeName", "is empty: give the node's name");
        }
        if self.node_ip.is_unspecified() {
            return wrong("nodeIp", "is not set: give the address that the node is known by");
        }
        if !self.cgroup_root.starts_with('/') {
            return wrong("cgroupRoot", "is not absolute: begin it with '/'");
        }
        if self.container_log_max_files < 2 {
            return wrong("containerLogMaxFiles", "is less than 2: rotation needs two files");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_setting_is_refused() {
        let error = serde_json::from_str::<Config>(r#"{"nodeNam": "a"}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `nodeNam`"), "{error}");
    }

    #[test]
    fn the_node_must_have_a_name_and_an_address() {
        let mut config = Config::default();
        assert_eq!(config.validate().unwrap_err().field, "nodeName");
        config.node_name = "n1".to_owned();
        assert_eq!(config.validate().unwrap_err().field, "nodeIp");
        config.node_ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(config.validate(), Ok(()));
    }
}

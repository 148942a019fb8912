//! `/etc/corten/config.yaml`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

/// Where settings are looked for when no flag names a file.
const DEFAULT_PATH: &str = "/etc/corten/config.yaml";

/// The settings of a machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Config {
    /// What outlives a reboot. Default `/var/lib/corten`.
    pub(crate) data_dir: PathBuf,
    /// What does not. Default `/run/corten`.
    pub(crate) run_dir: PathBuf,
    /// Where the administrator's kubeconfig is written. Default `/etc/corten/kubeconfig`.
    pub(crate) kubeconfig: PathBuf,
    /// Where `corten-run` and `corten-cni` are. Default: beside `corten`.
    pub(crate) bin_dir: Option<PathBuf>,
    /// The Node's name. Default: the hostname.
    pub(crate) node_name: Option<String>,
    /// The address by which others reach this machine. Default: that of the default route.
    pub(crate) node_ip: Option<IpAddr>,
    /// The addresses of pods. Default `10.42.0.0/16`.
    pub(crate) cluster_cidr: String,
    /// The addresses of Services. Default `10.43.0.0/16`.
    pub(crate) service_cidr: String,
    /// Default `cluster.local`.
    pub(crate) cluster_domain: String,
    /// Settings of the API server.
    pub(crate) apiserver: Apiserver,
    /// Settings of the kubelet.
    pub(crate) kubelet: Kubelet,
    /// Settings of the image store.
    pub(crate) images: corten_runtime_image::Config,
}

/// Settings of the API server.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Apiserver {
    /// The port it listens on, on all addresses. Default 6443.
    pub(crate) port: u16,
    /// Further names and addresses for its certificate.
    pub(crate) extra_sans: Vec<String>,
}

/// Settings of the kubelet.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Kubelet {
    /// The port of its API. Default 10250.
    pub(crate) port: u16,
    /// Pods that the node takes. Default 110.
    pub(crate) max_pods: u32,
    /// Processes that one pod may have. Default 1024; 0 is no limit.
    pub(crate) pod_pids_limit: u64,
    /// The cgroup below which everything is made. Default `/`.
    pub(crate) cgroup_root: String,
    /// Where container logs go. Default `/var/log/pods`.
    pub(crate) pod_logs_dir: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "/var/lib/corten".into(),
            run_dir: "/run/corten".into(),
            kubeconfig: "/etc/corten/kubeconfig".into(),
            bin_dir: None,
            node_name: None,
            node_ip: None,
            cluster_cidr: "10.42.0.0/16".to_owned(),
            service_cidr: "10.43.0.0/16".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            apiserver: Apiserver::default(),
            kubelet: Kubelet::default(),
            images: corten_runtime_image::Config::default(),
        }
    }
}

impl Default for Apiserver {
    fn default() -> Self {
        Self { port: 6443, extra_sans: Vec::new() }
    }
}

impl Default for Kubelet {
    fn default() -> Self {
        Self {
            port: 10250,
            max_pods: 110,
            pod_pids_limit: 1024,
            cgroup_root: "/".to_owned(),
            pod_logs_dir: "/var/log/pods".into(),
        }
    }
}

impl Config {
    /// Reads `path`, or the default file if there is one.
    ///
    /// # Errors
    /// Names the file, the line and the field that is wrong.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self> {
        let shown = path.unwrap_or(Path::new(DEFAULT_PATH));
        let text = match std::fs::read_to_string(shown) {
            Ok(text) => text,
            Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(error).with_context(|| format!("read {}", shown.display())),
        };
        let config: Self = Self::parse(&text).with_context(|| shown.display().to_string())?;
        Ok(config)
    }

    fn parse(text: &str) -> Result<Self> {
        // A file that holds only comments is a null document.
        let config = serde_norway::from_str::<Option<Self>>(text)?.unwrap_or_default();
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        for (field, path) in [
            ("dataDir", &self.data_dir),
            ("runDir", &self.run_dir),
            ("kubeconfig", &self.kubeconfig),
            ("kubelet.podLogsDir", &self.kubelet.pod_logs_dir),
        ] {
            let shown = path.display();
            ensure!(path.is_absolute(), "{field}: {shown} is not absolute: begin it with '/'");
            ensure!(path.parent().is_some(), "{field}: / is no place for it");
        }
        for (field, port) in
            [("apiserver.port", self.apiserver.port), ("kubelet.port", self.kubelet.port)]
        {
            ensure!(port != 0, "{field}: 0 is no port");
        }
        if let Some(name) = &self.node_name {
            check_node_name(name).context("nodeName")?;
        }
        network("clusterCidr", &self.cluster_cidr)?;
        network("serviceCidr", &self.service_cidr)?;
        Ok(())
    }

    /// The Node's name: as set, else the hostname in lower case.
    ///
    /// # Errors
    /// When the hostname can't be a Node's name.
    pub(crate) fn node_name(&self) -> Result<String> {
        if let Some(name) = &self.node_name {
            return Ok(name.clone());
        }
        let system = rustix::system::uname();
        let name = system.nodename().to_string_lossy().to_lowercase();
        check_node_name(&name).context("the hostname; set nodeName in the configuration")?;
        Ok(name)
    }

    /// The address by which others reach this machine.
    ///
    /// # Errors
    /// When there is no default route and none is set.
    pub(crate) fn node_ip(&self) -> Result<IpAddr> {
        if let Some(address) = self.node_ip {
            return Ok(address);
        }
        default_address().context(
            "this machine has no default route that would tell its address: \
             set nodeIp in the configuration",
        )
    }

    /// Where `corten-run` and `corten-cni` are.
    ///
    /// # Errors
    /// When they are not there.
    pub(crate) fn bin_dir(&self) -> Result<PathBuf> {
        let folder = match &self.bin_dir {
            Some(folder) => folder.clone(),
            None => {
                let own = std::env::current_exe().context("find the folder of corten")?;
                own.parent().context("find the folder of corten")?.to_owned()
            }
        };
        for name in ["corten-run", "corten-cni"] {
            let path = folder.join(name);
            if !path.is_file() {
                bail!("{} is missing: install it beside corten, or set binDir", path.display());
            }
        }
        Ok(folder)
    }

    /// The `kubernetes` Service's address and that of DNS: the first and the tenth of the range
    /// of Services.
    ///
    /// # Errors
    /// When the range is none.
    pub(crate) fn service_addresses(&self) -> Result<(IpAddr, IpAddr)> {
        let (base, _) = network("serviceCidr", &self.service_cidr)?;
        let nth = |n: u8| match base {
            IpAddr::V4(base) => IpAddr::from((u32::from(base) + u32::from(n)).to_be_bytes()),
            IpAddr::V6(base) => IpAddr::from((u128::from(base) + u128::from(n)).to_be_bytes()),
        };
        Ok((nth(1), nth(10)))
    }
}

/// The base address and the length of a range.
pub(crate) fn network(field: &str, text: &str) -> Result<(IpAddr, u8)> {
    let parsed = text.split_once('/').and_then(|(base, length)| {
        let base: IpAddr = base.parse().ok()?;
        let length: u8 = length.parse().ok()?;
        let bits = if base.is_ipv4() { 32 } else { 128 };
        (length <= bits - 8).then_some((base, length))
    });
    parsed.with_context(|| format!("{field}: {text:?} is no range of addresses as 10.42.0.0/16"))
}

/// A Node's name is a DNS subdomain (RFC 1123).
fn check_node_name(name: &str) -> Result<()> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    ensure!(
        name.len() <= 253 && name.split('.').all(label),
        "{name:?} cannot name a Node: use lower-case letters, digits, '-' and '.'"
    );
    Ok(())
}

/// The address that packets to the world would leave from. Connecting a datagram socket sends
/// nothing (udp(7)).
fn default_address() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // An address for documentation (RFC 5737).
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified() && !address.is_loopback()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        format!("{:#}", Config::parse(text).unwrap_err())
    }

    #[test]
    fn an_empty_file_is_the_default() {
        for text in ["", "# nothing\n", "{}"] {
            assert_eq!(Config::parse(text).unwrap().apiserver.port, 6443);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let unknown = error("apiserver:\n  prot: 1\n");
        assert!(
            unknown.contains("unknown field `prot`") && unknown.contains("line 2"),
            "{unknown}"
        );
        let kind = error("kubelet:\n  maxPods: many\n");
        assert!(kind.contains("kubelet.maxPods") && kind.contains("line 2"), "{kind}");
        let malformed = error("dataDir: [\n");
        assert!(malformed.contains("line"), "{malformed}");
        assert!(error("dataDir: here").starts_with("dataDir: here is not absolute"));
        assert!(error("nodeName: Not_A_Name").contains("lower-case letters"));
        assert!(error("clusterCidr: 10.42.0.0").contains("clusterCidr: \"10.42.0.0\""));
    }

    #[test]
    fn services_begin_with_kubernetes() {
        let (kubernetes, dns) = Config::default().service_addresses().unwrap();
        assert_eq!(kubernetes.to_string(), "10.43.0.1");
        assert_eq!(dns.to_string(), "10.43.0.10");
    }
}

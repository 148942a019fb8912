//! How the service is set up.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where the service listens, keeps its state, and finds what it drives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// The unix socket that is served; root alone may connect. Default `/run/corten/cri.sock`.
    pub socket: PathBuf,
    /// What outlives a reboot: a record for each sandbox and container. Default
    /// `/var/lib/corten/cri`.
    pub root: PathBuf,
    /// What does not: shims, namespaces, bundles. Default `/run/corten`. Keep it short: a socket's
    /// path holds 107 bytes, of which a sandbox's id takes 64.
    pub run_dir: PathBuf,
    /// The program that is started, as `corten-run shim`, for each pod. Default
    /// `/usr/local/bin/corten-run`.
    pub shim_binary: PathBuf,
    /// The cgroup that sandboxes go below when their config names none. Default `/corten`.
    pub cgroup_root: String,
    /// The network plugins.
    pub cni: Cni,
    /// Where exec, attach and port-forward are served.
    pub streaming: Streaming,
}

/// The server that clients are sent to for streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Streaming {
    /// Its address. A URL's secret is all that it asks for, and travels in the clear: leave it on
    /// loopback, unless the kubelet is elsewhere. Default 127.0.0.1.
    pub address: IpAddr,
    /// Its port; 0, the default, for any that is free.
    pub port: u16,
}

impl Default for Streaming {
    fn default() -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), port: 0 }
    }
}

/// Where CNI configuration and plugins are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Cni {
    /// The first configuration here by name is used. Default `/etc/cni/net.d`.
    pub conf_dir: PathBuf,
    /// Where plugins are searched, in order. Default `/opt/cni/bin`.
    pub bin_dirs: Vec<PathBuf>,
    /// Where results are kept for DEL and CHECK. Default `/var/lib/corten/cni`.
    pub cache_dir: PathBuf,
    /// How long one call of a plugin may take, in seconds. Default 60.
    pub timeout_seconds: u32,
}

impl Cni {
    /// How long one call of a plugin may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout_seconds))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/run/corten/cri.sock"),
            root: PathBuf::from("/var/lib/corten/cri"),
            run_dir: PathBuf::from("/run/corten"),
            shim_binary: PathBuf::from("/usr/local/bin/corten-run"),
            cgroup_root: "/corten".to_owned(),
            cni: Cni::default(),
            streaming: Streaming::default(),
        }
    }
}

impl Default for Cni {
    fn default() -> Self {
        Self {
            conf_dir: PathBuf::from("/etc/cni/net.d"),
            bin_dirs: vec![PathBuf::from("/opt/cni/bin")],
            cache_dir: PathBuf::from("/var/lib/corten/cni"),
            timeout_seconds: 60,
        }
    }
}

impl Config {
    /// The folder of a sandbox's shim: its socket, log and record of exits.
    pub(crate) fn shim_dir(&self, sandbox: &str) -> PathBuf {
        self.run_dir.join("shim").join(sandbox)
    }

    /// Where a sandbox's namespaces are pinned.
    pub(crate) fn namespace_dir(&self, sandbox: &str) -> PathBuf {
        self.run_dir.join("ns").join(sandbox)
    }

    /// The files that all containers of a sandbox see.
    pub(crate) fn sandbox_dir(&self, sandbox: &str) -> PathBuf {
        self.run_dir.join("sandboxes").join(sandbox)
    }

    /// The state of all containers, as `corten-run --root` has it.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.run_dir.join("state")
    }

    /// A container's OCI bundle.
    pub(crate) fn bundle_dir(&self, container: &str) -> PathBuf {
        self.run_dir.join("containers").join(container)
    }
}

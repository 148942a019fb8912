//! What everything in the kubelet shares.

use std::path::PathBuf;

use corten_client::{Informer, Recorder};
use corten_task::Tasks;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};

use crate::cgroups::{Allocatable, Cgroups};
use crate::config::Config;
use crate::cri::Cri;
use crate::images::Images;
use crate::objects::Objects;
use crate::pods::downward::Facts;
use crate::pods::model::{Observed, PodUid};
use crate::pods::status::HostFacts;
use crate::volumes::Tokens;

/// The node's means and ways, one per kubelet.
pub(crate) struct Host {
    pub(crate) config: Config,
    pub(crate) client: kube::Client,
    pub(crate) cri: Cri,
    pub(crate) recorder: Recorder,
    pub(crate) cgroups: Cgroups,
    pub(crate) images: Images,
    pub(crate) config_maps: Objects<ConfigMap>,
    pub(crate) secrets: Objects<Secret>,
    pub(crate) services: Informer<Service>,
    pub(crate) tokens: Tokens,
    pub(crate) facts: HostFacts,
    pub(crate) allocatable: Allocatable,
    pub(crate) memory_capacity_bytes: i64,
    pub(crate) tasks: Tasks,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("node", &self.config.node_name).finish_non_exhaustive()
    }
}

impl Host {
    /// The folder of one pod's volumes and files.
    pub(crate) fn pod_folder(&self, uid: &PodUid) -> PathBuf {
        self.config.root.join("pods").join(uid.as_str())
    }

    /// What the downward API tells of this node and the pod's sandbox.
    pub(crate) fn downward_facts(&self, observed: &Observed, host_network: bool) -> Facts {
        let pod_ips = match observed.sandbox() {
            _ if host_network => vec![self.facts.node_ip.clone()],
            Some(sandbox) => sandbox.ips.clone(),
            None => Vec::new(),
        };
        Facts {
            node_ip: self.facts.node_ip.clone(),
            pod_ips,
            cpu_allocatable_milli: self.allocatable.cpu_milli,
            memory_allocatable_bytes: self.allocatable.memory_bytes,
        }
    }
}

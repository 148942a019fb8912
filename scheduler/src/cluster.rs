//! The nodes and what is placed on them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;

use crate::pod::{HostPort, PodInfo, PodUid};
use crate::resources::{BadQuantity, Resources, amount};

/// A node with the sums of what its pods take.
#[derive(Debug)]
pub struct NodeInfo {
    /// The node as the API server told it.
    pub node: Arc<Node>,
    /// Its name.
    pub name: String,
    /// What pods may take in total.
    pub allocatable: Resources,
    /// How many pods may run on it.
    pub allowed_pods: i64,
    /// What its pods have requested.
    pub requested: Resources,
    /// What its pods count for scoring.
    pub scored: Resources,
    /// Its pods.
    pub pods: BTreeMap<PodUid, Arc<PodInfo>>,
}

impl NodeInfo {
    fn new(node: Arc<Node>) -> Result<Self, BadQuantity> {
        let list = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        let field = "status.allocatable";
        let allocatable = Resources::read(list, field)?;
        let allowed_pods = match list.and_then(|list| list.get("pods")) {
            None => 0,
            Some(pods) => amount(pods, || format!("{field}[pods]"))?.value(),
        };
        let name = node.metadata.name.clone().unwrap_or_default();
        Ok(Self {
            node,
            name,
            allocatable,
            allowed_pods,
            requested: Resources::default(),
            scored: Resources::default(),
            pods: BTreeMap::new(),
        })
    }

    /// The node's labels.
    #[must_use]
    pub fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.node.metadata.labels.as_ref()
    }

    /// The ports of the host that are taken.
    pub fn used_ports(&self) -> impl Iterator<Item = &HostPort> {
        self.pods.values().flat_map(|pod| pod.host_ports.iter())
    }

    fn place(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests.fit);
        self.scored.add(&pod.requests.score);
        self.pods.insert(pod.uid.clone(), pod);
    }

    fn take_off(&mut self, uid: &PodUid) {
        if let Some(pod) = self.pods.remove(uid) {
            self.requested.subtract(&pod.requests.fit);
            self.scored.subtract(&pod.requests.score);
        }
    }
}

#[derive(Debug)]
struct Placed {
    node: String,
    /// Decided here, not yet seen to be bound.
    assumed: bool,
}

/// All nodes, and all pods that are bound or assumed to be.
#[derive(Debug, Default)]
pub struct Cluster {
    nodes: Vec<NodeInfo>,
    index: HashMap<String, usize>,
    placed: HashMap<PodUid, Placed>,
    /// Pods bound to a node that is not known (yet).
    homeless: HashMap<String, BTreeMap<PodUid, Arc<PodInfo>>>,
}

impl Cluster {
    /// The nodes, in no particular but a stable order.
    #[must_use]
    pub fn nodes(&self) -> &[NodeInfo] {
        &self.nodes
    }

    /// One node by name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.index.get(name).and_then(|at| self.nodes.get(*at))
    }

    /// Adds a node, or takes over its new state. Its pods stay.
    ///
    /// # Errors
    /// [`BadQuantity`] when its allocatable resources can't be read; what was known stays.
    pub fn apply_node(&mut self, node: Arc<Node>) -> Result<(), BadQuantity> {
        let mut info = NodeInfo::new(node)?;
        if let Some(at) = self.index.get(&info.name) {
            let old = &mut self.nodes[*at];
            info.requested = std::mem::take(&mut old.requested);
            info.scored = std::mem::take(&mut old.scored);
            info.pods = std::mem::take(&mut old.pods);
            *old = info;
        } else {
            for pod in self.homeless.remove(&info.name).unwrap_or_default().into_values() {
                info.place(pod);
            }
            self.index.insert(info.name.clone(), self.nodes.len());
            self.nodes.push(info);
        }
        Ok(())
    }

    /// Forgets a node. Its pods are kept, in case it comes back before they are gone.
    pub fn remove_node(&mut self, name: &str) {
        let Some(at) = self.index.remove(name) else { return };
        let removed = self.nodes.swap_remove(at);
        if let Some(moved) = self.nodes.get(at) {
            self.index.insert(moved.name.clone(), at);
        }
        if !removed.pods.is_empty() {
            self.homeless.insert(removed.name, removed.pods);
        }
    }

    /// Where a pod is, if it is placed.
    #[must_use]
    pub fn node_of(&self, uid: &PodUid) -> Option<&str> {
        self.placed.get(uid).map(|placed| placed.node.as_str())
    }

    /// Whether a pod's place was decided but not yet seen to be bound.
    #[must_use]
    pub fn is_assumed(&self, uid: &PodUid) -> bool {
        self.placed.get(uid).is_some_and(|placed| placed.assumed)
    }

    /// Takes over a pod that is bound to `node`; it replaces what was known or assumed of it.
    pub fn apply_pod(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.put(pod, node, false);
    }

    /// Counts a pod to `node` before the API server has confirmed it.
    pub fn assume(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.put(pod, node, true);
    }

    /// Undoes [`Cluster::assume`], unless the pod has been seen bound since.
    pub fn forget(&mut self, uid: &PodUid) {
        if self.is_assumed(uid) {
            self.remove_pod(uid);
        }
    }

    /// Takes a pod off its node; says whether it was on one.
    pub fn remove_pod(&mut self, uid: &PodUid) -> bool {
        let Some(placed) = self.placed.remove(uid) else { return false };
        if let Some(at) = self.index.get(&placed.node) {
            self.nodes[*at].take_off(uid);
        } else if let Some(pods) = self.homeless.get_mut(&placed.node) {
            pods.remove(uid);
            if pods.is_empty() {
                self.homeless.remove(&placed.node);
            }
        }
        true
    }

    /// The pods that are placed.
    pub fn placed(&self) -> impl Iterator<Item = &PodUid> {
        self.placed.keys()
    }

    fn put(&mut self, pod: Arc<PodInfo>, node: &str, assumed: bool) {
        self.remove_pod(&pod.uid);
        self.placed.insert(pod.uid.clone(), Placed { node: node.to_owned(), assumed });
        match self.index.get(node) {
            Some(at) => self.nodes[*at].place(pod),
            None => {
                self.homeless.entry(node.to_owned()).or_default().insert(pod.uid.clone(), pod);
            }
        }
    }
}

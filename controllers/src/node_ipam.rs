//! Gives every node its part of the addresses of pods.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};

use corten_client::{EventType, Informer};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource as _};
use serde_json::json;

use crate::context::Context;
use crate::error::{SyncError, on};
use crate::objects::{Key, is_deleted, name, uid};
use crate::runner::{Controller, Next, Runner, Writes};

struct NodeIpamController {
    context: Context,
    nodes: Informer<Node>,
    pool: Pool,
    /// Given by this process; the watch may not show it yet.
    given: Mutex<HashMap<String, String>>,
    writes: Writes<Key>,
}

/// The networks that can be given.
#[derive(Clone, Copy, Debug)]
struct Pool {
    first: u32,
    /// How many there are.
    count: u32,
    mask_size: u8,
}

impl Pool {
    fn new(address: Ipv4Addr, length: u8, mask_size: u8) -> Self {
        let size = 1_u64 << (32 - u32::from(length));
        let network = u64::from(u32::from(address)) / size * size;
        let count = u32::try_from(1_u64 << (mask_size - length)).unwrap_or(u32::MAX);
        Self { first: u32::try_from(network).unwrap_or_default(), count, mask_size }
    }

    fn network(self, index: u32) -> String {
        let size = 1_u32 << (32 - u32::from(self.mask_size));
        let address = Ipv4Addr::from(self.first.wrapping_add(index.wrapping_mul(size)));
        format!("{address}/{}", self.mask_size)
    }

    /// The first network that nobody has.
    fn free(self, taken: &HashSet<String>) -> Option<String> {
        (0..self.count).map(|index| self.network(index)).find(|one| !taken.contains(one))
    }
}

pub(crate) fn start(context: &Context) {
    let mask_size = context.config.node_cidr_mask_size;
    let Some((IpAddr::V4(address), length)) = context.config.cluster_network() else {
        // Checked before anything was started.
        return;
    };
    let controller = NodeIpamController {
        context: context.clone(),
        nodes: context.informers.get(),
        pool: Pool::new(address, length, mask_size),
        given: Mutex::default(),
        writes: Writes::default(),
    };
    let nodes = controller.nodes.clone();
    // One at a time: two nodes must not be given the same.
    Runner::new(context, controller).watch(nodes, |_, node| vec![Key::of(node)]).start(1);
}

fn networks(node: &Node) -> Vec<String> {
    let Some(spec) = &node.spec else { return Vec::new() };
    let listed = spec.pod_cidrs.iter().flatten();
    listed.chain(&spec.pod_cidr).cloned().collect()
}

impl NodeIpamController {
    fn choose(&self, node: &str) -> Option<String> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(network) = given.get(node) {
            return Some(network.clone());
        }
        let nodes = self.nodes.store().state();
        let mut taken: HashSet<String> = nodes.iter().flat_map(|node| networks(node)).collect();
        taken.extend(given.values().cloned());
        let network = self.pool.free(&taken)?;
        given.insert(node.to_owned(), network.clone());
        Some(network)
    }

    fn take_back(&self, node: &str) {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }
}

impl Controller for NodeIpamController {
    type Key = Key;

    fn name(&self) -> &'static str {
        "node-ipam-controller"
    }

    fn all(&self) -> Vec<Key> {
        self.nodes.store().state().iter().map(|node| Key::of(&**node)).collect()
    }

    fn writes(&self) -> &Writes<Key> {
        &self.writes
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, SyncError> {
        let Some(node) = self.nodes.object(None, &key.name) else {
            self.take_back(&key.name);
            return Ok(Next::Done);
        };
        if !networks(&node).is_empty() || is_deleted(&*node) {
            // What the watch shows needs no remembering.
            self.take_back(&key.name);
            return Ok(Next::Done);
        }
        let Some(network) = self.choose(name(&*node)) else {
            let message = format!("Node {} status is now: CIDRNotAvailable", key.name);
            let reference = node.object_ref(&());
            self.context.recorder.event(&reference, EventType::Normal, "CIDRNotAvailable", message);
            tracing::error!(node = key.name, "no network is left for the pods of the node");
            return Ok(Next::Done);
        };
        let patch = json!({
            "metadata": { "uid": uid(&*node) },
            "spec": { "podCIDR": network, "podCIDRs": [network] },
        });
        let patched = Api::<Node>::all(self.context.client())
            .patch(&key.name, &PatchParams::default(), &Patch::Strategic(patch))
            .await
            .map_err(on::<Node>("give a network to", None, &key.name))?;
        tracing::info!(node = key.name, network, "network for pods given");
        self.writes.wrote(key, &patched);
        Ok(Next::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_given_in_order_and_again_when_free() {
        let pool = Pool::new(Ipv4Addr::new(10, 42, 7, 9), 22, 24);
        let mut taken = HashSet::new();
        for expected in ["10.42.4.0/24", "10.42.5.0/24", "10.42.6.0/24", "10.42.7.0/24"] {
            let network = pool.free(&taken).unwrap();
            assert_eq!(network, expected);
            taken.insert(network);
        }
        assert_eq!(pool.free(&taken), None);
        taken.remove("10.42.5.0/24");
        assert_eq!(pool.free(&taken).as_deref(), Some("10.42.5.0/24"));
    }

    #[test]
    fn a_whole_network_may_be_one_nodes() {
        let pool = Pool::new(Ipv4Addr::new(10, 0, 0, 0), 24, 24);
        assert_eq!(pool.free(&HashSet::new()).as_deref(), Some("10.0.0.0/24"));
    }
}

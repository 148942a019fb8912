//! The state, and the difference between what is wanted and what is committed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::endpoints::{is_local, usable};
use crate::slots::assign;
use crate::{
    Change, EndpointSlice, Frontend, FrontendKey, Plan, Service, ServiceName, ServicePort, Target,
    TrafficPolicy, Warning,
};

/// Services, their endpoints, and what the kernel has of them.
#[derive(Debug, Default)]
pub struct Model {
    /// This node's name: what is local.
    node: Option<String>,
    services: BTreeMap<ServiceName, Service>,
    slices: BTreeMap<ServiceName, BTreeMap<String, EndpointSlice>>,
    /// Who wants a frontend. More than one is a conflict, which the one that has it wins.
    claims: BTreeMap<FrontendKey, BTreeSet<ServiceName>>,
    /// The frontends that a Service claims.
    claimed: BTreeMap<ServiceName, BTreeSet<FrontendKey>>,
    /// How many endpoints of this node have an address.
    local: BTreeMap<IpAddr, usize>,
    /// What has changed since the last plan that was committed.
    dirty_services: BTreeSet<ServiceName>,
    dirty_keys: BTreeSet<FrontendKey>,
    dirty_local: BTreeSet<IpAddr>,
    /// What the kernel has.
    committed: BTreeMap<FrontendKey, Committed>,
    committed_local: BTreeSet<IpAddr>,
}

#[derive(Debug, Clone)]
struct Committed {
    /// Nobody, for what was found in the kernel at the start.
    service: Option<ServiceName>,
    frontend: Frontend,
}

/// A frontend before its endpoints have an order.
#[derive(Debug)]
struct Wanted {
    endpoints: BTreeSet<SocketAddr>,
    /// Where packets go when there are no endpoints.
    empty: Target,
    affinity_s: Option<u32>,
    masquerade: bool,
}

impl Model {
    /// An empty model. Without the node's name no endpoint counts as local.
    #[must_use]
    pub fn new(node: Option<&str>) -> Self {
        Self { node: node.map(str::to_owned), ..Self::default() }
    }

    /// Tells what the kernel has already. Whatever of it no Service wants goes with the next plan.
    pub fn adopt(
        &mut self,
        frontends: impl IntoIterator<Item = (FrontendKey, Frontend)>,
        local: impl IntoIterator<Item = IpAddr>,
    ) {
        for (key, frontend) in frontends {
            self.dirty_keys.insert(key);
            self.committed.insert(key, Committed { service: None, frontend });
        }
        for address in local {
            self.dirty_local.insert(address);
            self.committed_local.insert(address);
        }
    }

    /// Forgets what the kernel has: it has lost it, and everything goes to it anew.
    pub fn forget_committed(&mut self) {
        self.dirty_keys.extend(self.claims.keys().copied());
        self.dirty_local.extend(self.local.keys().copied());
        self.committed.clear();
        self.committed_local.clear();
    }

    /// Adds or replaces a Service.
    pub fn set_service(&mut self, name: &ServiceName, service: Service) {
        if self.services.get(name) != Some(&service) {
            self.services.insert(name.clone(), service);
            self.dirty_services.insert(name.clone());
        }
    }

    /// Removes a Service, or tells that it has no addresses any more.
    pub fn remove_service(&mut self, name: &ServiceName) {
        if self.services.remove(name).is_some() {
            self.dirty_services.insert(name.clone());
        }
    }

    /// Adds or replaces a slice of a Service's endpoints.
    pub fn set_slice(&mut self, service: &ServiceName, slice_name: &str, slice: EndpointSlice) {
        if self.slices.get(service).and_then(|slices| slices.get(slice_name)) == Some(&slice) {
            return;
        }
        self.remove_slice(service, slice_name);
        self.count_local(&slice, true);
        let slices = self.slices.entry(service.clone()).or_default();
        slices.insert(slice_name.to_owned(), slice);
        self.dirty_services.insert(service.clone());
    }

    /// Removes a slice.
    pub fn remove_slice(&mut self, service: &ServiceName, slice_name: &str) {
        let Some(slices) = self.slices.get_mut(service) else { return };
        let Some(slice) = slices.remove(slice_name) else { return };
        if slices.is_empty() {
            self.slices.remove(service);
        }
        self.count_local(&slice, false);
        self.dirty_services.insert(service.clone());
    }

    fn count_local(&mut self, slice: &EndpointSlice, added: bool) {
        for endpoint in &slice.endpoints {
            if !is_local(endpoint, self.node.as_deref()) {
                continue;
            }
            let count = self.local.entry(endpoint.address).or_default();
            *count = if added { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.local.remove(&endpoint.address);
            }
            self.dirty_local.insert(endpoint.address);
        }
    }

    /// How many frontends are committed.
    #[must_use]
    pub fn committed_count(&self) -> usize {
        self.committed.len()
    }

    /// What has to change. Ask again after a failure: nothing is lost until
    /// [`Model::commit`].
    pub fn plan(&mut self) -> Plan {
        let mut plan = Plan::default();
        for name in std::mem::take(&mut self.dirty_services) {
            self.update_claims(&name);
        }
        let mut wanted = BTreeMap::new();
        for key in &self.dirty_keys {
            let owner = self.owner(key);
            plan.warnings.extend(self.conflicts(key, owner));
            let wanted = owner.and_then(|name| {
                wanted.entry(name).or_insert_with(|| self.frontends(name)).remove(key)
            });
            let committed = self.committed.get(key);
            let old = committed.map(|it| it.frontend.clone());
            let new = wanted.map(|wanted| wanted.order(old.as_ref()));
            let service = owner.or_else(|| committed.and_then(|it| it.service.as_ref()));
            if old != new {
                let service = service.cloned().unwrap_or_else(|| ServiceName::new("", ""));
                plan.changes.push(Change { key: *key, service, old, new });
            }
        }
        for address in &self.dirty_local {
            match (self.local.contains_key(address), self.committed_local.contains(address)) {
                (true, false) => plan.local_added.push(*address),
                (false, true) => plan.local_removed.push(*address),
                _ => {}
            }
        }
        plan
    }

    /// Tells that the plan that was asked for last is in the kernel.
    pub fn commit(&mut self, plan: Plan) {
        self.dirty_keys.clear();
        self.dirty_local.clear();
        self.committed_local.extend(plan.local_added);
        for address in plan.local_removed {
            self.committed_local.remove(&address);
        }
        for Change { key, service, new, .. } in plan.changes {
            match new {
                Some(frontend) => {
                    self.committed.insert(key, Committed { service: Some(service), frontend });
                }
                None => {
                    self.committed.remove(&key);
                }
            }
        }
    }

    fn update_claims(&mut self, name: &ServiceName) {
        let keys: BTreeSet<_> = match self.services.get(name) {
            Some(service) => keys(service).collect(),
            None => BTreeSet::new(),
        };
        let before = self.claimed.remove(name).unwrap_or_default();
        for key in before.difference(&keys) {
            if let Some(claimants) = self.claims.get_mut(key) {
                claimants.remove(name);
                if claimants.is_empty() {
                    self.claims.remove(key);
                }
            }
        }
        for key in &keys {
            self.claims.entry(*key).or_default().insert(name.clone());
        }
        self.dirty_keys.extend(before);
        self.dirty_keys.extend(keys.iter().copied());
        if !keys.is_empty() {
            self.claimed.insert(name.clone(), keys);
        }
    }

    /// Who gets a frontend: who has it, else the first by name.
    fn owner(&self, key: &FrontendKey) -> Option<&ServiceName> {
        let claimants = self.claims.get(key)?;
        let holder = self.committed.get(key).and_then(|committed| committed.service.as_ref());
        holder.and_then(|holder| claimants.get(holder)).or_else(|| claimants.first())
    }

    fn conflicts(&self, key: &FrontendKey, owner: Option<&ServiceName>) -> Vec<Warning> {
        let claimants = self.claims.get(key).into_iter().flatten();
        claimants
            .filter_map(|loser| {
                let owner = owner.filter(|owner| *owner != loser)?;
                Some(Warning {
                    service: loser.clone(),
                    reason: "AddressTaken",
                    message: format!("{key} leads to Service {owner} already; give it another one"),
                })
            })
            .collect()
    }

    fn frontends(&self, name: &ServiceName) -> BTreeMap<FrontendKey, Wanted> {
        let Some(service) = self.services.get(name) else { return BTreeMap::new() };
        let none = BTreeMap::new();
        let slices: Vec<_> = self.slices.get(name).unwrap_or(&none).values().collect();
        let mut frontends = BTreeMap::new();
        for port in &service.ports {
            for ipv6 in [false, true] {
                let usable = usable(&slices, port, ipv6, self.node.as_deref());
                for (key, external) in port_keys(service, port).filter(|it| it.0.is_ipv6() == ipv6)
                {
                    let policy =
                        if external { service.external_policy } else { service.internal_policy };
                    let local = policy == TrafficPolicy::Local;
                    let empty =
                        if usable.cluster.is_empty() { Target::Reject } else { Target::Drop };
                    let endpoints = if local { &usable.local } else { &usable.cluster };
                    let wanted = Wanted {
                        endpoints: endpoints.clone(),
                        empty,
                        affinity_s: service.affinity_s,
                        masquerade: external && !local,
                    };
                    frontends.insert(key, wanted);
                }
            }
        }
        frontends
    }
}

impl Wanted {
    fn order(self, old: Option<&Frontend>) -> Frontend {
        if self.endpoints.is_empty() {
            return Frontend { target: self.empty, affinity_s: None, masquerade: false };
        }
        let old = old.map_or(&[][..], Frontend::slots);
        let slots = assign(old, &self.endpoints, self.affinity_s.is_some());
        Frontend {
            target: Target::Endpoints(slots),
            affinity_s: self.affinity_s,
            masquerade: self.masquerade,
        }
    }
}

/// The frontends of a Service.
fn keys(service: &Service) -> impl Iterator<Item = FrontendKey> {
    service.ports.iter().flat_map(|port| port_keys(service, port).map(|(key, _external)| key))
}

/// The frontends of a Service's port, and whether they are for clients from outside.
fn port_keys(service: &Service, port: &ServicePort) -> impl Iterator<Item = (FrontendKey, bool)> {
    let ServicePort { protocol, port: number, node_port, .. } = *port;
    let address =
        move |address: &IpAddr| FrontendKey::Address { address: *address, protocol, port: number };
    let internal = service.cluster_ips.iter().map(move |it| (address(it), false));
    let external = service.external_ips.iter().map(move |it| (address(it), true));
    let families = [false, true]
        .into_iter()
        .filter(|&ipv6| service.cluster_ips.iter().any(|it| it.is_ipv6() == ipv6));
    let node = node_port.map(|port| {
        families.map(move |ipv6| (FrontendKey::NodePort { ipv6, protocol, port }, true))
    });
    internal.chain(external).chain(node.into_iter().flatten())
}

//! Keeps the kernel's nf_tables equal to the proxy's model.
//!
//! Per address family there is one table `corten-proxy`. Its shape does not grow with the number
//! of Services: a verdict map leads a destination (address, protocol, port) to one of few chains,
//! one for each number of endpoints; that chain draws an index below the number and finds
//! destination and index in a map of endpoints. So one Service's change is a few elements in one
//! atomic batch, and a packet takes two hash look-ups whatever the cluster's size.
//!
//! Served: packets to Services' addresses, and to node ports on every address of the node but
//! loopback's (a connection to `127.0.0.1` would need `route_localnet`, which opens what listens
//! on loopback to the neighbours: CVE-2020-8558).
//!
//! Non-goals: knowing Kubernetes objects; other tables than its own.
//! Entry types: [`Proxy`], [`Config`], [`cleanup`].
//! Privileges: CAP_NET_ADMIN in the network namespace.

mod chain;
mod elements;
mod flows;
mod frame;
mod layout;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use corten_proxy_model::{Frontend, FrontendKey, Plan, StaleFlow};
use corten_sys_netlink::NetlinkError;
use corten_sys_netlink::tables::{Batch, Tables};

use chain::Chain;
use elements::Edits;
use layout::Layout;

/// The packet mark's bit that asks for masquerading: kube-proxy's own, so that both agree.
pub const MASQUERADE_MARK: u32 = 1 << 14;

/// A batch is committed once it has grown to this: the kernel holds a lock all the while.
const BATCH_BYTES: usize = 512 * 1024;

/// A network: an address and the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The address; bits past the prefix do not matter.
    pub address: IpAddr,
    /// The prefix length in bits.
    pub prefix: u8,
}

/// What the rules need to know of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Where Services' addresses come from. Packets to one that leads nowhere are rejected.
    pub service_networks: Vec<Network>,
    /// Where pods' addresses come from. Packets from elsewhere to Services' addresses are
    /// masqueraded, so that the answers come back by this node. Without any, none are.
    pub pod_networks: Vec<Network>,
    /// Everything to Services' addresses is masqueraded.
    pub masquerade_all: bool,
}

/// What the kernel had when the proxy started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The frontends.
    pub frontends: Vec<(FrontendKey, Frontend)>,
    /// The addresses of the node's own endpoints.
    pub local: Vec<IpAddr>,
}

/// The kernel's tables of one network namespace.
#[derive(Debug)]
pub struct Proxy {
    config: Config,
    tables: Tables,
    /// The chains that are there, of each family.
    chains: BTreeMap<bool, BTreeSet<Chain>>,
}

impl Proxy {
    /// Opens the calling thread's network namespace; changes nothing.
    ///
    /// # Errors
    /// When there is no netlink socket to be had.
    pub fn open(config: Config) -> Result<Self, NetlinkError> {
        Ok(Self { config, tables: Tables::open()?, chains: BTreeMap::new() })
    }

    /// Makes the tables, or takes over those that are there, without a moment in which a Service
    /// does not work. To be called first, and after a failure that shows that somebody else
    /// changed the tables.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn start(&mut self) -> Result<Found, NetlinkError> {
        let mut found = Found::default();
        for layout in Layout::BOTH {
            let present = read::read(&mut self.tables, &layout)?;
            let mut batch = Batch::new();
            frame::write(&mut batch, &layout, &self.config, present.is_some());
            let present = present.unwrap_or_default();
            // Chains may be of an older version of this program: their rules are written anew.
            for chain in &present.chains {
                chain.write(&mut batch, &layout);
            }
            self.tables.commit(&batch)?;
            self.chains.insert(layout.ipv6, present.chains);
            found.frontends.extend(present.frontends);
            found.local.extend(present.local);
        }
        Ok(found)
    }

    /// Does what a plan asks for. A frontend is changed at once or not at all; plans that are
    /// larger than a batch take several.
    ///
    /// # Errors
    /// What the kernel refuses. Then it is not known how much is done: start anew.
    pub fn apply(&mut self, plan: &Plan) -> Result<(), NetlinkError> {
        for layout in Layout::BOTH {
            let mut edits = Edits::default();
            edits.local(&layout, &plan.local_added, &plan.local_removed);
            for change in plan.changes.iter().filter(|it| it.key.is_ipv6() == layout.ipv6) {
                edits.change(change);
                if edits.bytes() >= BATCH_BYTES {
                    self.commit(&layout, &edits)?;
                    edits = Edits::default();
                }
            }
            self.commit(&layout, &edits)?;
        }
        Ok(())
    }

    fn commit(&mut self, layout: &Layout, edits: &Edits) -> Result<(), NetlinkError> {
        let known = self.chains.entry(layout.ipv6).or_default();
        let mut batch = Batch::new();
        let fresh: Vec<_> = edits.chains().difference(known).copied().collect();
        for chain in &fresh {
            chain.write(&mut batch, layout);
        }
        edits.write(&mut batch, layout);
        self.tables.commit(&batch)?;
        known.extend(fresh);
        Ok(())
    }

    /// Removes chains that nothing leads to: there is one for each number of endpoints that a
    /// Service ever had. Best called at the start, when the first plan is applied.
    ///
    /// # Errors
    /// When the chains cannot be read.
    pub fn sweep(&mut self) -> Result<(), NetlinkError> {
        for layout in Layout::BOTH {
            let known = self.chains.entry(layout.ipv6).or_default();
            for info in self.tables.chains(&layout.table())? {
                let Some(chain) = Chain::parse(&info.name) else { continue };
                let rules = self.tables.rules(&layout.table(), &info.name)?.len();
                // A chain's own rules count as uses.
                if usize::try_from(info.uses).is_ok_and(|uses| uses > rules) {
                    continue;
                }
                let mut batch = Batch::new();
                batch.delete_chain(&layout.table(), &info.name);
                // Kernels before 6.2 may still count an element that is gone: then the next
                // start has it.
                if self.tables.commit(&batch).is_ok() {
                    known.remove(&chain);
                }
            }
        }
        Ok(())
    }

    /// Has the kernel forget flows that lead where they should no longer. To be called after
    /// [`Proxy::apply`]. Returns how many there were.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn forget_flows(&self, stale: &[StaleFlow]) -> Result<usize, NetlinkError> {
        flows::forget(stale)
    }
}

/// Removes the tables and all that is in them, if they are there.
///
/// # Errors
/// What the kernel refuses.
pub fn cleanup() -> Result<(), NetlinkError> {
    let mut tables = Tables::open()?;
    for layout in Layout::BOTH {
        tables.delete_table(&layout.table())?;
    }
    Ok(())
}

//! A plan as changes of sets and maps.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use corten_proxy_model::{Change, Frontend, Target};
use corten_sys_netlink::tables::{Batch, Element, Verdict};

use crate::chain::Chain;
use crate::frame::{DROP, REJECT};
use crate::layout::{HAIRPIN, Kind, Layout, endpoint_bytes, indexed_key, key_bytes, octets};

/// Roughly what an element takes in a batch, with its comment.
const ELEMENT_BYTES: usize = 96;

/// Elements to be deleted and added, and the chains that they lead to.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    deleted: BTreeMap<&'static str, Vec<Element>>,
    added: BTreeMap<&'static str, Vec<Element>>,
    chains: BTreeSet<Chain>,
    count: usize,
}

impl Edits {
    pub(crate) fn bytes(&self) -> usize {
        self.count * ELEMENT_BYTES
    }

    pub(crate) fn chains(&self) -> &BTreeSet<Chain> {
        &self.chains
    }

    fn delete(&mut self, set: &'static str, key: Vec<u8>) {
        self.count += 1;
        self.deleted.entry(set).or_default().push(Element::key(key));
    }

    fn add(&mut self, set: &'static str, element: Element) {
        self.count += 1;
        self.added.entry(set).or_default().push(element);
    }

    /// The node's own endpoints.
    pub(crate) fn local(&mut self, layout: &Layout, added: &[IpAddr], removed: &[IpAddr]) {
        let pair = |address: &IpAddr| [octets(*address), octets(*address)].concat();
        for address in removed.iter().filter(|it| it.is_ipv6() == layout.ipv6) {
            self.delete(HAIRPIN, pair(address));
        }
        for address in added.iter().filter(|it| it.is_ipv6() == layout.ipv6) {
            self.add(HAIRPIN, Element::key(pair(address)));
        }
    }

    /// One frontend. Only what differs is touched.
    pub(crate) fn change(&mut self, change: &Change) {
        let kind = Kind::of(&change.key);
        let key = key_bytes(&change.key);
        let place = |frontend: &Frontend| match &frontend.target {
            Target::Endpoints(_) => (
                kind.services(),
                Chain::of(&change.key, frontend).map(|chain| chain.name()).unwrap_or_default(),
            ),
            Target::Reject => (kind.unreachable(), REJECT.to_owned()),
            Target::Drop => (kind.unreachable(), DROP.to_owned()),
        };
        let old = change.old.as_ref().map(place);
        let new = change.new.as_ref().map(place);
        if old != new {
            if let Some((map, _chain)) = old {
                self.delete(map, key.clone());
            }
            if let Some((map, chain)) = new {
                let element = Element::verdict(key.clone(), Verdict::Goto(chain))
                    .with_comment(&change.service.to_string());
                self.add(map, element);
            }
        }
        if let Some(frontend) = &change.new {
            self.chains.extend(Chain::of(&change.key, frontend));
        }
        let old = change.old.as_ref().map_or(&[][..], Frontend::slots);
        let new = change.new.as_ref().map_or(&[][..], Frontend::slots);
        let map = kind.endpoints();
        for (index, number) in (0..old.len().max(new.len())).zip(0_u32..) {
            let (before, after) = (old.get(index), new.get(index));
            if before == after {
                continue;
            }
            if before.is_some() {
                self.delete(map, indexed_key(key.clone(), number));
            }
            if let Some(endpoint) = after {
                let value = endpoint_bytes(*endpoint);
                self.add(map, Element::value(indexed_key(key.clone(), number), value));
            }
        }
    }

    pub(crate) fn write(&self, batch: &mut Batch, layout: &Layout) {
        let table = &layout.table();
        // An element that gets another value is deleted and added: in one batch that is at once.
        for (set, elements) in &self.deleted {
            batch.delete_elements(table, set, elements);
        }
        for (set, elements) in &self.added {
            batch.create_elements(table, set, elements);
        }
    }
}

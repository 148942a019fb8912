//! The rules: a handful, whatever the number of containers; what they look up is in sets.
//!
//! ```text
//! chain forward {
//!     iifname . oifname @isolated drop
//!     iifname @bridges oifname @bridges iifname . oifname != @pairs drop
//!     ip daddr @allowed4 ct state established,related accept
//!     ip saddr @allowed4 accept
//!     (the same for IPv6)
//! }
//! ```

use std::collections::HashSet;

use corten_cni_types::{CniError, IpNet};
use corten_sys_netlink::NetlinkError;
use corten_sys_netlink::tables::{
    BaseChain, Batch, ChainType, CtKey, Element, Expression, Family, FieldType, Hook, MetaKey,
    Operator, Register, Set, SetData, Table, Tables, Verdict,
};

use crate::nft::{self, interface_name, octets, persist};

const CHAIN: &str = "forward";
const FRAME: &str = "frame";
const BRIDGES: &str = "bridges";
/// Each bridge with itself.
const PAIRS: &str = "pairs";
/// Of those, the ones whose own containers do not reach each other.
const ISOLATED: &str = "isolated";

/// `NF_IP_PRI_FILTER`
const PRIORITY: i32 = 0;

/// The table.
pub(crate) fn table() -> Table {
    Table::new(Family::Inet, "corten-firewall")
}

fn allowed(ipv4: bool) -> &'static str {
    if ipv4 { "allowed4" } else { "allowed6" }
}

/// Allows a container's addresses, and keeps its bridge apart if one is given.
pub(super) fn add(
    owner: &str,
    addresses: &[IpNet],
    bridge: Option<&str>,
    isolated: bool,
) -> Result<(), CniError> {
    persist("cannot set up the firewall", |tables| {
        try_add(tables, owner, addresses, bridge, isolated)
    })
}

fn try_add(
    tables: &mut Tables,
    owner: &str,
    addresses: &[IpNet],
    bridge: Option<&str>,
    isolated: bool,
) -> Result<(), NetlinkError> {
    let generation = tables.generation()?;
    let mut batch = Batch::new();
    if tables.rules(&table(), CHAIN)?.is_empty() {
        batch.expect_generation(generation);
        add_frame(&mut batch);
    }
    for address in addresses {
        let element = Element::key(octets(address.address())).with_comment(owner);
        batch.add_elements(&table(), allowed(address.is_ipv4()), &[element]);
    }
    if let Some(bridge) = bridge {
        let name = interface_name(bridge);
        let pair = [name.clone(), name.clone()].concat();
        batch.add_elements(&table(), BRIDGES, &[Element::key(name)]);
        batch.add_elements(&table(), PAIRS, &[Element::key(pair.clone())]);
        if isolated {
            batch.add_elements(&table(), ISOLATED, &[Element::key(pair)]);
        }
    }
    tables.commit(&batch)
}

fn add_frame(batch: &mut Batch) {
    let table = &table();
    let name = FieldType::InterfaceName;
    batch.add_table(table);
    for (ipv4, field) in [(true, FieldType::Ipv4Address), (false, FieldType::Ipv6Address)] {
        batch.add_set(table, &Set::new(allowed(ipv4), &[field], SetData::None));
    }
    batch.add_set(table, &Set::new(BRIDGES, &[name], SetData::None));
    batch.add_set(table, &Set::new(PAIRS, &[name, name], SetData::None));
    batch.add_set(table, &Set::new(ISOLATED, &[name, name], SetData::None));
    let base = BaseChain { kind: ChainType::Filter, hook: Hook::Forward, priority: PRIORITY };
    batch.add_chain(table, CHAIN, Some(base));
    let [input, output] = [(MetaKey::InputName, 0), (MetaKey::OutputName, 4)]
        .map(|(key, register)| Expression::Meta { key, to: Register(register) });
    let lookup = |set: &str, register, inverted| Expression::Lookup {
        set: set.to_owned(),
        key: Register(register),
        inverted,
    };
    let drop = Expression::Verdict(Verdict::Drop);
    let within = [input.clone(), output.clone(), lookup(ISOLATED, 0, false), drop.clone()];
    batch.add_rule(table, CHAIN, &within, Some(FRAME));
    let between = [
        input,
        lookup(BRIDGES, 0, false),
        output,
        lookup(BRIDGES, 4, false),
        lookup(PAIRS, 0, true),
        drop,
    ];
    batch.add_rule(table, CHAIN, &between, Some(FRAME));
    for ipv4 in [true, false] {
        batch.add_rule(table, CHAIN, &answers(ipv4), Some(FRAME));
        batch.add_rule(table, CHAIN, &out(ipv4), Some(FRAME));
    }
}

/// Whether the source's or the destination's address is one of a container.
fn of_container(ipv4: bool, destination: bool) -> Vec<Expression> {
    let mut rule = nft::is_family(ipv4).to_vec();
    rule.push(nft::load_address(ipv4, destination, Register(0)));
    let set = allowed(ipv4).to_owned();
    rule.push(Expression::Lookup { set, key: Register(0), inverted: false });
    rule
}

fn answers(ipv4: bool) -> Vec<Expression> {
    /// Established or related.
    const STATES: u32 = 1 << 1 | 1 << 2;
    let mut rule = of_container(ipv4, true);
    rule.extend([
        Expression::Ct { key: CtKey::State, direction: None, to: Register(0) },
        Expression::Bitwise {
            from: Register(0),
            to: Register(0),
            mask: STATES.to_ne_bytes().to_vec(),
            xor: vec![0; 4],
        },
        Expression::Compare { from: Register(0), operator: Operator::NotEqual, value: vec![0; 4] },
        Expression::Verdict(Verdict::Accept),
    ]);
    rule
}

fn out(ipv4: bool) -> Vec<Expression> {
    let mut rule = of_container(ipv4, false);
    rule.push(Expression::Verdict(Verdict::Accept));
    rule
}

/// Chains of others that discard what they do not know among what the host passes on.
pub(super) fn closed_chains() -> Result<Vec<String>, CniError> {
    let mut closed = Vec::new();
    persist("cannot read the chains of the host", |tables| {
        closed.clear();
        for table in tables.tables()?.into_iter().filter(|it| it.family != Family::Bridge) {
            let chains = tables.chains(&table)?.into_iter();
            let drops = chains.filter(|chain| chain.drops_at == Some(Hook::Forward));
            closed.extend(drops.map(|chain| format!("{table} {}", chain.name)));
        }
        Ok(())
    })?;
    Ok(closed)
}

/// Forgets the addresses of the owners that `gone` tells.
pub(super) fn remove(gone: impl Fn(&str) -> bool) -> Result<(), CniError> {
    nft::remove("cannot remove firewall rules", &table(), &[], gone)
}

/// Forgets the bridges that `gone` tells.
pub(super) fn remove_bridges(gone: impl Fn(&str) -> bool) -> Result<(), CniError> {
    persist("cannot remove firewall rules", |tables| {
        let mut batch = Batch::new();
        for set in [ISOLATED, PAIRS, BRIDGES] {
            let elements: Vec<_> = tables
                .elements(&table(), set)?
                .into_iter()
                .filter(|element| gone(&name_of(&element.key)))
                .map(|element| Element::key(element.key))
                .collect();
            batch.delete_elements(&table(), set, &elements);
        }
        tables.commit(&batch)
    })
}

/// The name that a key begins with.
fn name_of(key: &[u8]) -> String {
    let end = key.iter().position(|&byte| byte == 0).unwrap_or(key.len());
    String::from_utf8_lossy(&key[..end]).into_owned()
}

/// What is in the sets.
#[derive(Debug, Default)]
pub(super) struct Present {
    pub(super) addresses: HashSet<Vec<u8>>,
    bridges: HashSet<String>,
    isolated: HashSet<String>,
}

impl Present {
    pub(super) fn is_separate(&self, bridge: &str, isolated: bool) -> bool {
        self.bridges.contains(bridge) && (!isolated || self.isolated.contains(bridge))
    }
}

pub(super) fn present() -> Result<Present, CniError> {
    let mut present = Present::default();
    persist("cannot read the firewall rules", |tables| {
        present = Present::default();
        for ipv4 in [true, false] {
            let elements = tables.elements(&table(), allowed(ipv4))?;
            present.addresses.extend(elements.into_iter().map(|element| element.key));
        }
        let names = |tables: &mut Tables, set| -> Result<HashSet<String>, NetlinkError> {
            let elements = tables.elements(&table(), set)?;
            Ok(elements.iter().map(|element| name_of(&element.key)).collect())
        };
        present.bridges = names(tables, BRIDGES)?;
        present.isolated = names(tables, ISOLATED)?;
        Ok(())
    })?;
    Ok(present)
}

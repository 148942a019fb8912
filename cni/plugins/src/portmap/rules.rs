//! The rules: two maps a family lead ports to containers, so that their number costs nothing; who
//! owns an element stands in its comment.

use std::net::IpAddr;

use corten_cni_types::{CniError, IpNet, Protocol, codes};
use corten_sys_netlink::NetlinkError;
use corten_sys_netlink::tables::{
    AddressType, Base, BaseChain, Batch, ChainType, CtKey, Element, Expression, Family, FibSource,
    FieldType, Hook, MetaKey, NatType, Operator, Register, Set, SetData, Table, Tables, Verdict,
};
use rustix::io::Errno;

use super::options::Options;
use crate::nft;
use crate::nft::{in_network, interface, is_family, load_address, octets, persist};

/// Marks the rules that every port needs, so that they are made once.
const FRAME: &str = "frame";

/// The mappings that hold under conditions, a rule for each. Whoever has none pays nothing.
const CONDITIONAL: &str = "conditional";
/// The chains that lead there.
const CONDITIONAL_BASES: [(&str, Hook); 2] =
    [("conditional-prerouting", Hook::Prerouting), ("conditional-output", Hook::Output)];

/// Before the kernel's own tracking of connections (`NF_IP_PRI_RAW`).
const PRIORITY_RAW: i32 = -300;
const PRIORITY_DESTINATION: i32 = -100;
const PRIORITY_SOURCE: i32 = 100;

/// The table.
pub(crate) fn table() -> Table {
    Table::new(Family::Inet, "corten-hostports")
}

/// One port that leads to a container.
#[derive(Debug, Clone)]
pub(super) struct Forward {
    pub(super) protocol: Protocol,
    pub(super) host_ip: Option<IpAddr>,
    pub(super) host_port: u16,
    /// The container's address and its network.
    pub(super) container: IpNet,
    pub(super) container_port: u16,
}

impl Forward {
    fn map(&self) -> &'static str {
        let [any, one] = maps(self.container.is_ipv4());
        if self.host_ip.is_some() { one } else { any }
    }

    fn element(&self) -> Element {
        let mut key = self.host_ip.map(octets).unwrap_or_default();
        key.extend([number(self.protocol), 0, 0, 0]);
        key.extend(port(self.host_port));
        let mut value = octets(self.container.address());
        value.extend(port(self.container_port));
        Element::value(key, value)
    }
}

/// The maps of a family: by port on any address, and by address and port.
fn maps(ipv4: bool) -> [&'static str; 2] {
    if ipv4 { ["ports4", "addresses4"] } else { ["ports6", "addresses6"] }
}

fn port(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

pub(super) fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}

/// Adds a container's mappings: all or none.
pub(super) fn add(owner: &str, forwards: &[Forward], options: &Options) -> Result<(), CniError> {
    let mut busy = None;
    persist("cannot set up port mappings", |tables| {
        match try_add(tables, owner, forwards, options) {
            Err(error) if error.is(Errno::EXIST) => {
                let msg = taken(tables, forwards);
                busy = Some(CniError::caused(codes::TRY_AGAIN, msg, &error));
                Ok(())
            }
            outcome => outcome,
        }
    })?;
    busy.map_or(Ok(()), Err)
}

/// Says which port is taken, and by whom.
fn taken(tables: &mut Tables, forwards: &[Forward]) -> String {
    for forward in forwards {
        let key = forward.element().key;
        let elements = tables.elements(&table(), forward.map()).unwrap_or_default();
        if let Some(element) = elements.into_iter().find(|element| element.key == key) {
            let (port, protocol) = (forward.host_port, forward.protocol);
            let by = element.comment.unwrap_or_default();
            return format!("host port {port}/{protocol} is taken by container {by}");
        }
    }
    "a host port is taken twice".to_owned()
}

fn try_add(
    tables: &mut Tables,
    owner: &str,
    forwards: &[Forward],
    options: &Options,
) -> Result<(), NetlinkError> {
    let generation = tables.generation()?;
    let has_frame = tables
        .rules(&table(), "hostports")?
        .iter()
        .any(|rule| rule.comment.as_deref() == Some(FRAME));
    let mut batch = Batch::new();
    if !has_frame {
        batch.expect_generation(generation);
        add_frame(&mut batch);
    }
    for forward in forwards {
        let conditions = options.conditions(forward.container.is_ipv4());
        if !conditions.is_empty() {
            let rule = [conditions, &translate(forward)].concat();
            ensure_conditional(tables, &mut batch)?;
            batch.add_rule(&table(), CONDITIONAL, &rule, Some(owner));
            continue;
        }
        let element = forward.element().with_comment(owner);
        batch.create_elements(&table(), forward.map(), &[element]);
    }
    let mut containers: Vec<_> = forwards.iter().map(|forward| forward.container).collect();
    containers.dedup();
    for container in containers {
        if options.masq_all || options.snat {
            let rule = masquerade(container, options.masq_all);
            batch.add_rule(&table(), "masquerade", &rule, Some(owner));
        }
    }
    tables.commit(&batch)
}

/// Makes the chains of mappings with conditions, if they are not there.
fn ensure_conditional(tables: &mut Tables, batch: &mut Batch) -> Result<(), NetlinkError> {
    let generation = tables.generation()?;
    batch.add_chain(&table(), CONDITIONAL, None);
    for (chain, hook) in CONDITIONAL_BASES {
        if !tables.rules(&table(), chain)?.is_empty() {
            continue;
        }
        batch.expect_generation(generation);
        let base = BaseChain { kind: ChainType::Nat, hook, priority: PRIORITY_DESTINATION };
        batch.add_chain(&table(), chain, Some(base));
        batch.flush_chain(&table(), chain);
        batch.add_rule(&table(), chain, &to_this_host(CONDITIONAL), Some(FRAME));
    }
    Ok(())
}

/// One mapping as a rule of its own.
fn translate(forward: &Forward) -> Vec<Expression> {
    let ipv4 = forward.container.is_ipv4();
    let mut rule = is_family(ipv4).to_vec();
    if let Some(address) = forward.host_ip {
        rule.extend(in_network(IpNet::host(address), true, Operator::Equal));
    }
    let compare =
        |value| Expression::Compare { from: Register(0), operator: Operator::Equal, value };
    let (address, port) = (Register(8), Register(12));
    rule.extend([
        Expression::Meta { key: MetaKey::TransportProtocol, to: Register(0) },
        compare(vec![number(forward.protocol)]),
        Expression::Payload { base: Base::Transport, offset: 2, length: 2, to: Register(0) },
        compare(forward.host_port.to_be_bytes().to_vec()),
        Expression::Immediate { to: address, value: octets(forward.container.address()) },
        Expression::Immediate { to: port, value: forward.container_port.to_be_bytes().to_vec() },
        Expression::Nat { kind: NatType::Destination, ipv6: !ipv4, address, port: Some(port) },
    ]);
    rule
}

fn add_frame(batch: &mut Batch) {
    let table = &table();
    batch.add_table(table);
    for (ipv4, address) in [(true, FieldType::Ipv4Address), (false, FieldType::Ipv6Address)] {
        let [any, one] = maps(ipv4);
        let data = SetData::Value(vec![address, FieldType::Port]);
        let key = [FieldType::Protocol, FieldType::Port];
        batch.add_set(table, &Set::new(any, &key, data.clone()));
        let key = [address, FieldType::Protocol, FieldType::Port];
        batch.add_set(table, &Set::new(one, &key, data));
    }
    let nat = |hook, priority| Some(BaseChain { kind: ChainType::Nat, hook, priority });
    let raw = BaseChain { kind: ChainType::Filter, hook: Hook::Prerouting, priority: PRIORITY_RAW };
    batch.add_chain(table, "hostports", None);
    batch.add_chain(table, "guard", Some(raw));
    batch.add_chain(table, "prerouting", nat(Hook::Prerouting, PRIORITY_DESTINATION));
    batch.add_chain(table, "output", nat(Hook::Output, PRIORITY_DESTINATION));
    batch.add_chain(table, "masquerade", nat(Hook::Postrouting, PRIORITY_SOURCE));
    // The chains may be there without the rules: only when somebody flushed them.
    for chain in ["hostports", "guard", "prerouting", "output"] {
        batch.flush_chain(table, chain);
    }
    batch.add_rule(table, "guard", &guard(), Some(FRAME));
    batch.add_chain(table, "loopback", nat(Hook::Postrouting, PRIORITY_SOURCE));
    batch.flush_chain(table, "loopback");
    batch.add_rule(table, "loopback", &from_loopback(), Some(FRAME));
    batch.add_rule(table, "prerouting", &to_this_host("hostports"), Some(FRAME));
    batch.add_rule(table, "output", &to_this_host("hostports"), Some(FRAME));
    for ipv4 in [true, false] {
        let [any, one] = maps(ipv4);
        batch.add_rule(table, "hostports", &by_key(ipv4, true, one), Some(FRAME));
        batch.add_rule(table, "hostports", &by_key(ipv4, false, any), Some(FRAME));
    }
}

/// `fib daddr type local jump CHAIN`
fn to_this_host(chain: &str) -> [Expression; 3] {
    let local = AddressType::Local.number().to_ne_bytes().to_vec();
    [
        Expression::Fib { source: FibSource::Destination, to: Register(0) },
        Expression::Compare { from: Register(0), operator: Operator::Equal, value: local },
        Expression::Verdict(Verdict::Jump(chain.to_owned())),
    ]
}

/// Looks the packet's destination up in a map and translates it.
fn by_key(ipv4: bool, with_address: bool, map: &str) -> Vec<Expression> {
    let mut rule = is_family(ipv4).to_vec();
    let mut next = 0;
    let registers = if ipv4 { 1 } else { 4 };
    if with_address {
        rule.push(load_address(ipv4, true, Register(0)));
        next += registers;
    }
    rule.extend([
        Expression::Meta { key: MetaKey::TransportProtocol, to: Register(next) },
        Expression::Payload { base: Base::Transport, offset: 2, length: 2, to: Register(next + 1) },
        Expression::MapLookup { map: map.to_owned(), key: Register(0), to: Register(8) },
        Expression::Nat {
            kind: NatType::Destination,
            ipv6: !ipv4,
            address: Register(8),
            port: Some(Register(8 + registers)),
        },
    ]);
    rule
}

/// `iifname != lo ip daddr 127.0.0.0/8 drop`
fn guard() -> Vec<Expression> {
    let mut rule = is_family(true).to_vec();
    rule.extend(interface(MetaKey::InputName, "lo", Operator::NotEqual));
    rule.extend(in_network(loopback(), true, Operator::Equal));
    rule.push(Expression::Verdict(Verdict::Drop));
    rule
}

/// `oifname != lo ip saddr 127.0.0.0/8 masquerade`: a loopback address means nothing elsewhere.
fn from_loopback() -> Vec<Expression> {
    let mut rule = is_family(true).to_vec();
    rule.extend(interface(MetaKey::OutputName, "lo", Operator::NotEqual));
    rule.extend(in_network(loopback(), false, Operator::Equal));
    rule.push(Expression::Masquerade);
    rule
}

fn loopback() -> IpNet {
    let address = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    IpNet::new(address, 8).unwrap_or(IpNet::host(address))
}

/// To the container, by a translated destination, from its own network, whose answers would not
/// come by here otherwise. With `all`, from anywhere.
fn masquerade(container: IpNet, all: bool) -> Vec<Expression> {
    let ipv4 = container.is_ipv4();
    let translated = CtKey::STATUS_DESTINATION_TRANSLATED.to_ne_bytes().to_vec();
    let mut rule = is_family(ipv4).to_vec();
    rule.extend([
        load_address(ipv4, true, Register(0)),
        Expression::Compare {
            from: Register(0),
            operator: Operator::Equal,
            value: octets(container.address()),
        },
        Expression::Ct { key: CtKey::Status, direction: None, to: Register(0) },
        Expression::Bitwise {
            from: Register(0),
            to: Register(0),
            mask: translated,
            xor: vec![0; 4],
        },
        Expression::Compare { from: Register(0), operator: Operator::NotEqual, value: vec![0; 4] },
    ]);
    if !all {
        rule.extend(in_network(container, false, Operator::Equal));
    }
    rule.push(Expression::Masquerade);
    rule
}

/// Removes the mappings of the owners that `gone` tells.
pub(super) fn remove(gone: impl Fn(&str) -> bool) -> Result<(), CniError> {
    nft::remove("cannot remove port mappings", &table(), &["masquerade", CONDITIONAL], gone)
}

/// How many mappings an owner has.
pub(super) fn count(owner: &str) -> Result<usize, CniError> {
    let mut count = 0;
    persist("cannot read the port mappings", |tables| {
        count = 0;
        for map in tables.sets(&table())? {
            let elements = tables.elements(&table(), &map)?;
            count += elements.iter().filter(|it| it.comment.as_deref() == Some(owner)).count();
        }
        let rules = tables.rules(&table(), CONDITIONAL)?;
        count += rules.iter().filter(|it| it.comment.as_deref() == Some(owner)).count();
        Ok(())
    })?;
    Ok(count)
}

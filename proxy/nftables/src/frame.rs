//! What does not change with the Services: maps, base chains, their rules.

use corten_sys_netlink::tables::{
    AddressType, Base, BaseChain, Batch, ChainType, CtKey, Expression, FibSource, FieldType, Hook,
    MetaKey, Operator, Register, Rejection, Set, SetData, Verdict,
};

use crate::chain::mark;
use crate::layout::{HAIRPIN, Kind, Layout, octets};
use crate::{Config, MASQUERADE_MARK, Network};

/// The chain that tells which version of maps and sets is there: their types cannot be changed,
/// so a new version is a new name, and the table is made anew.
pub(crate) const VERSION_CHAIN: &str = "version-1";

/// Chains that packets come to.
const SERVICES: &str = "to-services";
const UNREACHABLE: &str = "to-nowhere";
pub(crate) const REJECT: &str = "reject";
pub(crate) const DROP: &str = "drop";

/// The kernel's `NF_IP_PRI_NAT_DST` and `NF_IP_PRI_NAT_SRC`; `BEFORE` sees destinations before
/// their translation, `AFTER` those that were not translated.
const DESTINATION: i32 = -100;
const SOURCE: i32 = 100;
const BEFORE: i32 = DESTINATION - 10;
const AFTER: i32 = DESTINATION + 10;

/// How many clients are remembered: the kernel makes room for this many at once.
const AFFINITY_CLIENTS_MAX: u32 = 65_535;

/// `1 << (IP_CT_NEW + 1)`
const STATE_NEW: u32 = 1 << 3;

/// Writes the frame. A table that is of this version keeps its maps; any other is removed.
pub(crate) fn write(batch: &mut Batch, layout: &Layout, config: &Config, keep: bool) {
    let table = &layout.table();
    if !keep {
        // Adding makes sure that there is one to delete.
        batch.add_table(table);
        batch.delete_table(table);
    }
    batch.add_table(table);
    batch.add_chain(table, VERSION_CHAIN, None);
    add_sets(batch, layout);
    let chains = [
        ("nat-prerouting", ChainType::Nat, Hook::Prerouting, DESTINATION),
        ("nat-output", ChainType::Nat, Hook::Output, DESTINATION),
        ("nat-postrouting", ChainType::Nat, Hook::Postrouting, SOURCE),
        ("filter-input", ChainType::Filter, Hook::Input, BEFORE),
        ("filter-forward", ChainType::Filter, Hook::Forward, BEFORE),
        ("filter-output", ChainType::Filter, Hook::Output, BEFORE),
        ("filter-output-after", ChainType::Filter, Hook::Output, AFTER),
    ];
    for (name, kind, hook, priority) in chains {
        batch.add_chain(table, name, Some(BaseChain { kind, hook, priority }));
        batch.flush_chain(table, name);
    }
    for name in [SERVICES, UNREACHABLE, REJECT, DROP] {
        batch.add_chain(table, name, None);
        batch.flush_chain(table, name);
    }
    add_service_rules(batch, layout, config);
    add_unreachable_rules(batch, layout, config);
    add_masquerade_rules(batch, layout);
}

fn add_sets(batch: &mut Batch, layout: &Layout) {
    let table = &layout.table();
    let address = layout.address_type();
    let endpoint = SetData::Value(vec![address, FieldType::Port]);
    for kind in Kind::BOTH {
        let frontend = layout.frontend_fields(kind);
        batch.add_set(table, &Set::new(kind.services(), &frontend, SetData::Verdict));
        batch.add_set(table, &Set::new(kind.unreachable(), &frontend, SetData::Verdict));
        let indexed = [frontend.clone(), vec![FieldType::Mark]].concat();
        batch.add_set(table, &Set::new(kind.endpoints(), &indexed, endpoint.clone()));
        let of_client = [vec![address], frontend].concat();
        let affinity = Set {
            dynamic_size: Some(AFFINITY_CLIENTS_MAX),
            ..Set::new(kind.affinity(), &of_client, SetData::Value(vec![FieldType::Mark]))
        };
        batch.add_set(table, &affinity);
    }
    batch.add_set(table, &Set::new(HAIRPIN, &[address, address], SetData::None));
}

fn jump(chain: &str) -> Expression {
    Expression::Verdict(Verdict::Jump(chain.to_owned()))
}

fn goto(chain: &str) -> Expression {
    Expression::Verdict(Verdict::Goto(chain.to_owned()))
}

fn look_up(layout: &Layout, kind: Kind, map: &str) -> Vec<Expression> {
    let mut rule = layout.load_frontend(kind);
    let key = layout.registers(kind).frontend;
    rule.push(Expression::VerdictMap { map: map.to_owned(), key });
    rule
}

/// Only for packets to an address of this machine; in IPv4 not loopback's.
fn to_this_node(layout: &Layout, mut rest: Vec<Expression>) -> Vec<Expression> {
    let local = AddressType::Local.number().to_ne_bytes().to_vec();
    let mut rule = vec![
        Expression::Fib { source: FibSource::Destination, to: Register(0) },
        Expression::Compare { from: Register(0), operator: Operator::Equal, value: local },
    ];
    let loopback = if layout.ipv6 {
        Network { address: std::net::Ipv6Addr::LOCALHOST.into(), prefix: 128 }
    } else {
        Network { address: std::net::Ipv4Addr::LOCALHOST.into(), prefix: 8 }
    };
    rule.extend(in_network(layout, loopback, true, Operator::NotEqual));
    rule.append(&mut rest);
    rule
}

/// Whether an address of the packet is in a network.
fn in_network(
    layout: &Layout,
    network: Network,
    destination: bool,
    operator: Operator,
) -> [Expression; 3] {
    let (offset, length) = layout.place(destination);
    let bits = u32::from(network.prefix);
    let mask = if layout.ipv6 {
        u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0).to_be_bytes().to_vec()
    } else {
        u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0).to_be_bytes().to_vec()
    };
    let value = octets(network.address).iter().zip(&mask).map(|(byte, mask)| byte & mask).collect();
    let xor = vec![0; mask.len()];
    [
        Expression::Payload { base: Base::Network, offset, length, to: Register(0) },
        Expression::Bitwise { from: Register(0), to: Register(0), mask, xor },
        Expression::Compare { from: Register(0), operator, value },
    ]
}

fn of_family(layout: &Layout, networks: &[Network]) -> Vec<Network> {
    networks.iter().copied().filter(|it| it.address.is_ipv6() == layout.ipv6).collect()
}

fn add_service_rules(batch: &mut Batch, layout: &Layout, config: &Config) {
    let table = &layout.table();
    batch.add_rule(table, "nat-prerouting", &[jump(SERVICES)], None);
    batch.add_rule(table, "nat-output", &[jump(SERVICES)], None);
    let pods = of_family(layout, &config.pod_networks);
    for service in of_family(layout, &config.service_networks) {
        let mut rule = in_network(layout, service, true, Operator::Equal).to_vec();
        if !config.masquerade_all {
            if pods.is_empty() {
                continue;
            }
            for pod in &pods {
                rule.extend(in_network(layout, *pod, false, Operator::NotEqual));
            }
        }
        rule.extend(mark(Register(0)));
        batch.add_rule(table, SERVICES, &rule, Some("from elsewhere than a pod"));
    }
    let rule = look_up(layout, Kind::Address, Kind::Address.services());
    batch.add_rule(table, SERVICES, &rule, None);
    let rule = look_up(layout, Kind::NodePort, Kind::NodePort.services());
    batch.add_rule(table, SERVICES, &to_this_node(layout, rule), None);
}

fn add_unreachable_rules(batch: &mut Batch, layout: &Layout, config: &Config) {
    let table = &layout.table();
    let new = STATE_NEW.to_ne_bytes().to_vec();
    // A connection that was begun when there were endpoints is none of this chain's business.
    let if_new = [
        Expression::Ct { key: CtKey::State, direction: None, to: Register(0) },
        Expression::Bitwise { from: Register(0), to: Register(0), mask: new, xor: vec![0; 4] },
        Expression::Compare { from: Register(0), operator: Operator::NotEqual, value: vec![0; 4] },
        jump(UNREACHABLE),
    ];
    for chain in ["filter-input", "filter-forward", "filter-output"] {
        batch.add_rule(table, chain, &if_new, None);
    }
    let rule = look_up(layout, Kind::Address, Kind::Address.unreachable());
    batch.add_rule(table, UNREACHABLE, &rule, None);
    let rule = look_up(layout, Kind::NodePort, Kind::NodePort.unreachable());
    batch.add_rule(table, UNREACHABLE, &to_this_node(layout, rule), None);
    // Nothing that is still for a Service's address here was translated: that port or address
    // leads nowhere, and must not leave by the default route.
    for network in of_family(layout, &config.service_networks) {
        let mut rule = in_network(layout, network, true, Operator::Equal).to_vec();
        rule.push(goto(REJECT));
        for chain in ["filter-forward", "filter-output-after"] {
            batch.add_rule(table, chain, &rule, Some("no such Service"));
        }
    }
    let tcp = [
        Expression::Meta { key: MetaKey::TransportProtocol, to: Register(0) },
        Expression::Compare { from: Register(0), operator: Operator::Equal, value: vec![6] },
        Expression::Reject(Rejection::TcpReset),
    ];
    batch.add_rule(table, REJECT, &tcp, None);
    let unreachable =
        if layout.ipv6 { Rejection::Ipv6PortUnreachable } else { Rejection::Ipv4PortUnreachable };
    batch.add_rule(table, REJECT, &[Expression::Reject(unreachable)], None);
    batch.add_rule(table, DROP, &[Expression::Verdict(Verdict::Drop)], None);
}

fn add_masquerade_rules(batch: &mut Batch, layout: &Layout) {
    let table = &layout.table();
    let mask = MASQUERADE_MARK.to_ne_bytes().to_vec();
    let marked = [
        Expression::Meta { key: MetaKey::Mark, to: Register(0) },
        Expression::Bitwise {
            from: Register(0),
            to: Register(1),
            mask: mask.clone(),
            xor: vec![0; 4],
        },
        Expression::Compare { from: Register(1), operator: Operator::NotEqual, value: vec![0; 4] },
        // The mark is taken off, lest it mean something to whoever comes later.
        Expression::Bitwise {
            from: Register(0),
            to: Register(0),
            mask: u32::MAX.to_ne_bytes().to_vec(),
            xor: mask,
        },
        Expression::SetMeta { key: MetaKey::Mark, from: Register(0) },
        Expression::Masquerade,
    ];
    batch.add_rule(table, "nat-postrouting", &marked, Some("asked for by mark"));
    let (offset, length) = layout.place(false);
    let to_itself = [
        // Source and destination follow each other in the header.
        Expression::Payload { base: Base::Network, offset, length: length * 2, to: Register(0) },
        Expression::Lookup { set: HAIRPIN.to_owned(), key: Register(0), inverted: false },
        Expression::Masquerade,
    ];
    batch.add_rule(table, "nat-postrouting", &to_itself, Some("to itself by a Service"));
}

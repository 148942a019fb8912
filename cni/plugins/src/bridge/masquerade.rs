//! Masquerading: packets that leave a network for elsewhere get the host's address.
//!
//! One rule serves a whole network, however many containers it has: the kernel's cost is the same
//! for the first and the hundredth, and a container's end leaves nothing to remove. The rule goes
//! with the network's last container at the next GC.

use std::net::IpAddr;

use corten_cni_types::{CniError, IpNet, codes};
use corten_sys_netlink::NetlinkError;
use corten_sys_netlink::tables::{
    Base, BaseChain, Batch, ChainType, Expression, Family, Hook, MetaKey, Operator, Register,
    Table, Tables,
};
use rustix::io::Errno;

const CHAIN: &str = "postrouting";

/// `NF_IP_PRI_NAT_SRC`
const PRIORITY: i32 = 100;

/// How often adding is begun anew because somebody else changed some table meanwhile.
const ATTEMPTS: usize = 100;

/// `ERESTART`, which user space sees only from nf_tables.
const RESTART: i32 = 85;

/// The table with the rules of every network.
pub(crate) fn table() -> Table {
    Table::new(Family::Inet, "corten-masquerade")
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err passes")]
fn failed(error: NetlinkError) -> CniError {
    CniError::caused(codes::INTERNAL, "cannot set up masquerading", &error)
}

/// Sees to it that the network of an address is masqueraded.
pub(super) fn ensure(network: &str, address: IpNet) -> Result<(), CniError> {
    let mut tables = Tables::open().map_err(failed)?;
    for _attempt in 0..ATTEMPTS {
        match try_ensure(&mut tables, network, address) {
            // Some table changed between reading and writing.
            Err(error) if error.is(Errno::from_raw_os_error(RESTART)) => {}
            outcome => return outcome.map_err(failed),
        }
    }
    Err(CniError::new(codes::TRY_AGAIN, "nf_tables is being changed all the time"))
}

fn try_ensure(tables: &mut Tables, network: &str, address: IpNet) -> Result<(), NetlinkError> {
    let comment = format!("{network} {}/{}", address.network(), address.prefix());
    let generation = tables.generation()?;
    let rules = tables.rules(&table(), CHAIN)?;
    if rules.iter().any(|rule| rule.comment.as_deref() == Some(&comment)) {
        return Ok(());
    }
    let mut batch = Batch::new();
    batch.expect_generation(generation);
    batch.add_table(&table());
    let base = BaseChain { kind: ChainType::Nat, hook: Hook::Postrouting, priority: PRIORITY };
    batch.add_chain(&table(), CHAIN, Some(base));
    batch.add_rule(&table(), CHAIN, &rule(address), Some(&comment));
    tables.commit(&batch)
}

/// Removes the rules of a network.
pub(super) fn remove(network: &str) -> Result<(), CniError> {
    let mut tables = Tables::open().map_err(failed)?;
    let rules = tables.rules(&table(), CHAIN).map_err(failed)?;
    let mut batch = Batch::new();
    let prefix = format!("{network} ");
    for rule in rules {
        if rule.comment.is_some_and(|comment| comment.starts_with(&prefix)) {
            batch.delete_rule(&table(), CHAIN, rule.handle);
        }
    }
    match tables.commit(&batch) {
        // Somebody else removed them.
        Err(error) if error.is(Errno::NOENT) => Ok(()),
        outcome => outcome.map_err(failed),
    }
}

/// From the network, not to the network and not to many: `ip saddr NET ip daddr != NET ip daddr
/// != 224.0.0.0/4 masquerade`.
fn rule(net: IpNet) -> Vec<Expression> {
    // Where the addresses are in the headers, the family's number, and what is multicast.
    let (nfproto, source, destination, multicast_mask, multicast) = if net.is_ipv4() {
        (2, 12, 16, vec![0xf0, 0, 0, 0], vec![0xe0, 0, 0, 0])
    } else {
        let with = |first: u8| [vec![first], vec![0; 15]].concat();
        (10, 8, 24, with(0xff), with(0xff))
    };
    let mut rule = vec![
        Expression::Meta { key: MetaKey::NetworkProtocol, to: Register(0) },
        Expression::Compare { from: Register(0), operator: Operator::Equal, value: vec![nfproto] },
    ];
    let network = octets(net.network());
    let mask = mask(net);
    rule.extend(compare(source, &mask, Operator::Equal, network.clone()));
    rule.extend(compare(destination, &mask, Operator::NotEqual, network));
    rule.extend(compare(destination, &multicast_mask, Operator::NotEqual, multicast));
    rule.push(Expression::Masquerade);
    rule
}

fn compare(offset: u32, mask: &[u8], operator: Operator, value: Vec<u8>) -> [Expression; 3] {
    let length = if mask.len() == 4 { 4 } else { 16 };
    [
        Expression::Payload { base: Base::Network, offset, length, to: Register(0) },
        Expression::Bitwise {
            from: Register(0),
            to: Register(0),
            mask: mask.to_vec(),
            xor: vec![0; mask.len()],
        },
        Expression::Compare { from: Register(0), operator, value },
    ]
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn mask(net: IpNet) -> Vec<u8> {
    let bits = u32::from(net.prefix());
    if net.is_ipv4() {
        u32::MAX.checked_shl(32 - bits).unwrap_or(0).to_be_bytes().to_vec()
    } else {
        u128::MAX.checked_shl(128 - bits).unwrap_or(0).to_be_bytes().to_vec()
    }
}

//! Masquerading: packets that leave a network for elsewhere get the host's address.
//!
//! One rule serves a whole network, however many containers it has: the kernel's cost is the same
//! for the first and the hundredth, and a container's end leaves nothing to remove. The rule goes
//! with the network's last container at the next GC.

use corten_cni_types::{CniError, IpNet};
use corten_sys_netlink::NetlinkError;
use corten_sys_netlink::tables::{
    BaseChain, Batch, ChainType, Expression, Family, Hook, Operator, Table, Tables,
};

use crate::nft;

const CHAIN: &str = "postrouting";

/// `NF_IP_PRI_NAT_SRC`
const PRIORITY: i32 = 100;

/// The table with the rules of every network.
pub(crate) fn table() -> Table {
    Table::new(Family::Inet, "corten-masquerade")
}

/// The comment of a network's rule.
fn comment(network: &str, address: IpNet) -> String {
    format!("{network} {}/{}", address.network(), address.prefix())
}

/// Sees to it that the network of an address is masqueraded.
pub(crate) fn ensure(network: &str, address: IpNet) -> Result<(), CniError> {
    let comment = comment(network, address);
    nft::persist("cannot set up masquerading", |tables| try_ensure(tables, &comment, address))
}

fn try_ensure(tables: &mut Tables, comment: &str, address: IpNet) -> Result<(), NetlinkError> {
    let generation = tables.generation()?;
    let rules = tables.rules(&table(), CHAIN)?;
    if rules.iter().any(|rule| rule.comment.as_deref() == Some(comment)) {
        return Ok(());
    }
    let mut batch = Batch::new();
    batch.expect_generation(generation);
    batch.add_table(&table());
    let base = BaseChain { kind: ChainType::Nat, hook: Hook::Postrouting, priority: PRIORITY };
    batch.add_chain(&table(), CHAIN, Some(base));
    batch.add_rule(&table(), CHAIN, &rule(address), Some(comment));
    tables.commit(&batch)
}

/// Whether the network of an address is masqueraded.
pub(crate) fn is_there(network: &str, address: IpNet) -> Result<bool, CniError> {
    let comment = comment(network, address);
    let mut there = false;
    nft::persist("cannot read the masquerading rules", |tables| {
        let rules = tables.rules(&table(), CHAIN)?;
        there = rules.iter().any(|rule| rule.comment.as_deref() == Some(&comment));
        Ok(())
    })?;
    Ok(there)
}

/// Removes the rules of a network.
pub(crate) fn remove(network: &str) -> Result<(), CniError> {
    let prefix = format!("{network} ");
    nft::remove("cannot remove masquerading", &table(), &[CHAIN], |comment| {
        comment.starts_with(&prefix)
    })
}

/// From the network, not to the network and not to many: `ip saddr NET ip daddr != NET ip daddr
/// != 224.0.0.0/4 masquerade`.
fn rule(net: IpNet) -> Vec<Expression> {
    let mut rule = nft::is_family(net.is_ipv4()).to_vec();
    rule.extend(nft::in_network(net, false, Operator::Equal));
    rule.extend(nft::in_network(net, true, Operator::NotEqual));
    rule.extend(nft::in_network(multicast(net.is_ipv4()), true, Operator::NotEqual));
    rule.push(Expression::Masquerade);
    rule
}

fn multicast(ipv4: bool) -> IpNet {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let (address, prefix) = if ipv4 {
        (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4)
    } else {
        (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8)
    };
    IpNet::new(address, prefix).unwrap_or(IpNet::host(address))
}

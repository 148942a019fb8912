//! What the plugins that write nf_tables rules share: owners, parts of rules, beginning anew.

use std::net::IpAddr;

use corten_cni_types::{Attachment, CniError, IpNet, codes};
use corten_sys_netlink::NetlinkError;
use corten_sys_netlink::tables::{
    Base, Batch, Element, Expression, MetaKey, Operator, Register, Table, Tables,
};
use rustix::io::Errno;
use sha2::{Digest as _, Sha512};

use crate::skel::Call;

/// How often a change is begun anew because somebody else changed some table meanwhile.
const ATTEMPTS: usize = 100;

/// `ERESTART`, which user space sees only from nf_tables.
const RESTART: i32 = 85;

/// The kernel bounds the user data of rules and elements.
const COMMENT_BYTES_MAX: usize = 253;

/// The comment that tells whose a rule or an element is: network, container, interface. None of
/// the three can have a space. Where they are too long together the network's name stays, and
/// the others are hashed.
pub(crate) fn owner(network: &str, container_id: &str, ifname: &str) -> String {
    let comment = format!("{network} {container_id} {ifname}");
    if comment.len() <= COMMENT_BYTES_MAX {
        return comment;
    }
    format!("{network} {}", &hash(&comment)[..32])
}

/// The owner that a call is about.
pub(crate) fn owner_of(call: &Call) -> String {
    owner(&call.network, &call.container_id, &call.ifname)
}

/// Tells, for a GC call, whether an owner is of the network but not among those that still exist.
pub(crate) fn is_gone(call: &Call) -> impl Fn(&str) -> bool {
    let network = call.network.clone();
    let valid: std::collections::HashSet<_> = call
        .valid_attachments
        .iter()
        .map(|Attachment { container_id, ifname }| owner(&network, container_id, ifname))
        .collect();
    move |comment| comment.split(' ').next() == Some(&network) && !valid.contains(comment)
}

/// SHA-512 in hexadecimal digits.
pub(crate) fn hash(text: &str) -> String {
    Sha512::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Does `work` until no other change of the tables comes in between.
pub(crate) fn persist(
    what: &str,
    mut work: impl FnMut(&mut Tables) -> Result<(), NetlinkError>,
) -> Result<(), CniError> {
    let failed = |error: &NetlinkError| CniError::caused(codes::INTERNAL, what, error);
    let mut tables = Tables::open().map_err(|error| failed(&error))?;
    for _attempt in 0..ATTEMPTS {
        match work(&mut tables) {
            Err(error) if error.is(Errno::from_raw_os_error(RESTART)) => {}
            // Another call removed some of the same meanwhile.
            Err(error) if error.is(Errno::NOENT) => {}
            outcome => return outcome.map_err(|error| failed(&error)),
        }
    }
    let details = "nf_tables is being changed all the time".to_owned();
    Err(CniError { details, ..CniError::new(codes::TRY_AGAIN, what) })
}

/// Removes the elements of sets, and the rules of chains, whose comment `gone` tells.
pub(crate) fn remove(
    what: &str,
    table: &Table,
    chains: &[&str],
    gone: impl Fn(&str) -> bool,
) -> Result<(), CniError> {
    let is_gone = |comment: &Option<String>| comment.as_deref().is_some_and(&gone);
    persist(what, |tables| {
        let mut batch = Batch::new();
        for set in tables.sets(table)? {
            let elements: Vec<_> = tables
                .elements(table, &set)?
                .into_iter()
                .filter(|element| is_gone(&element.comment))
                .map(|element| Element::key(element.key))
                .collect();
            batch.delete_elements(table, &set, &elements);
        }
        for chain in chains {
            for rule in tables.rules(table, chain)? {
                if is_gone(&rule.comment) {
                    batch.delete_rule(table, chain, rule.handle);
                }
            }
        }
        tables.commit(&batch)
    })
}

/// `meta nfproto`
pub(crate) fn is_family(ipv4: bool) -> [Expression; 2] {
    let value = vec![if ipv4 { 2 } else { 10 }];
    [
        Expression::Meta { key: MetaKey::NetworkProtocol, to: Register(0) },
        Expression::Compare { from: Register(0), operator: Operator::Equal, value },
    ]
}

/// Where an address is in the header, and how long it is.
fn place(ipv4: bool, destination: bool) -> (u32, u32) {
    match (ipv4, destination) {
        (true, false) => (12, 4),
        (true, true) => (16, 4),
        (false, false) => (8, 16),
        (false, true) => (24, 16),
    }
}

/// Loads the source's or the destination's address.
pub(crate) fn load_address(ipv4: bool, destination: bool, to: Register) -> Expression {
    let (offset, length) = place(ipv4, destination);
    Expression::Payload { base: Base::Network, offset, length, to }
}

/// Whether the source or the destination is in a network, or is not.
pub(crate) fn in_network(net: IpNet, destination: bool, operator: Operator) -> [Expression; 3] {
    let mask = prefix_mask(net);
    let xor = vec![0; mask.len()];
    [
        load_address(net.is_ipv4(), destination, Register(0)),
        Expression::Bitwise { from: Register(0), to: Register(0), mask, xor },
        Expression::Compare { from: Register(0), operator, value: octets(net.network()) },
    ]
}

/// Whether the interface that a packet comes in or leaves by has a name, or does not.
pub(crate) fn interface(key: MetaKey, name: &str, operator: Operator) -> [Expression; 2] {
    [
        Expression::Meta { key, to: Register(0) },
        Expression::Compare { from: Register(0), operator, value: interface_name(name) },
    ]
}

/// An interface's name as the kernel compares it.
pub(crate) fn interface_name(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

/// An address as it is in a packet.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn prefix_mask(net: IpNet) -> Vec<u8> {
    let bits = u32::from(net.prefix());
    if net.is_ipv4() {
        u32::MAX.checked_shl(32 - bits).unwrap_or(0).to_be_bytes().to_vec()
    } else {
        u128::MAX.checked_shl(128 - bits).unwrap_or(0).to_be_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_fit_into_a_comment() {
        assert_eq!(owner("net", "c1", "eth0"), "net c1 eth0");
        let long = owner("net", &"x".repeat(200), &"y".repeat(60));
        assert!(long.starts_with("net ") && long.len() <= COMMENT_BYTES_MAX, "{long}");
        assert_ne!(long, owner("net", &"x".repeat(200), &"z".repeat(60)));
    }

    #[test]
    fn masks() {
        let mask = |text: &str| prefix_mask(text.parse().unwrap());
        assert_eq!(mask("10.0.0.0/8"), [255, 0, 0, 0]);
        assert_eq!(mask("0.0.0.0/0"), [0; 4]);
        assert_eq!(mask("::1/128"), [255; 16]);
    }
}

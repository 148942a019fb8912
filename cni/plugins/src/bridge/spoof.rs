//! Only a container's own hardware address may be the sender of what it sends.
//!
//! Two sets serve all containers: the ports that are looked at, and what each may send as.

use corten_cni_types::CniError;
use corten_sys_netlink::NetlinkError;
use corten_sys_netlink::route::MacAddress;
use corten_sys_netlink::tables::{
    Base, BaseChain, Batch, ChainType, Element, Expression, Family, FieldType, Hook, MetaKey,
    Register, Set, SetData, Table, Tables, Verdict,
};

use crate::nft;

const CHAIN: &str = "prerouting";
const PORTS: &str = "ports";
const SENDERS: &str = "senders";
const FRAME: &str = "frame";

/// Before everything else that looks at bridged packets (`NF_BR_PRI_NAT_DST_BRIDGED`).
const PRIORITY: i32 = -300;

/// Where the sender is in an Ethernet header, and its length; padded in a set's key.
const SENDER_OFFSET: u32 = 6;
const SENDER_BYTES: u32 = 6;
const SENDER_KEY_BYTES: usize = 8;

/// The table.
pub(crate) fn table() -> Table {
    Table::new(Family::Bridge, "corten-spoof")
}

/// Holds a port to one sender.
pub(super) fn add(owner: &str, port: &str, sender: MacAddress) -> Result<(), CniError> {
    nft::persist("cannot set up macspoofchk", |tables| try_add(tables, owner, port, sender))
}

fn try_add(
    tables: &mut Tables,
    owner: &str,
    port: &str,
    sender: MacAddress,
) -> Result<(), NetlinkError> {
    let generation = tables.generation()?;
    let mut batch = Batch::new();
    if tables.rules(&table(), CHAIN)?.is_empty() {
        batch.expect_generation(generation);
        add_frame(&mut batch);
    }
    let name = nft::interface_name(port);
    let mut key = name.clone();
    key.extend(sender.0);
    key.resize(name.len() + SENDER_KEY_BYTES, 0);
    let element = |key| [Element::key(key).with_comment(owner)];
    batch.add_elements(&table(), SENDERS, &element(key));
    batch.add_elements(&table(), PORTS, &element(name));
    tables.commit(&batch)
}

/// `iifname @ports iifname . ether saddr != @senders drop`
fn add_frame(batch: &mut Batch) {
    let name = FieldType::InterfaceName;
    batch.add_table(&table());
    batch.add_set(&table(), &Set::new(PORTS, &[name], SetData::None));
    batch.add_set(&table(), &Set::new(SENDERS, &[name, FieldType::HardwareAddress], SetData::None));
    let base = BaseChain { kind: ChainType::Filter, hook: Hook::Prerouting, priority: PRIORITY };
    batch.add_chain(&table(), CHAIN, Some(base));
    let rule = [
        Expression::Meta { key: MetaKey::InputName, to: Register(0) },
        Expression::Lookup { set: PORTS.to_owned(), key: Register(0), inverted: false },
        Expression::Payload {
            base: Base::Link,
            offset: SENDER_OFFSET,
            length: SENDER_BYTES,
            to: Register(4),
        },
        Expression::Lookup { set: SENDERS.to_owned(), key: Register(0), inverted: true },
        Expression::Verdict(Verdict::Drop),
    ];
    batch.add_rule(&table(), CHAIN, &rule, Some(FRAME));
}

/// Forgets the ports of the owners that `gone` tells.
pub(super) fn remove(gone: impl Fn(&str) -> bool) -> Result<(), CniError> {
    nft::remove("cannot remove macspoofchk", &table(), &[], gone)
}

/// Whether a port is held to one sender.
pub(super) fn is_there(owner: &str) -> Result<bool, CniError> {
    let mut there = false;
    nft::persist("cannot read what macspoofchk set up", |tables| {
        let elements = tables.elements(&table(), PORTS)?;
        there = elements.iter().any(|element| element.comment.as_deref() == Some(owner));
        Ok(())
    })?;
    Ok(there)
}

//! Batches: everything in one is done at once, or nothing.

use netlink_packet_core::{NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST};
use rustix::io::Errno;

use super::set::comment_data;
use super::{Element, Expression, SUBSYSTEM, Set, Table, Tables, header};
use crate::error::{NetlinkError, Refusal};
use crate::socket::acknowledgement;
use crate::wire::Wire;

/// Message types within the subsystem.
mod kinds {
    pub(super) const NEW_TABLE: u16 = 0;
    pub(super) const DELETE_TABLE: u16 = 2;
    pub(super) const NEW_CHAIN: u16 = 3;
    pub(super) const DELETE_CHAIN: u16 = 5;
    pub(super) const NEW_RULE: u16 = 6;
    pub(super) const DELETE_RULE: u16 = 8;
    pub(super) const NEW_SET: u16 = 9;
    pub(super) const DELETE_SET: u16 = 11;
    pub(super) const NEW_ELEMENTS: u16 = 12;
    pub(super) const DELETE_ELEMENTS: u16 = 14;
}

/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`; they belong to no subsystem.
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const BATCH_GENERATION: u16 = 1;
const SUBSYSTEM_NUMBER: u16 = SUBSYSTEM >> 8;

/// A list of elements goes into one attribute, whose length has 16 bits.
const ELEMENT_LIST_BYTES_MAX: usize = 48 * 1024;

/// How many refusals fit into a socket's receive buffer as it is by default, and what it is made
/// when there may be more: each takes a page at worst.
const ACKNOWLEDGEMENTS_FIT: u32 = 50;
const ACKNOWLEDGEMENT_BYTES_MAX: usize = 8 << 20;

/// What a base chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainType {
    /// See every packet and discard some.
    Filter,
    /// See the first packet of each connection and translate addresses.
    Nat,
}

/// Where in a packet's way a base chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before routing.
    Prerouting,
    /// To this machine.
    Input,
    /// Through this machine.
    Forward,
    /// From this machine.
    Output,
    /// After routing.
    Postrouting,
}

impl Hook {
    const ALL: [Self; 5] =
        [Self::Prerouting, Self::Input, Self::Forward, Self::Output, Self::Postrouting];

    pub(super) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.number() == number)
    }

    fn number(self) -> u32 {
        match self {
            Self::Prerouting => 0,
            Self::Input => 1,
            Self::Forward => 2,
            Self::Output => 3,
            Self::Postrouting => 4,
        }
    }
}

/// How a chain is hooked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseChain {
    /// What it may do.
    pub kind: ChainType,
    /// Where it stands.
    pub hook: Hook,
    /// Among those of one hook: lower comes first.
    pub priority: i32,
}

/// Changes to be made at once. Adding what is there already does nothing, but for rules.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    wire: Wire,
    /// Of each message: where it starts and what it asks for.
    requests: Vec<(usize, String)>,
    generation: Option<u32>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.wire.len()
    }

    /// Has the kernel refuse the batch with ERESTART when anything has changed since
    /// [`Tables::generation`] told this.
    pub fn expect_generation(&mut self, generation: u32) {
        self.generation = Some(generation);
    }

    fn push(
        &mut self,
        kind: u16,
        flags: u16,
        table: &Table,
        request: String,
        body: impl FnOnce(&mut Wire),
    ) {
        let start = self.wire.len();
        let sequence = u32::try_from(self.requests.len()).unwrap_or(u32::MAX);
        self.wire.message(SUBSYSTEM | kind, NLM_F_REQUEST | flags, sequence, |wire| {
            wire.raw(&header(table.family.number(), 0));
            body(wire);
        });
        self.requests.push((start, request));
    }

    /// Adds a table.
    pub fn add_table(&mut self, table: &Table) {
        let request = format!("add table {table}");
        self.push(kinds::NEW_TABLE, NLM_F_CREATE, table, request, |wire| {
            wire.text(1, &table.name);
        });
    }

    /// Deletes a table with all that is in it. ENOENT when there is none: add it before in the
    /// same batch to have it gone in any case.
    pub fn delete_table(&mut self, table: &Table) {
        let request = format!("delete table {table}");
        self.push(kinds::DELETE_TABLE, 0, table, request, |wire| wire.text(1, &table.name));
    }

    /// Adds a chain; without a base it is only reached by jumps.
    pub fn add_chain(&mut self, table: &Table, chain: &str, base: Option<BaseChain>) {
        let request = format!("add chain {table} {chain}");
        self.push(kinds::NEW_CHAIN, NLM_F_CREATE, table, request, |wire| {
            wire.text(1, &table.name);
            wire.text(3, chain);
            if let Some(base) = base {
                wire.nest(4, |wire| {
                    wire.be32(1, base.hook.number());
                    wire.be32(2, base.priority.cast_unsigned());
                });
                wire.text(7, if base.kind == ChainType::Nat { "nat" } else { "filter" });
            }
        });
    }

    /// Deletes a chain and its rules; EBUSY while something leads to it.
    pub fn delete_chain(&mut self, table: &Table, chain: &str) {
        let request = format!("delete chain {table} {chain}");
        self.push(kinds::DELETE_CHAIN, 0, table, request, |wire| {
            wire.text(1, &table.name);
            wire.text(3, chain);
        });
    }

    /// Appends a rule.
    pub fn add_rule(
        &mut self,
        table: &Table,
        chain: &str,
        expressions: &[Expression],
        comment: Option<&str>,
    ) {
        let request = match comment {
            Some(comment) => format!("add rule {table} {chain} ({comment})"),
            None => format!("add rule {table} {chain}"),
        };
        self.push(kinds::NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, table, request, |wire| {
            wire.text(1, &table.name);
            wire.text(2, chain);
            wire.nest(4, |wire| expressions.iter().for_each(|expression| expression.write(wire)));
            if let Some(comment) = comment {
                wire.attribute(7, &comment_data(comment));
            }
        });
    }

    /// Deletes a rule.
    pub fn delete_rule(&mut self, table: &Table, chain: &str, handle: u64) {
        let request = format!("delete rule {table} {chain} handle {handle}");
        self.push(kinds::DELETE_RULE, 0, table, request, |wire| {
            wire.text(1, &table.name);
            wire.text(2, chain);
            wire.be64(3, handle);
        });
    }

    /// Deletes every rule of a chain.
    pub fn flush_chain(&mut self, table: &Table, chain: &str) {
        let request = format!("flush chain {table} {chain}");
        self.push(kinds::DELETE_RULE, 0, table, request, |wire| {
            wire.text(1, &table.name);
            wire.text(2, chain);
        });
    }

    /// Adds a set or map.
    pub fn add_set(&mut self, table: &Table, set: &Set) {
        let request = format!("add set {table} {}", set.name);
        // Any number that is not used twice in a batch.
        let id = u32::try_from(self.requests.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.push(kinds::NEW_SET, NLM_F_CREATE, table, request, |wire| {
            wire.text(1, &table.name);
            set.write(wire, id);
        });
    }

    /// Deletes a set or map; EBUSY while a rule looks into it.
    pub fn delete_set(&mut self, table: &Table, set: &str) {
        let request = format!("delete set {table} {set}");
        self.push(kinds::DELETE_SET, 0, table, request, |wire| {
            wire.text(1, &table.name);
            wire.text(2, set);
        });
    }

    /// Deletes every element of a set or map.
    pub fn flush_set(&mut self, table: &Table, set: &str) {
        let request = format!("flush set {table} {set}");
        self.push(kinds::DELETE_ELEMENTS, 0, table, request, |wire| {
            wire.text(1, &table.name);
            wire.text(2, set);
        });
    }

    /// Adds elements. Adding one that is there does nothing, unless it has another value: then
    /// EEXIST; delete it before in the same batch.
    pub fn add_elements(&mut self, table: &Table, set: &str, elements: &[Element]) {
        self.elements(kinds::NEW_ELEMENTS, NLM_F_CREATE, "add", table, set, elements);
    }

    /// Adds elements; EEXIST when one is there.
    pub fn create_elements(&mut self, table: &Table, set: &str, elements: &[Element]) {
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.elements(kinds::NEW_ELEMENTS, flags, "create", table, set, elements);
    }

    /// Deletes elements by their keys; ENOENT when one is not there.
    pub fn delete_elements(&mut self, table: &Table, set: &str, elements: &[Element]) {
        self.elements(kinds::DELETE_ELEMENTS, 0, "delete", table, set, elements);
    }

    fn elements(
        &mut self,
        kind: u16,
        flags: u16,
        verb: &str,
        table: &Table,
        set: &str,
        mut elements: &[Element],
    ) {
        while !elements.is_empty() {
            let mut taken = 0;
            let start = self.wire.len();
            let request = format!("{verb} elements of {table} {set}");
            self.push(kind, flags, table, request, |wire| {
                wire.text(1, &table.name);
                wire.text(2, set);
                wire.nest(3, |wire| {
                    for element in elements {
                        element.write(wire, kind == kinds::NEW_ELEMENTS);
                        taken += 1;
                        if wire.len() - start > ELEMENT_LIST_BYTES_MAX {
                            break;
                        }
                    }
                });
            });
            elements = &elements[taken..];
        }
    }
}

impl Tables {
    /// Does everything that is in the batch, or nothing.
    ///
    /// # Errors
    /// [`NetlinkError::Batch`] with each refused request.
    pub fn commit(&mut self, batch: &Batch) -> Result<(), NetlinkError> {
        let Some((last_start, _request)) = batch.requests.last() else { return Ok(()) };
        let whole = || format!("a batch of {} requests", batch.requests.len());
        let count = u32::try_from(batch.requests.len())
            .map_err(|_too_many| NetlinkError::TooLong { request: whole() })?;
        if batch.wire.overflow() {
            return Err(NetlinkError::TooLong { request: whole() });
        }
        // Begin, the requests, end. The requests' own numbers count from zero, so they are
        // rewritten to numbers that no earlier answer has.
        let begin = self.connection.reserve_sequences(count.saturating_add(2));
        let mut wire = Wire::default();
        wire.message(BATCH_BEGIN, NLM_F_REQUEST, begin, |wire| {
            wire.raw(&header(0, SUBSYSTEM_NUMBER));
            if let Some(generation) = batch.generation {
                wire.be32(BATCH_GENERATION, generation);
            }
        });
        let offset = wire.len();
        wire.raw(batch.wire.bytes());
        let starts = batch.requests.iter().map(|(start, _request)| offset + start);
        for (number, start) in (begin + 1..).zip(starts) {
            wire.set_sequence(start, number);
        }
        // Refusals are always told; of successes only the last is asked for, which ends the wait.
        wire.add_flags(offset + last_start, NLM_F_ACK);
        wire.message(BATCH_END, NLM_F_REQUEST, begin + count + 1, |wire| {
            wire.raw(&header(0, SUBSYSTEM_NUMBER));
        });
        self.connection.make_room(wire.len())?;
        if count > ACKNOWLEDGEMENTS_FIT {
            self.connection.make_receive_room(ACKNOWLEDGEMENT_BYTES_MAX)?;
        }
        self.connection.send(wire.bytes())?;
        self.await_commit(batch, begin, count)
    }

    fn await_commit(&mut self, batch: &Batch, begin: u32, count: u32) -> Result<(), NetlinkError> {
        let mut failures = Vec::new();
        let mut ended = false;
        while !ended {
            self.connection.receive(|message| {
                let Some(answer) = acknowledgement(&message) else { return Ok(()) };
                let Some(index) = answer.sequence.checked_sub(begin) else { return Ok(()) };
                if index == 0 {
                    // The batch as a whole was refused. Unless it is the commit that failed, no
                    // request was looked at, and nothing more is told.
                    failures.extend(answer.refusal("commit".to_owned()));
                    ended = true;
                } else if index <= count {
                    let place = usize::try_from(index - 1).unwrap_or(usize::MAX);
                    let request = batch.requests.get(place).map(|(_, text)| text.clone());
                    failures.extend(answer.refusal(request.unwrap_or_default()));
                    ended |= index == count;
                }
                Ok(())
            })?;
        }
        if failures.is_empty() { Ok(()) } else { Err(NetlinkError::Batch { failures }) }
    }

    /// Deletes a table with all that is in it, if it is there.
    ///
    /// # Errors
    /// Any but that it is not there.
    pub fn delete_table(&mut self, table: &Table) -> Result<(), NetlinkError> {
        let mut batch = Batch::new();
        batch.delete_table(table);
        match self.commit(&batch) {
            Err(error) if error.is(Errno::NOENT) => Ok(()),
            outcome => outcome,
        }
    }
}

impl NetlinkError {
    /// The refused requests, where it is a batch that was refused.
    #[must_use]
    pub fn refusals(&self) -> &[Refusal] {
        if let Self::Batch { failures } = self { failures } else { &[] }
    }
}

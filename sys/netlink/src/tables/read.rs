//! What the kernel holds.

use rustix::io::Errno;

use super::set::comment_of;
use super::{ElementData, Family, Hook, SUBSYSTEM, Table, Tables, Verdict, header};
use crate::error::NetlinkError;
use crate::wire::{attributes, be32_of, be64_of, find, text_of};

/// Message types within the subsystem.
mod kinds {
    pub(super) const GET_TABLE: u16 = 1;
    pub(super) const GET_CHAIN: u16 = 4;
    pub(super) const GET_RULE: u16 = 7;
    pub(super) const GET_SET: u16 = 10;
    pub(super) const GET_ELEMENTS: u16 = 13;
    pub(super) const GET_GENERATION: u16 = 16;
}

/// Length of `struct nfgenmsg`.
const HEADER: usize = 4;

/// A chain as the kernel holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainInfo {
    /// Its name.
    pub name: String,
    /// How many rules and elements lead to it.
    pub uses: u32,
    /// Where it discards, by its policy, what its rules do not decide.
    pub drops_at: Option<Hook>,
}

/// A rule as the kernel holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInfo {
    /// Its handle, which deletes it.
    pub handle: u64,
    /// Its comment.
    pub comment: Option<String>,
    /// Its expressions, as the kernel writes them: for telling whether they have changed.
    pub expressions: Vec<u8>,
}

/// An element as the kernel holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementInfo {
    /// The key.
    pub key: Vec<u8>,
    /// What it leads to.
    pub data: ElementData,
    /// Its comment.
    pub comment: Option<String>,
}

impl Tables {
    /// A number that is another after every change of any table.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn generation(&mut self) -> Result<u32, NetlinkError> {
        self.connection.query(
            SUBSYSTEM | kinds::GET_GENERATION,
            || "get the generation".to_owned(),
            |wire| wire.raw(&header(0, 0)),
            |body| {
                find(attributes_of(body), 1)
                    .and_then(be32_of)
                    .ok_or_else(|| "there is no NFTA_GEN_ID".to_owned())
            },
        )
    }

    /// Every table of the families in [`Family`].
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn tables(&mut self) -> Result<Vec<Table>, NetlinkError> {
        self.connection.dump(
            SUBSYSTEM | kinds::GET_TABLE,
            || "list tables".to_owned(),
            |wire| wire.raw(&header(0, 0)),
            |body| {
                let family = body.first().copied().and_then(Family::from_number);
                let name = find(attributes_of(body), 1).map(text_of);
                Ok(family.zip(name).map(|(family, name)| Table { family, name }))
            },
        )
    }

    /// The chains of a table; none when there is no such table.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn chains(&mut self, table: &Table) -> Result<Vec<ChainInfo>, NetlinkError> {
        // The kernel lists the chains of all tables of the family.
        self.connection.dump(
            SUBSYSTEM | kinds::GET_CHAIN,
            || format!("list chains of {table}"),
            |wire| wire.raw(&header(table.family.number(), 0)),
            |body| {
                let body = attributes_of(body);
                if find(body, 1).map(text_of).as_deref() != Some(&table.name) {
                    return Ok(None);
                }
                let uses = find(body, 6).and_then(be32_of).unwrap_or(0);
                let drops_at = drops_at(body);
                Ok(find(body, 3).map(|name| ChainInfo { name: text_of(name), uses, drops_at }))
            },
        )
    }

    /// The names of a table's sets and maps; none when there is no such table.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn sets(&mut self, table: &Table) -> Result<Vec<String>, NetlinkError> {
        let outcome = self.connection.dump(
            SUBSYSTEM | kinds::GET_SET,
            || format!("list sets of {table}"),
            |wire| {
                wire.raw(&header(table.family.number(), 0));
                wire.text(1, &table.name);
            },
            |body| Ok(find(attributes_of(body), 2).map(text_of)),
        );
        missing_is_empty(outcome)
    }

    /// The rules of a chain, in order; none when there is no such chain.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn rules(&mut self, table: &Table, chain: &str) -> Result<Vec<RuleInfo>, NetlinkError> {
        let outcome = self.connection.dump(
            SUBSYSTEM | kinds::GET_RULE,
            || format!("list rules of {table} {chain}"),
            |wire| {
                wire.raw(&header(table.family.number(), 0));
                wire.text(1, &table.name);
                wire.text(2, chain);
            },
            |body| {
                let body = attributes_of(body);
                // Before 6.x a dump by chain may go on with the table's other chains.
                if find(body, 2).map(text_of).as_deref() != Some(chain) {
                    return Ok(None);
                }
                let handle = find(body, 3).and_then(be64_of);
                let handle = handle.ok_or_else(|| "a rule without handle".to_owned())?;
                let comment = find(body, 7).and_then(comment_of);
                let expressions = find(body, 4).unwrap_or_default().to_vec();
                Ok(Some(RuleInfo { handle, comment, expressions }))
            },
        );
        missing_is_empty(outcome)
    }

    /// The elements of a set or map; none when there is no such set.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn elements(&mut self, table: &Table, set: &str) -> Result<Vec<ElementInfo>, NetlinkError> {
        let outcome = self.connection.dump(
            SUBSYSTEM | kinds::GET_ELEMENTS,
            || format!("list elements of {table} {set}"),
            |wire| {
                wire.raw(&header(table.family.number(), 0));
                wire.text(1, &table.name);
                wire.text(2, set);
            },
            |body| {
                let list = find(attributes_of(body), 3).unwrap_or_default();
                let elements: Option<Vec<_>> =
                    attributes(list).map(|(_kind, element)| read_element(element)).collect();
                elements.map(Some).ok_or_else(|| "an element without a key".to_owned())
            },
        );
        Ok(missing_is_empty(outcome)?.into_iter().flatten().collect())
    }
}

/// The hook of a base chain whose policy is to drop.
fn drops_at(chain: &[u8]) -> Option<Hook> {
    const DROP: u32 = 0;
    let number = find(find(chain, 4)?, 1).and_then(be32_of)?;
    let policy = find(chain, 5).and_then(be32_of)?;
    Hook::from_number(number).filter(|_hook| policy == DROP)
}

fn attributes_of(body: &[u8]) -> &[u8] {
    body.get(HEADER..).unwrap_or_default()
}

fn missing_is_empty<T>(outcome: Result<Vec<T>, NetlinkError>) -> Result<Vec<T>, NetlinkError> {
    match outcome {
        Err(error) if error.is(Errno::NOENT) => Ok(Vec::new()),
        outcome => outcome,
    }
}

fn read_element(element: &[u8]) -> Option<ElementInfo> {
    let key = find(find(element, 1)?, 1)?.to_vec();
    let data = match find(element, 2) {
        None => ElementData::None,
        Some(data) => match (find(data, 1), find(data, 2)) {
            (Some(value), _) => ElementData::Value(value.to_vec()),
            (None, Some(verdict)) => {
                let code = find(verdict, 1).and_then(be32_of)?;
                ElementData::Verdict(Verdict::read(code, find(verdict, 2).map(text_of))?)
            }
            (None, None) => ElementData::None,
        },
    };
    Some(ElementInfo { key, data, comment: find(element, 6).and_then(comment_of) })
}

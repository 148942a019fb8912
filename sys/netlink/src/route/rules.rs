//! Routing rules: which table is looked up for which packet.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Links;
use crate::error::NetlinkError;

/// A rule that sends packets of one source address to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The source; nothing for rules about something else, which can be read but not made.
    pub source: Option<IpAddr>,
    /// The table.
    pub table: u32,
    /// Lower comes first; the kernel's choice without.
    pub priority: Option<u32>,
}

impl Links {
    /// The rules of both families that lead to a table.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn rules(&mut self) -> Result<Vec<Rule>, NetlinkError> {
        let mut rules = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RuleMessage::default();
            message.header.family = family;
            let message = RouteNetlinkMessage::GetRule(message);
            rules.extend(self.list(
                &message,
                || "list routing rules".to_owned(),
                |message: RuleMessage| read(&message),
            )?);
        }
        Ok(rules)
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// EEXIST when it is there.
    pub fn add_rule(&mut self, source: IpAddr, table: u32) -> Result<(), NetlinkError> {
        let rule = Rule { source: Some(source), table, priority: None };
        let message = RouteNetlinkMessage::NewRule(write(&rule));
        self.change(&message, NLM_F_CREATE | NLM_F_EXCL, || request("add", &rule))
    }

    /// Removes a rule.
    ///
    /// # Errors
    /// ENOENT when there is none.
    pub fn delete_rule(&mut self, rule: &Rule) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelRule(write(rule));
        self.change(&message, 0, || request("delete", rule))
    }
}

fn request(verb: &str, rule: &Rule) -> String {
    let source = rule.source.map(|source| format!(" from {source}")).unwrap_or_default();
    format!("{verb} rule{source} to table {}", rule.table)
}

fn write(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.action = RuleAction::ToTable;
    // Tables past 255 are told by the attribute alone.
    message.header.table = u8::try_from(rule.table).unwrap_or(0);
    message.attributes.push(RuleAttribute::Table(rule.table));
    if let Some(source) = rule.source {
        let (family, length) = match source {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        message.header.family = family;
        message.header.src_len = length;
        message.attributes.push(RuleAttribute::Source(source));
    }
    message.attributes.extend(rule.priority.map(RuleAttribute::Priority));
    message
}

fn read(message: &RuleMessage) -> Option<Rule> {
    if message.header.action != RuleAction::ToTable {
        return None;
    }
    let mut rule = Rule { source: None, table: u32::from(message.header.table), priority: None };
    for attribute in &message.attributes {
        if let RuleAttribute::Source(source) = attribute {
            let whole = if source.is_ipv4() { 32 } else { 128 };
            rule.source = (message.header.src_len == whole).then_some(*source);
        } else if let RuleAttribute::Table(table) = attribute {
            rule.table = *table;
        } else if let RuleAttribute::Priority(priority) = attribute {
            rule.priority = Some(*priority);
        }
    }
    Some(rule)
}

//! The chains that choose an endpoint: one for each number of endpoints and each treatment.

use corten_proxy_model::{Frontend, FrontendKey};
use corten_sys_netlink::tables::{Batch, DynsetOperation, Expression, MetaKey, NatType, Register};

use crate::MASQUERADE_MARK;
use crate::layout::{Kind, Layout};

/// Names a chain, and says what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Chain {
    pub(crate) kind: Kind,
    /// Among how many endpoints it chooses.
    pub(crate) count: u32,
    /// For how long a client keeps its endpoint.
    pub(crate) affinity_s: Option<u32>,
    /// Whether the source is translated as well.
    pub(crate) masquerade: bool,
}

impl Chain {
    /// The chain of a frontend; nothing when it has no endpoints.
    pub(crate) fn of(key: &FrontendKey, frontend: &Frontend) -> Option<Self> {
        let count = u32::try_from(frontend.slots().len()).ok()?;
        (count > 0).then(|| Self {
            kind: Kind::of(key),
            count,
            affinity_s: frontend.affinity_s,
            masquerade: frontend.masquerade,
        })
    }

    pub(crate) fn name(&self) -> String {
        let mut name = format!("{}-{}", self.kind.endpoints(), self.count);
        if let Some(affinity_s) = self.affinity_s {
            name.push_str(&format!("-affinity-{affinity_s}"));
        }
        if self.masquerade {
            name.push_str("-masquerade");
        }
        name
    }

    /// Reads what [`Chain::name`] wrote.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (name, masquerade) = match name.strip_suffix("-masquerade") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (name, affinity_s) = match name.split_once("-affinity-") {
            Some((name, affinity)) => (name, Some(affinity.parse().ok()?)),
            None => (name, None),
        };
        let (kind, count) = name.rsplit_once('-')?;
        let kind = Kind::BOTH.into_iter().find(|it| it.endpoints() == kind)?;
        Some(Self { kind, count: count.parse().ok()?, affinity_s, masquerade })
    }

    /// Adds the chain with its rules; if it is there, replaces them.
    pub(crate) fn write(&self, batch: &mut Batch, layout: &Layout) {
        let (table, name) = (&layout.table(), &self.name());
        batch.add_chain(table, name, None);
        batch.flush_chain(table, name);
        if self.masquerade {
            batch.add_rule(table, name, &mark(Register(0)), None);
        }
        if self.affinity_s.is_some() {
            batch.add_rule(table, name, &self.known_client(*layout), None);
        }
        batch.add_rule(table, name, &self.any_client(*layout), None);
    }

    /// A client that has an endpoint keeps it. If there is no such endpoint any more, the rule
    /// ends without an effect.
    fn known_client(&self, layout: Layout) -> Vec<Expression> {
        let registers = layout.registers(self.kind);
        let mut rule = vec![layout.load_client(self.kind)];
        rule.extend(layout.load_frontend(self.kind));
        rule.push(Expression::MapLookup {
            map: self.kind.affinity().to_owned(),
            key: registers.client,
            to: registers.index,
        });
        rule.push(self.find_endpoint(layout));
        rule.push(self.remember(layout, DynsetOperation::Update));
        rule.push(self.translate(layout));
        rule
    }

    fn any_client(&self, layout: Layout) -> Vec<Expression> {
        let to = layout.registers(self.kind).index;
        let mut rule = layout.load_frontend(self.kind);
        rule.push(Expression::Random { modulus: self.count, to });
        if self.affinity_s.is_some() {
            rule.insert(0, layout.load_client(self.kind));
            rule.push(self.find_endpoint(layout));
            // What is remembered is of no use any more, and an update would keep its value.
            rule.push(self.remember(layout, DynsetOperation::Delete));
            rule.push(self.remember(layout, DynsetOperation::Update));
        } else {
            rule.push(self.find_endpoint(layout));
        }
        rule.push(self.translate(layout));
        rule
    }

    fn find_endpoint(&self, layout: Layout) -> Expression {
        let registers = layout.registers(self.kind);
        Expression::MapLookup {
            map: self.kind.endpoints().to_owned(),
            key: registers.frontend,
            to: registers.endpoint,
        }
    }

    fn remember(&self, layout: Layout, operation: DynsetOperation) -> Expression {
        let registers = layout.registers(self.kind);
        Expression::Dynset {
            set: self.kind.affinity().to_owned(),
            operation,
            key: registers.client,
            value: Some(registers.index),
            timeout_ms: self.affinity_s.map(|seconds| u64::from(seconds) * 1000),
        }
    }

    fn translate(&self, layout: Layout) -> Expression {
        let registers = layout.registers(self.kind);
        Expression::Nat {
            kind: NatType::Destination,
            ipv6: layout.ipv6,
            address: registers.endpoint,
            port: Some(registers.endpoint_port),
        }
    }
}

/// Asks for masquerading, which happens after routing.
pub(crate) fn mark(scratch: Register) -> Vec<Expression> {
    vec![
        Expression::Meta { key: MetaKey::Mark, to: scratch },
        Expression::Bitwise {
            from: scratch,
            to: scratch,
            mask: (!MASQUERADE_MARK).to_ne_bytes().to_vec(),
            xor: MASQUERADE_MARK.to_ne_bytes().to_vec(),
        },
        Expression::SetMeta { key: MetaKey::Mark, from: scratch },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_read_back() {
        for kind in Kind::BOTH {
            for affinity_s in [None, Some(10800)] {
                for masquerade in [false, true] {
                    let chain = Chain { kind, count: 3, affinity_s, masquerade };
                    assert_eq!(Chain::parse(&chain.name()), Some(chain));
                    // The kernel's limit is 128 bytes.
                    assert!(chain.name().len() < 128);
                }
            }
        }
        for other in ["services", "endpoints", "endpoints-x", "reject", "endpoints-1-affinity-x"] {
            assert_eq!(Chain::parse(other), None);
        }
    }
}

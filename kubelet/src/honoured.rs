//! Which fields of a pod this kubelet honours.
//!
//! Every field of the PodSpec schema is in the table, once; a test walks the schema. A pod that
//! sets a refused field fails, a warned one runs without it and an event says so: no field is ever
//! dropped in silence.

mod table;

use serde_json::Value;

/// What becomes of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    /// It does what the API says.
    Honoured,
    /// It and all below it is the business of another part, which the table names.
    Elsewhere,
    /// A pod that sets it, or anything below it, is refused.
    Refused(&'static str),
    /// The pod runs without it; an event says so.
    Warned(&'static str),
    /// It depends on the value.
    ByValue(fn(&Value) -> Option<Verdict>),
}

/// What becomes of a field with one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Refused(&'static str),
    Warned(&'static str),
}

/// A field that is set and not honoured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) why: &'static str,
}

/// What [`check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) refused: Vec<Finding>,
    pub(crate) warned: Vec<Finding>,
}

/// Looks at the fields that a pod sets.
pub(crate) fn check(pod: &Value) -> Findings {
    let mut findings = Findings::default();
    if let Some(spec) = pod.get("spec") {
        walk(spec, "spec", "spec", &mut findings);
    }
    findings
}

/// A value that says no more than its absence.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// Where the rule of a path stands: init containers share theirs with main containers unless
/// they have one of their own.
pub(crate) fn rule(pattern: &str) -> Option<Rule> {
    let find = |path: &str| table::TABLE.iter().find(|(known, _)| *known == path).map(|(_, r)| *r);
    find(pattern).or_else(|| {
        let rest = pattern.strip_prefix("spec.initContainers")?;
        find(&format!("spec.containers{rest}"))
    })
}

/// `pattern` is the path with list indexes and map keys left out.
fn walk(value: &Value, path: &str, pattern: &str, findings: &mut Findings) {
    let verdict = match rule(pattern) {
        Some(Rule::Refused(why)) if !is_unset(value) => Some(Verdict::Refused(why)),
        Some(Rule::Warned(why)) if !is_unset(value) => Some(Verdict::Warned(why)),
        Some(Rule::ByValue(judge)) => judge(value),
        Some(Rule::Elsewhere | Rule::Refused(_) | Rule::Warned(_)) => return,
        Some(Rule::Honoured) | None => None,
    };
    let finding = |why| Finding { path: path.to_owned(), why };
    match verdict {
        Some(Verdict::Refused(why)) => findings.refused.push(finding(why)),
        Some(Verdict::Warned(why)) => findings.warned.push(finding(why)),
        None => match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = format!("{path}.{name}");
                    walk(value, &path, &format!("{pattern}.{name}"), findings);
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    walk(value, &format!("{path}[{index}]"), &format!("{pattern}[]"), findings);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        },
    }
}

#[cfg(test)]
mod tests;

//! Field selectors: `metadata.name=x,status.phase!=Running`.

use std::fmt;
use std::str::FromStr;

use super::parse::ParseError;

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldOp {
    /// `=`, `==`.
    Equals,
    /// `!=`.
    NotEquals,
}

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    /// Field path, e.g. `status.phase`.
    pub field: String,
    /// Comparison.
    pub op: FieldOp,
    /// Value to compare with; an absent field is the empty string.
    pub value: String,
}

/// A conjunction of conditions on fields; the empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    /// The conditions.
    pub requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Whether it matches everything.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object meets it; `value` reads a field, with its default where it is absent.
    pub fn matches(&self, value: impl Fn(&str) -> String) -> bool {
        self.requirements.iter().all(|r| (value(&r.field) == r.value) == (r.op == FieldOp::Equals))
    }

    /// The value that a field must have for anything to match, if the selector says one.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.requirements
            .iter()
            .find(|r| r.field == field && r.op == FieldOp::Equals)
            .map(|r| r.value.as_str())
    }
}

impl FromStr for FieldSelector {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut requirements = Vec::new();
        for term in terms(text) {
            if term.is_empty() {
                continue;
            }
            let wrong = || ParseError {
                message: format!("invalid selector: '{text}'; can't understand '{term}'"),
            };
            let (at, sign, op) = operator(term).ok_or_else(wrong)?;
            let value = unescape(&term[at + sign.len()..])?;
            requirements.push(FieldRequirement { field: term[..at].to_owned(), op, value });
        }
        Ok(FieldSelector { requirements })
    }
}

/// Splits at commas that no backslash stands before.
fn terms(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                out.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

fn operator(term: &str) -> Option<(usize, &'static str, FieldOp)> {
    const OPERATORS: &[(&str, FieldOp)] =
        &[("!=", FieldOp::NotEquals), ("==", FieldOp::Equals), ("=", FieldOp::Equals)];
    term.char_indices().find_map(|(i, _)| {
        OPERATORS.iter().find(|(s, _)| term[i..].starts_with(s)).map(|(s, op)| (i, *s, *op))
    })
}

fn unescape(text: &str) -> Result<String, ParseError> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                other => {
                    let sequence: String = std::iter::once('\\').chain(other).collect();
                    let message =
                        format!("invalid field selector: invalid escape sequence: {sequence}");
                    return Err(ParseError { message });
                }
            },
            ',' | '=' => {
                let message = format!("invalid field selector: unescaped character in value: {c}");
                return Err(ParseError { message });
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.requirements.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let op = if r.op == FieldOp::Equals { "=" } else { "!=" };
            let value = r.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{op}{value}", r.field)?;
        }
        Ok(())
    }
}

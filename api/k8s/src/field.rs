//! Field paths and field errors, worded as Kubernetes words them.

use std::fmt;

use serde_json::Value;

/// Where in an object a value stands: `spec.containers[0].image`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldPath(String);

impl FieldPath {
    /// A path that starts with that field.
    pub fn new(name: &str) -> Self {
        FieldPath(name.to_owned())
    }

    /// The empty path, to which the first child adds no dot.
    pub fn root() -> Self {
        FieldPath::default()
    }

    /// A field of this object; the name may itself be dotted.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() {
            FieldPath::new(name)
        } else {
            FieldPath(format!("{}.{name}", self.0))
        }
    }

    /// An element of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        FieldPath(format!("{}[{index}]", self.0))
    }

    /// An entry of this map.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        FieldPath(format!("{}[{key}]", self.0))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with a field. The names are the reasons of a `StatusCause`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// A referenced value does not exist.
    NotFound,
    /// The value is missing or empty.
    Required,
    /// The value must be unique and is not.
    Duplicate,
    /// The value is malformed or out of bounds.
    Invalid,
    /// The value is none of the allowed ones.
    NotSupported,
    /// The value is well-formed but not permitted here.
    Forbidden,
    /// The value is too long.
    TooLong,
    /// The list has too many items.
    TooMany,
    /// The value has the wrong type.
    TypeInvalid,
}

impl ErrorType {
    /// The machine-readable reason of the cause.
    pub fn reason(self) -> &'static str {
        match self {
            ErrorType::NotFound => "FieldValueNotFound",
            ErrorType::Required => "FieldValueRequired",
            ErrorType::Duplicate => "FieldValueDuplicate",
            ErrorType::Invalid => "FieldValueInvalid",
            ErrorType::NotSupported => "FieldValueNotSupported",
            ErrorType::Forbidden => "FieldValueForbidden",
            ErrorType::TooLong => "FieldValueTooLong",
            ErrorType::TooMany => "FieldValueTooMany",
            ErrorType::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            ErrorType::NotFound => "Not found",
            ErrorType::Required => "Required value",
            ErrorType::Duplicate => "Duplicate value",
            ErrorType::Invalid | ErrorType::TypeInvalid => "Invalid value",
            ErrorType::NotSupported => "Unsupported value",
            ErrorType::Forbidden => "Forbidden",
            ErrorType::TooLong => "Too long",
            ErrorType::TooMany => "Too many",
        }
    }

    fn shows_value(self) -> bool {
        !matches!(self, ErrorType::Required | ErrorType::Forbidden | ErrorType::TooLong)
    }
}

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// The family of error.
    pub kind: ErrorType,
    /// The field at fault.
    pub field: String,
    /// The value at fault, where the wording shows it.
    pub value: Value,
    /// What would be right.
    pub detail: String,
}

impl FieldError {
    fn new(kind: ErrorType, path: &FieldPath, value: Value, detail: String) -> Self {
        FieldError { kind, field: path.to_string(), value, detail }
    }

    /// A missing or empty value.
    pub fn required(path: &FieldPath, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Required, path, Value::Null, detail.into())
    }

    /// A malformed or out-of-bounds value.
    pub fn invalid(path: &FieldPath, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Invalid, path, value.into(), detail.into())
    }

    /// A well-formed value that is not permitted here.
    pub fn forbidden(path: &FieldPath, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Forbidden, path, Value::Null, detail.into())
    }

    /// A value that occurs twice.
    pub fn duplicate(path: &FieldPath, value: impl Into<Value>) -> Self {
        Self::new(ErrorType::Duplicate, path, value.into(), String::new())
    }

    /// A referenced value that does not exist.
    pub fn not_found(path: &FieldPath, value: impl Into<Value>) -> Self {
        Self::new(ErrorType::NotFound, path, value.into(), String::new())
    }

    /// A value outside an enumeration.
    pub fn not_supported(path: &FieldPath, value: impl Into<Value>, allowed: &[&str]) -> Self {
        let mut detail = String::new();
        if !allowed.is_empty() {
            let quoted: Vec<String> = allowed.iter().map(|a| format!("{a:?}")).collect();
            detail = format!("supported values: {}", quoted.join(", "));
        }
        Self::new(ErrorType::NotSupported, path, value.into(), detail)
    }

    /// A string of too many bytes.
    pub fn too_long(path: &FieldPath, max_bytes: usize) -> Self {
        let unit = if max_bytes == 1 { "byte" } else { "bytes" };
        let detail = format!("may not be more than {max_bytes} {unit}");
        Self::new(ErrorType::TooLong, path, Value::Null, detail)
    }

    /// A list of too many items.
    pub fn too_many(path: &FieldPath, actual: usize, max: usize) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        let detail = format!("must have at most {max} {unit}");
        Self::new(ErrorType::TooMany, path, Value::from(actual), detail)
    }

    /// The message without the field's path.
    pub fn body(&self) -> String {
        let mut out = self.kind.words().to_owned();
        if self.kind.shows_value() {
            out.push_str(": ");
            match self.value.as_str() {
                Some(text) => out.push_str(&go_quote(text)),
                None => out.push_str(&self.value.to_string()),
            }
        }
        if !self.detail.is_empty() {
            out.push_str(": ");
            out.push_str(&self.detail);
        }
        out
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// Quotes a string as Go's `%q` does, which clients print and tests compare.
pub fn go_quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                out.push_str(&format!("\\x{:02x}", c as u32));
            }
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(error: &FieldError, expected: &Expect) {
        expected.assert_eq(&error.to_string());
    }

    #[test]
    fn wording() {
        let replicas = FieldPath::new("spec").child("replicas");
        check(
            &FieldError::invalid(&replicas, -1, "must be greater than or equal to 0"),
            &expect!["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        );
        let ports = FieldPath::new("spec").child("ports").index(1).child("protocol");
        check(
            &FieldError::not_supported(&ports, "ICMP", &["SCTP", "TCP"]),
            &expect![[
                r#"spec.ports[1].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP""#
            ]],
        );
        let data = FieldPath::new("data").key("a b");
        check(&FieldError::required(&data, ""), &expect!["data[a b]: Required value"]);
        check(
            &FieldError::too_long(&data, 63),
            &expect!["data[a b]: Too long: may not be more than 63 bytes"],
        );
        check(
            &FieldError::duplicate(&data, "x\n\"y"),
            &expect![[r#"data[a b]: Duplicate value: "x\n\"y""#]],
        );
        check(
            &FieldError::invalid(&data, serde_json::json!({"a": [1]}), "field is immutable"),
            &expect![[r#"data[a b]: Invalid value: {"a":[1]}: field is immutable"#]],
        );
    }
}

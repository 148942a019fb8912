//! From bytes to an object of a known kind.
//!
//! Two passes: `raw` reads JSON or YAML into a bounded value and notes duplicate fields; `typed`
//! walks it along the schema: it refuses wrong types, brings quantities and times into canonical
//! form, and drops (and names) fields that the schema does not have. The messages are those that
//! clients of Kubernetes know.

mod raw;
mod typed;

use serde_json::{Map, Value};

use crate::field::go_quote;
use crate::kinds::{self, Kind};
use crate::schema::Type;
use crate::status::{self, Status};

/// How the body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// `application/json`.
    Json,
    /// `application/yaml`.
    Yaml,
}

/// What to do with unknown and duplicate fields (`?fieldValidation=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// Refuse the request.
    Strict,
    /// Drop them and warn.
    Warn,
    /// Drop them.
    Ignore,
}

impl FieldValidation {
    /// Reads the query parameter; absent or empty means `Warn`.
    pub fn parse(text: Option<&str>) -> Result<Self, Status> {
        match text {
            None | Some("" | "Warn") => Ok(FieldValidation::Warn),
            Some("Strict") => Ok(FieldValidation::Strict),
            Some("Ignore") => Ok(FieldValidation::Ignore),
            Some(other) => Err(status::bad_request(format!(
                "fieldValidation: Unsupported value: {}: supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
                go_quote(other)
            ))),
        }
    }
}

/// An object that fits its schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The object: `apiVersion` and `kind` are set and stand first.
    pub object: Value,
    /// Unknown and duplicate fields, under [`FieldValidation::Warn`].
    pub warnings: Vec<String>,
}

/// How many unknown and duplicate fields are named before the rest is left unsaid.
const COMPLAINTS_MAX: usize = 100;

/// Decodes an object of `kind`.
///
/// # Errors
/// `BadRequest` for what is no JSON or YAML, is of another kind or version, has a value of the
/// wrong type, or (strict) an unknown or duplicate field.
pub fn decode(
    kind: &Kind,
    body: &[u8],
    content_type: ContentType,
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    let expected = Expected { gvk: (kind.group, kind.version, kind.kind), ty: kind.schema };
    expected.decode(body, content_type, validation)
}

/// Decodes something that is not a resource of its own, such as `DeleteOptions`; any group and
/// version under which the type is known is accepted.
///
/// # Errors
/// As [`decode`].
pub fn decode_type(
    ty: &'static Type,
    body: &[u8],
    content_type: ContentType,
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    let gvk = ty.gvks.iter().find(|g| g.0.is_empty()).or_else(|| ty.gvks.first());
    let expected = Expected { gvk: gvk.copied().unwrap_or(("", "v1", "")), ty };
    expected.decode(body, content_type, validation)
}

/// Checks and prunes a value that is parsed already: the result of a patch.
///
/// # Errors
/// As [`decode`].
pub fn decode_value(
    kind: &Kind,
    value: Value,
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    let expected = Expected { gvk: (kind.group, kind.version, kind.kind), ty: kind.schema };
    expected.check(value, Vec::new(), false, validation)
}

/// Reads JSON or YAML into a value without a schema, within the same bounds as [`decode`]: for
/// patches.
///
/// # Errors
/// `BadRequest` for what is no JSON or YAML.
pub fn parse(body: &[u8], content_type: ContentType) -> Result<Value, Status> {
    match raw::read(body, content_type) {
        Ok(raw) => Ok(raw.value),
        Err(error) => Err(status::bad_request(format!("error decoding the body: {error}"))),
    }
}

/// Drops what the schema does not have and brings values into canonical form, without complaint.
///
/// # Errors
/// `BadRequest` for a value of the wrong type.
pub fn prune(ty: &'static Type, value: Value) -> Result<Value, Status> {
    let outcome = typed::walk(ty, value, false);
    match outcome.error {
        Some(error) => Err(status::bad_request(error)),
        None => Ok(outcome.value),
    }
}

struct Expected {
    gvk: (&'static str, &'static str, &'static str),
    ty: &'static Type,
}

impl Expected {
    fn decode(
        &self,
        body: &[u8],
        content_type: ContentType,
        validation: FieldValidation,
    ) -> Result<Decoded, Status> {
        let raw = raw::read(body, content_type).map_err(|error| {
            let language = match content_type {
                ContentType::Json => "json",
                ContentType::Yaml => "yaml",
            };
            status::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): couldn't get version/kind; {language} parse error: {error} ({})",
                self.gvk.2,
                summary(body)
            ))
        })?;
        self.check(raw.value, raw.duplicates, content_type == ContentType::Yaml, validation)
    }

    fn check(
        &self,
        value: Value,
        duplicates: Vec<String>,
        yaml: bool,
        validation: FieldValidation,
    ) -> Result<Decoded, Status> {
        self.check_gvk(&value)?;
        let outcome = typed::walk(self.ty, value, yaml);
        if let Some(error) = outcome.error {
            return Err(self.not_handled(self.gvk.2, &error));
        }
        let mut complaints = duplicates;
        complaints.extend(outcome.unknown);
        complaints.truncate(COMPLAINTS_MAX);
        if validation == FieldValidation::Strict && !complaints.is_empty() {
            let all = complaints.join(", ");
            return Err(self.not_handled(self.gvk.2, &format!("strict decoding error: {all}")));
        }
        if validation == FieldValidation::Ignore {
            complaints.clear();
        }
        Ok(Decoded { object: self.in_order(outcome.value), warnings: complaints })
    }

    /// The kind and version in the data must be the expected ones; missing ones are filled in.
    fn check_gvk(&self, value: &Value) -> Result<(), Status> {
        let (group, version, kind) = self.gvk;
        if !value.is_object() {
            let error = format!(
                "json: cannot unmarshal {} into Go value of type {}",
                typed::go_kind(value),
                self.ty.go_name()
            );
            return Err(self.not_handled(kind, &error));
        }
        let api_version = kinds::group_version(group, version);
        let text = |key: &str| match value.get(key) {
            Some(Value::String(s)) if !s.is_empty() => Some(s.as_str()),
            _ => None,
        };
        let given_version = text("apiVersion").unwrap_or(&api_version);
        let given_kind = text("kind").unwrap_or(kind);
        let (given_group, given_v) = given_version.split_once('/').unwrap_or(("", given_version));
        // What is known in every group, such as DeleteOptions, is so in its own group as well.
        let everywhere = self.ty.gvks.len() > 1;
        let known = self.ty.gvks.contains(&(given_group, given_v, given_kind))
            || (everywhere && given_kind == kind && given_version == "meta.k8s.io/v1");
        if known && (given_version == api_version || everywhere) {
            return Ok(());
        }
        if given_kind != kind {
            let why = if crate::schema::by_gvk(given_group, given_v, given_kind).is_some() {
                format!("converting ({given_kind}) to ({kind}): unknown conversion")
            } else {
                format!(
                    "no kind {} is registered for version {}",
                    go_quote(given_kind),
                    go_quote(given_version)
                )
            };
            return Err(self.not_handled(given_kind, &why));
        }
        Err(status::bad_request(format!(
            "the API version in the data ({given_version}) does not match the expected API version ({api_version})"
        )))
    }

    fn not_handled(&self, given_kind: &str, error: &str) -> Status {
        let (_, version, kind) = self.gvk;
        status::bad_request(format!(
            "{given_kind} in version {} cannot be handled as a {kind}: {error}",
            go_quote(version)
        ))
    }

    fn in_order(&self, value: Value) -> Value {
        let Value::Object(mut rest) = value else { return value };
        let (group, version, kind) = self.gvk;
        let mut out = Map::with_capacity(rest.len() + 2);
        out.insert("apiVersion".into(), kinds::group_version(group, version).into());
        out.insert("kind".into(), kind.into());
        rest.shift_remove("apiVersion");
        rest.shift_remove("kind");
        if let Some(metadata) = rest.shift_remove("metadata") {
            out.insert("metadata".into(), metadata);
        }
        out.extend(rest);
        Value::Object(out)
    }
}

/// The start of a body that could not be read: as text if it looks like JSON, else in hex.
fn summary(body: &[u8]) -> String {
    const SHOWN: usize = 30;
    let (shown, more) = match body.get(..SHOWN) {
        Some(start) if body.len() > SHOWN => (start, " ..."),
        _ => (body, ""),
    };
    match shown.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(shown)),
        Some(_) => {
            let hex: String = shown.iter().map(|b| format!("{b:02x}")).collect();
            format!("{hex}{more}")
        }
    }
}

#[cfg(test)]
mod tests;

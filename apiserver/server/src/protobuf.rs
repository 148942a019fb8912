//! Kubernetes' protobuf encoding of request bodies, which typed clients in Go (kubectl among them)
//! send for built-in kinds without asking first.
//!
//! A message is turned into the JSON it stands for, by the schema table and a table of field
//! numbers; from there it goes the way of any JSON. Answers are always JSON or YAML: those clients
//! accept JSON as well.
//!
//! Two things are lost in this encoding and put right by rule. Go's encoder writes fields that are
//! no pointers even when they are zero, so zeros are dropped where JSON would leave them out; and a
//! field number that is not in the table cannot be named, so it is refused.

#[path = "gen/protobuf.rs"]
mod numbers;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use corten_api_k8s::schema::{FieldType, Type};
use corten_api_k8s::status::{self, Status};
use corten_api_k8s::time;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use numbers::MESSAGES;

/// What every body starts with.
const MAGIC: &[u8] = b"k8s\0";
/// Deeper messages are refused.
const DEPTH_MAX: usize = 64;

/// Numbers and switches that are no pointers: for these, zero and false mean "not set". (All
/// other optional numbers and switches of the API are pointers, of which zeros are kept.)
const ZERO_IS_UNSET: &[&str] = &[
    "availableReplicas",
    "count",
    "deprecatedCount",
    "failureThreshold",
    "fullyLabeledReplicas",
    "generation",
    "healthCheckNodePort",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostPort",
    "initialDelaySeconds",
    "minReadySeconds",
    "nodePort",
    "observedGeneration",
    "paused",
    "periodSeconds",
    "publishNotReadyAddresses",
    "readOnly",
    "readyReplicas",
    "signal",
    "stdin",
    "stdinOnce",
    "successThreshold",
    "timeoutSeconds",
    "tty",
    "unavailableReplicas",
    "unschedulable",
    "updatedReplicas",
];

/// Structs that are no pointers: for these, empty means "not set".
const EMPTY_IS_UNSET: &[&str] =
    &["lastState", "loadBalancer", "resources", "state", "status", "strategy", "updateStrategy"];

/// One field of a message.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Why a body is no message.
type Broken = String;

/// Reads a body into JSON of the type `ty`, with its `apiVersion` and `kind`.
pub(crate) fn parse(ty: &'static Type, body: &[u8]) -> Result<Value, Status> {
    read(ty, body).map_err(|why| {
        status::bad_request(format!("the body is not a Kubernetes protobuf message: {why}"))
    })
}

fn read(ty: &'static Type, body: &[u8]) -> Result<Value, Broken> {
    let rest = body.strip_prefix(MAGIC).ok_or("it does not start with k8s and a zero")?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), None);
    let mut reader = Reader(rest);
    while let Some((number, wire)) = reader.field()? {
        match (number, wire) {
            (1, Wire::Bytes(meta)) => {
                let mut reader = Reader(meta);
                while let Some((number, wire)) = reader.field()? {
                    match (number, wire) {
                        (1, Wire::Bytes(bytes)) => api_version = text(bytes)?,
                        (2, Wire::Bytes(bytes)) => kind = text(bytes)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = Some(bytes),
            (3, Wire::Bytes(encoding)) if !encoding.is_empty() => {
                return Err("its content has another encoding".to_owned());
            }
            _ => {}
        }
    }
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), json!(api_version));
    object.insert("kind".to_owned(), json!(kind));
    message(ty.name, ty, raw.unwrap_or_default(), DEPTH_MAX, &mut object)?;
    Ok(Value::Object(object))
}

/// Reads the fields of one message into `out`. `name` is the message's type, `ty` the type that
/// its fields belong to: they differ for a message that stands for fields of the outer type.
fn message(
    name: &str,
    ty: &'static Type,
    bytes: &[u8],
    depth: usize,
    out: &mut Map<String, Value>,
) -> Result<(), Broken> {
    let depth = depth.checked_sub(1).ok_or("it is nested too deeply")?;
    let index = MESSAGES.binary_search_by(|(own, _)| (*own).cmp(name));
    let fields = index.ok().and_then(|index| MESSAGES.get(index)).map_or(&[][..], |(_, f)| f);
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.field()? {
        let known = fields.iter().find(|(own, _)| *own == number).map(|(_, field)| *field);
        let field = known.ok_or_else(|| {
            format!(
                "field number {number} of {name} is not known to this server; send JSON instead"
            )
        })?;
        if let Some(inline) = field.strip_prefix('^') {
            let Wire::Bytes(bytes) = wire else { return Err(wrong(field)) };
            message(inline, ty, bytes, depth, out)?;
            continue;
        }
        let field = ty.field(field).ok_or_else(|| wrong(field))?;
        put(field.name, &field.ty, &wire, depth, out)?;
    }
    Ok(())
}

fn wrong(what: &str) -> Broken {
    format!("{what} is not of its type")
}

fn put(
    name: &'static str,
    ty: &FieldType,
    wire: &Wire<'_>,
    depth: usize,
    out: &mut Map<String, Value>,
) -> Result<(), Broken> {
    #[allow(clippy::wildcard_enum_match_arm, reason = "everything else stands alone")]
    match ty {
        FieldType::List(inner) => {
            let slot = out.entry(name).or_insert_with(|| json!([]));
            let list = slot.as_array_mut().ok_or_else(|| wrong(name))?;
            match (wire, inner) {
                (Wire::Bytes(packed), FieldType::Int32 | FieldType::Int64) => {
                    let mut reader = Reader(packed);
                    while !reader.0.is_empty() {
                        list.push(scalar(name, inner, &Wire::Number(reader.varint()?), depth)?);
                    }
                }
                _ => list.push(scalar(name, inner, wire, depth)?),
            }
        }
        FieldType::Map(inner) => {
            let slot = out.entry(name).or_insert_with(|| json!({}));
            let map = slot.as_object_mut().ok_or_else(|| wrong(name))?;
            let Wire::Bytes(entry) = wire else { return Err(wrong(name)) };
            let (key, value) = entry_of(name, inner, entry, depth)?;
            map.insert(key, value);
        }
        _ => {
            let value = scalar(name, ty, wire, depth)?;
            if !is_unset(name, &value) {
                out.insert(name.to_owned(), value);
            }
        }
    }
    Ok(())
}

/// Whether JSON would leave the field out.
fn is_unset(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Bool(false) => ZERO_IS_UNSET.contains(&name),
        Value::Number(number) => number.as_i64() == Some(0) && ZERO_IS_UNSET.contains(&name),
        Value::Object(map) => map.is_empty() && EMPTY_IS_UNSET.contains(&name),
        Value::Bool(true) | Value::Array(_) => false,
    }
}

fn entry_of(
    name: &'static str,
    inner: &FieldType,
    entry: &[u8],
    depth: usize,
) -> Result<(String, Value), Broken> {
    let (mut key, mut value) = (String::new(), None);
    let mut reader = Reader(entry);
    while let Some((number, wire)) = reader.field()? {
        match (number, wire) {
            (1, Wire::Bytes(bytes)) => key = text(bytes)?,
            (2, wire) => {
                value = Some(match (inner, &wire) {
                    // A list cannot be a map's value: a message with the list in it is.
                    (FieldType::List(item), Wire::Bytes(list)) => {
                        let mut items = Vec::new();
                        let mut reader = Reader(list);
                        while let Some((_, wire)) = reader.field()? {
                            items.push(scalar(name, item, &wire, depth)?);
                        }
                        Value::Array(items)
                    }
                    _ => scalar(name, inner, &wire, depth)?,
                });
            }
            _ => {}
        }
    }
    let empty = || {
        if matches!(inner, FieldType::Str | FieldType::Bytes) { json!("") } else { Value::Null }
    };
    Ok((key, value.unwrap_or_else(empty)))
}

fn scalar(name: &str, ty: &FieldType, wire: &Wire<'_>, depth: usize) -> Result<Value, Broken> {
    Ok(match (ty, wire) {
        (FieldType::Bool, Wire::Number(number)) => json!(*number != 0),
        // Negative numbers are sign-extended to 64 bits.
        (FieldType::Int32 | FieldType::Int64, Wire::Number(number)) => {
            json!(number.cast_signed())
        }
        (FieldType::Str, Wire::Bytes(bytes)) => json!(text(bytes)?),
        (FieldType::Bytes, Wire::Bytes(bytes)) => json!(STANDARD.encode(bytes)),
        (FieldType::Time | FieldType::MicroTime, Wire::Bytes(bytes)) => {
            moment(matches!(ty, FieldType::MicroTime), bytes)?
        }
        (FieldType::Quantity, Wire::Bytes(bytes)) => {
            let mut quantity = Value::Null;
            let mut reader = Reader(bytes);
            while let Some((_, wire)) = reader.field()? {
                if let Wire::Bytes(bytes) = wire {
                    quantity = json!(text(bytes)?);
                }
            }
            quantity
        }
        (FieldType::IntOrString, Wire::Bytes(bytes)) => int_or_string(bytes)?,
        (FieldType::Obj(ty), Wire::Bytes(bytes)) => {
            let mut object = Map::new();
            message(ty.name, ty, bytes, depth, &mut object)?;
            Value::Object(object)
        }
        (FieldType::Any(_), Wire::Bytes(bytes)) => {
            let mut any = Value::Null;
            let mut reader = Reader(bytes);
            while let Some((_, wire)) = reader.field()? {
                if let Wire::Bytes(bytes) = wire {
                    any = serde_json::from_slice(bytes).map_err(|e| format!("{name}: {e}"))?;
                }
            }
            any
        }
        _ => return Err(wrong(name)),
    })
}

fn moment(micro: bool, bytes: &[u8]) -> Result<Value, Broken> {
    let (mut seconds, mut nanoseconds) = (None, 0_i32);
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.field()? {
        match (number, wire) {
            (1, Wire::Number(number)) => seconds = Some(number.cast_signed()),
            (2, Wire::Number(number)) => {
                nanoseconds = i32::try_from(number.cast_signed()).unwrap_or(0);
            }
            _ => {}
        }
    }
    // The zero time is an empty message.
    let Some(seconds) = seconds else { return Ok(Value::Null) };
    let at = Timestamp::new(seconds, nanoseconds).map_err(|error| error.to_string())?;
    Ok(json!(if micro { time::format_micro(at) } else { time::format(at) }))
}

fn int_or_string(bytes: &[u8]) -> Result<Value, Broken> {
    let (mut is_string, mut number, mut string) = (false, 0, String::new());
    let mut reader = Reader(bytes);
    while let Some((field, wire)) = reader.field()? {
        match (field, wire) {
            (1, Wire::Number(value)) => is_string = value == 1,
            (2, Wire::Number(value)) => number = value.cast_signed(),
            (3, Wire::Bytes(bytes)) => string = text(bytes)?,
            _ => {}
        }
    }
    Ok(if is_string { json!(string) } else { json!(number) })
}

fn text(bytes: &[u8]) -> Result<String, Broken> {
    String::from_utf8(bytes.to_vec()).map_err(|_not_utf8| "a text is not UTF-8".to_owned())
}

/// What is left of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or("it ends too early")?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number is too long".to_owned())
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Broken> {
        let len = usize::try_from(len).map_err(|_too_large| "a length is too large")?;
        let (taken, rest) = self.0.split_at_checked(len).ok_or("it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next field's number and content.
    fn field(&mut self) -> Result<Option<(u32, Wire<'a>)>, Broken> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_too_large| "a field number is too large")?;
        let wire = match tag & 7 {
            0 => Wire::Number(self.varint()?),
            1 => Wire::Bytes(self.take(8)?),
            2 => {
                let len = self.varint()?;
                Wire::Bytes(self.take(len)?)
            }
            5 => Wire::Bytes(self.take(4)?),
            _ => return Err("a field has no known wire type".to_owned()),
        };
        Ok(Some((number, wire)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corten_api_k8s::kinds;

    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let len = u8::try_from(content.len()).unwrap();
        [&[number << 3 | 2, len], content].concat()
    }

    fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
        [MAGIC, &bytes(1, &meta), &bytes(2, raw)].concat()
    }

    fn parsed(api_version: &str, kind: &str, raw: &[u8]) -> Result<Value, String> {
        let schema = kinds::by_api_version(api_version, kind).unwrap().schema;
        parse(schema, &envelope(api_version, kind, raw)).map_err(|status| status.message)
    }

    #[test]
    fn a_config_map() {
        // As kubectl sends it: every text field of the metadata is there, though empty.
        let meta = [bytes(1, b"a"), bytes(2, b""), bytes(3, b"default"), bytes(8, b"")].concat();
        let data = [bytes(1, b"x"), bytes(2, b"")].concat();
        let raw = [bytes(1, &meta), bytes(2, &data)].concat();
        assert_eq!(
            parsed("v1", "ConfigMap", &raw).unwrap(),
            json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": { "name": "a", "namespace": "default" },
                "data": { "x": "" },
            })
        );
    }

    #[test]
    fn zeros_of_pointers_are_kept() {
        // spec { replicas: 0, minReadySeconds: 0, paused: false }, status {}
        let spec = [vec![1 << 3, 0], vec![5 << 3, 0], vec![7 << 3, 0]].concat();
        let raw = [bytes(2, &spec), bytes(3, b"")].concat();
        assert_eq!(
            parsed("apps/v1", "Deployment", &raw).unwrap()["spec"],
            json!({ "replicas": 0 })
        );
    }

    #[test]
    fn a_volume_source_is_part_of_its_volume() {
        let empty_dir = bytes(2, b"");
        let volume = [bytes(1, b"v"), bytes(2, &empty_dir)].concat();
        let raw = bytes(2, &bytes(1, &volume));
        assert_eq!(
            parsed("v1", "Pod", &raw).unwrap()["spec"]["volumes"],
            json!([{ "name": "v", "emptyDir": {} }])
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let error = parsed("v1", "ConfigMap", &[15 << 3, 1]).unwrap_err();
        assert!(error.contains("field number 15 of io.k8s.api.core.v1.ConfigMap"), "{error}");
        let error = parsed("v1", "ConfigMap", &[2 << 3 | 2, 200, 1]).unwrap_err();
        assert!(error.contains("it ends too early"), "{error}");
    }
}

//! JSON or YAML into a value, bounded, with duplicate fields noted by their path.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{COMPLAINTS_MAX, ContentType};

/// A value and the duplicate fields found on the way, worded for the client.
pub(super) struct Raw {
    pub(super) value: Value,
    pub(super) duplicates: Vec<String>,
}

/// YAML aliases let a small body stand for a huge value; beyond the body's own size only this
/// much more is built.
const EXTRA_VALUES: usize = 65_536;
const EXTRA_BYTES: usize = 1 << 20;

pub(super) fn read(body: &[u8], content_type: ContentType) -> Result<Raw, String> {
    let context = Context {
        values_left: Cell::new(body.len().saturating_add(EXTRA_VALUES)),
        bytes_left: Cell::new(body.len().saturating_add(EXTRA_BYTES)),
        duplicates: RefCell::default(),
    };
    let seed = Seed { context: &context, at: None };
    let value = match content_type {
        ContentType::Json => {
            let mut reader = serde_json::Deserializer::from_slice(body);
            let value = seed.deserialize(&mut reader).map_err(|e| e.to_string())?;
            reader.end().map_err(|e| e.to_string())?;
            value
        }
        ContentType::Yaml => {
            let reader = serde_norway::Deserializer::from_slice(body);
            let mut value = seed.deserialize(reader).map_err(|e| e.to_string())?;
            merge_keys(&mut value);
            value
        }
    };
    Ok(Raw { value, duplicates: context.duplicates.into_inner() })
}

/// YAML's `<<`: entries of the merged maps that the map itself does not have.
fn merge_keys(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(merged) = map.shift_remove("<<") {
                let sources = if let Value::Array(list) = merged { list } else { vec![merged] };
                for source in sources {
                    let Value::Object(source) = source else { continue };
                    for (key, value) in source {
                        map.entry(key).or_insert(value);
                    }
                }
            }
            map.values_mut().for_each(merge_keys);
        }
        Value::Array(list) => list.iter_mut().for_each(merge_keys),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

struct Context {
    values_left: Cell<usize>,
    bytes_left: Cell<usize>,
    duplicates: RefCell<Vec<String>>,
}

impl Context {
    fn spend<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        let values = self.values_left.get().checked_sub(1);
        let bytes = self.bytes_left.get().checked_sub(bytes);
        let (Some(values), Some(bytes)) = (values, bytes) else {
            return Err(E::custom("aliases expand to more than is allowed"));
        };
        self.values_left.set(values);
        self.bytes_left.set(bytes);
        Ok(())
    }
}

/// Where the reader stands; lives on the stack, so that paths cost nothing until they are needed.
#[derive(Clone, Copy)]
struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Key(key) if self.parent.is_some() => write!(f, ".{key}"),
            Step::Key(key) => f.write_str(key),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    context: &'a Context,
    at: Option<&'a At<'a>>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON can express")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.context.spend(0)?;
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.context.spend(0)?;
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.context.spend(0)?;
        Ok(value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.context.spend(0)?;
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.context.spend(0)?;
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom(format!("{value} is not a JSON number")))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.context.spend(value.len())?;
        Ok(value.into())
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        self.context.spend(value.len())?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.context.spend(0)?;
        let mut list = Vec::new();
        loop {
            let at = At { parent: self.at, step: Step::Index(list.len()) };
            match access.next_element_seed(Seed { context: self.context, at: Some(&at) })? {
                Some(value) => list.push(value),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.context.spend(0)?;
        let mut map = Map::new();
        while let Some(key) = access.next_key_seed(Key)? {
            self.context.spend(key.len())?;
            let at = At { parent: self.at, step: Step::Key(&key) };
            if map.contains_key(&key) {
                let mut duplicates = self.context.duplicates.borrow_mut();
                if duplicates.len() < COMPLAINTS_MAX {
                    duplicates.push(format!("duplicate field \"{at}\""));
                }
            }
            let value = access.next_value_seed(Seed { context: self.context, at: Some(&at) })?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// YAML allows keys of any type; scalars are taken as their text, as the JSON form would have them.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar as key")
    }

    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }

    fn visit_string<E>(self, value: String) -> Result<String, E> {
        Ok(value)
    }

    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E>(self, value: f64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<String, E> {
        Err(E::custom("a key may not be null"))
    }
}

//! Reading and defaulting the fields of objects.

use serde_json::{Map, Value, json};

/// Fields by JSON pointer. Decoding has checked the types, so a value of another type is the same
/// as an absent one.
pub trait Read {
    /// The value, or null.
    fn at(&self, pointer: &str) -> &Value;

    /// A string, or the empty one.
    fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    /// An integer.
    fn int(&self, pointer: &str) -> Option<i64> {
        self.at(pointer).as_i64()
    }

    /// A boolean, or false.
    fn flag(&self, pointer: &str) -> bool {
        self.at(pointer).as_bool().unwrap_or_default()
    }

    /// The elements of a list, or none.
    fn items(&self, pointer: &str) -> &[Value] {
        self.at(pointer).as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// The entries of a map, or none.
    fn entries(&self, pointer: &str) -> Vec<(&str, &Value)> {
        let map = self.at(pointer).as_object();
        map.map(|m| m.iter().map(|(k, v)| (k.as_str(), v)).collect()).unwrap_or_default()
    }

    /// Whether there is a value.
    fn has(&self, pointer: &str) -> bool {
        !self.at(pointer).is_null()
    }
}

impl Read for Value {
    fn at(&self, pointer: &str) -> &Value {
        static NULL: Value = Value::Null;
        self.pointer(pointer).unwrap_or(&NULL)
    }
}

/// The child object, made if it is missing.
pub(crate) fn object<'a>(value: &'a mut Value, key: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = json!({});
    }
    let child = &mut value[key];
    if !child.is_object() {
        *child = json!({});
    }
    child
}

/// Sets a field that is absent or empty.
pub(crate) fn set_default(value: &mut Value, key: &str, default: impl Into<Value>) {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let slot = &mut value[key];
    if slot.is_null() || slot.as_str() == Some("") {
        *slot = default.into();
    }
}

/// The elements of a child list, to change.
pub(crate) fn items_mut<'a>(
    value: &'a mut Value,
    key: &str,
) -> impl Iterator<Item = &'a mut Value> {
    value.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Removes a field.
pub(crate) fn remove(value: &mut Value, key: &str) -> Option<Value> {
    value.as_object_mut()?.shift_remove(key)
}

/// Takes over a field from another object: sets or removes it.
pub(crate) fn take_over(to: &mut Value, from: &Value, key: &str) {
    match from.get(key) {
        Some(value) => to[key] = value.clone(),
        None => {
            remove(to, key);
        }
    }
}

//! Strategic merge: a merge patch that knows, from the schema, which lists are merged by a key.
//!
//! Directives: `$patch: delete | replace | merge`, `$retainKeys`, `$setElementOrder/<field>`,
//! `$deleteFromPrimitiveList/<field>`.

use serde_json::{Map, Value};

use super::unprocessable;
use crate::schema::{Field, FieldType, Type};
use crate::status::{self, Status};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

type Object = Map<String, Value>;

/// Applies a strategic merge patch to an object of type `ty`.
///
/// # Errors
/// `BadRequest` if the patch is no object or a directive is malformed, `Invalid` if a list element
/// lacks its merge key.
pub fn strategic(ty: &'static Type, current: &Value, patch: Value) -> Result<Value, Status> {
    let Value::Object(patch) = patch else {
        return Err(status::bad_request(
            "error decoding patch: a strategic merge patch must be an object",
        ));
    };
    let original = current.as_object().cloned().unwrap_or_default();
    merge_object(Schema::Struct(ty), original, patch).map(Value::Object)
}

/// What is known of an object: a struct, a map of one type, or nothing.
#[derive(Clone, Copy)]
enum Schema {
    Struct(&'static Type),
    Map(FieldType),
    Unknown,
}

/// What is known of a field.
#[derive(Clone, Copy)]
struct Known {
    inner: Schema,
    replace: bool,
    merge: bool,
    merge_key: &'static str,
}

const NOTHING_KNOWN: Known =
    Known { inner: Schema::Unknown, replace: false, merge: false, merge_key: "" };

impl Schema {
    fn of(ty: FieldType) -> Self {
        match ty {
            FieldType::Obj(ty) => Schema::Struct(ty),
            FieldType::Map(item) => Schema::Map(*item),
            FieldType::List(item) => Schema::of(*item),
            FieldType::Bool
            | FieldType::Int32
            | FieldType::Int64
            | FieldType::Double
            | FieldType::Str
            | FieldType::Bytes
            | FieldType::Time
            | FieldType::MicroTime
            | FieldType::Quantity
            | FieldType::IntOrString
            | FieldType::Any(_) => Schema::Unknown,
        }
    }

    fn field(self, name: &str) -> Known {
        match self {
            Schema::Struct(ty) => ty.field(name).map_or(NOTHING_KNOWN, |f: &Field| Known {
                inner: Schema::of(f.ty),
                replace: f.patch_replace,
                merge: f.patch_merge,
                merge_key: f.merge_key,
            }),
            Schema::Map(item) => Known { inner: Schema::of(item), ..NOTHING_KNOWN },
            Schema::Unknown => NOTHING_KNOWN,
        }
    }
}

fn bad_directive(what: &str) -> Status {
    status::bad_request(format!("error decoding patch: {what}"))
}

fn merge_object(schema: Schema, mut original: Object, mut patch: Object) -> Result<Object, Status> {
    if let Some(directive) = patch.shift_remove(PATCH) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Object::new()),
            Some("merge") => merge_object(schema, original, patch),
            _ => Err(unknown_directive(&directive)),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    merge_ordered_lists(schema, &mut original, &mut patch)?;
    for (key, value) in patch {
        if let Some(field) = key.strip_prefix(DELETE_FROM) {
            delete_from_list(&mut original, field, &value)?;
            continue;
        }
        if value.is_null() {
            original.shift_remove(&key);
            continue;
        }
        let known = schema.field(&key);
        let merged = match (original.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) if !known.replace => {
                Some(Value::Object(merge_object(known.inner, std::mem::take(old), new)?))
            }
            (Some(Value::Array(old)), Value::Array(new)) if known.merge => {
                let old = std::mem::take(old);
                Some(Value::Array(merge_list(known, &key, old, new)?))
            }
            (_, value) => without_directives(value),
        };
        match merged {
            Some(value) => {
                original.insert(key, value);
            }
            None => {
                original.shift_remove(&key);
            }
        }
    }
    Ok(original)
}

fn unknown_directive(directive: &Value) -> Status {
    bad_directive(&format!("unknown patch type {directive}: it must be delete, replace or merge"))
}

/// `$retainKeys`: the original keeps only these; the patch may set only these.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), Status> {
    let Some(keys) = patch.shift_remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(keys) = keys else {
        return Err(bad_directive("$retainKeys must be a list of field names"));
    };
    let listed = |key: &str| keys.iter().any(|k| k.as_str() == Some(key));
    for (key, value) in patch.iter() {
        let directive = key.starts_with(ELEMENT_ORDER) || key.starts_with(DELETE_FROM);
        if !value.is_null() && !directive && !listed(key) {
            return Err(bad_directive(&format!("$retainKeys does not list {key}, which is set")));
        }
    }
    original.retain(|key, _| listed(key));
    Ok(())
}

/// `$setElementOrder/<field>`: merges that list and brings it into the given order.
fn merge_ordered_lists(
    schema: Schema,
    original: &mut Object,
    patch: &mut Object,
) -> Result<(), Status> {
    let directives: Vec<String> =
        patch.keys().filter(|k| k.starts_with(ELEMENT_ORDER)).cloned().collect();
    for directive in directives {
        let field = directive.trim_start_matches(ELEMENT_ORDER);
        let Some(Value::Array(order)) = patch.shift_remove(&directive) else {
            return Err(bad_directive(&format!("{directive} must be a list")));
        };
        let known = schema.field(field);
        let old = take_list(original, field)?;
        let new = take_list(patch, field)?;
        if let Some(new) = &new {
            check_order(known, field, new, &order)?;
        }
        let server_order = old.clone().unwrap_or_default();
        let merged = match (old, new) {
            (None, None) => continue,
            (Some(old), None) => old,
            (None, Some(new)) => match without_directives(Value::Array(new)) {
                Some(Value::Array(list)) => list,
                _ => continue,
            },
            (Some(old), Some(new)) => merge_list(known, field, old, new)?,
        };
        let list = ordered(known, merged, &order, &server_order);
        original.insert(field.to_owned(), Value::Array(list));
    }
    Ok(())
}

fn take_list(object: &mut Object, field: &str) -> Result<Option<Vec<Value>>, Status> {
    match object.get(field) {
        Some(Value::Array(_)) => {}
        None | Some(Value::Null) => return Ok(None),
        Some(_) => {
            return Err(bad_directive(&format!("{ELEMENT_ORDER}{field}: {field} is no list")));
        }
    }
    // Removal must keep the order of the other fields, for the original is shown to users.
    match object.get_mut(field) {
        Some(Value::Array(list)) => Ok(Some(std::mem::take(list))),
        _ => Ok(None),
    }
}

/// The elements of the patch must come in the order that `$setElementOrder` says.
fn check_order(known: Known, field: &str, new: &[Value], order: &[Value]) -> Result<(), Status> {
    let mut rest = order.iter();
    for element in new.iter().filter(|e| e.get(PATCH).is_none()) {
        if !order.is_empty() && !rest.any(|o| identity(known, o) == identity(known, element)) {
            return Err(bad_directive(&format!(
                "the order in patch list {field} doesn't match {ELEMENT_ORDER}{field}"
            )));
        }
    }
    Ok(())
}

fn delete_from_list(original: &mut Object, field: &str, value: &Value) -> Result<(), Status> {
    let Value::Array(gone) = value else {
        return Err(bad_directive(&format!("{DELETE_FROM}{field} must be a list")));
    };
    if let Some(Value::Array(list)) = original.get_mut(field) {
        list.retain(|v| !gone.contains(v));
    }
    Ok(())
}

/// What identifies an element of a merged list: its merge key, or the scalar itself.
fn identity(known: Known, element: &Value) -> Option<&Value> {
    if known.merge_key.is_empty() { Some(element) } else { element.get(known.merge_key) }
}

fn key_of<'a>(known: Known, field: &str, element: &'a Value) -> Result<&'a Value, Status> {
    identity(known, element).filter(|v| !v.is_null()).ok_or_else(|| {
        unprocessable(&format!(
            "map: {element} does not contain declared merge key: {} (in {field})",
            known.merge_key
        ))
    })
}

fn merge_list(
    known: Known,
    field: &str,
    old: Vec<Value>,
    new: Vec<Value>,
) -> Result<Vec<Value>, Status> {
    if known.merge_key.is_empty() {
        let order = new.clone();
        let server_order = old.clone();
        let mut merged = old;
        for value in new {
            if !merged.contains(&value) {
                merged.push(value);
            }
        }
        return Ok(ordered(known, merged, &order, &server_order));
    }
    let mut merged = old;
    let mut plain = Vec::new();
    let mut replace = false;
    for element in new {
        match element.get(PATCH).map(Value::as_str) {
            None => plain.push(element),
            Some(Some("delete")) => {
                let key = key_of(known, field, &element)?;
                merged.retain(|e| identity(known, e) != Some(key));
            }
            Some(Some("replace")) => replace = true,
            Some(Some("merge")) => {
                return Err(bad_directive("merging lists cannot yet be specified in the patch"));
            }
            Some(_) => return Err(unknown_directive(&element[PATCH])),
        }
    }
    if replace {
        return Ok(plain);
    }
    let server_order = merged.clone();
    let order = plain.clone();
    for element in plain {
        let key = key_of(known, field, &element)?.clone();
        let slot = merged.iter_mut().find(|e| identity(known, e) == Some(&key));
        match (slot, element) {
            (Some(slot), Value::Object(patch)) => {
                let original = slot.as_object_mut().map(std::mem::take).unwrap_or_default();
                *slot = Value::Object(merge_object(known.inner, original, patch)?);
            }
            (_, element) => merged.extend(without_directives(element)),
        }
    }
    Ok(ordered(known, merged, &order, &server_order))
}

/// Elements named in `order` come in that order; the others keep their place relative to them as
/// it was on the server.
fn ordered(known: Known, merged: Vec<Value>, order: &[Value], server: &[Value]) -> Vec<Value> {
    let position = |list: &[Value], element: &Value| {
        let wanted = identity(known, element);
        list.iter().position(|e| identity(known, e) == wanted)
    };
    let mut patched = Vec::new();
    let mut kept = Vec::new();
    for element in merged {
        match position(order, &element) {
            Some(at) => patched.push((at, element)),
            None => kept.push((position(server, &element).unwrap_or(usize::MAX), element)),
        }
    }
    patched.sort_by_key(|(at, _)| *at);
    kept.sort_by_key(|(at, _)| *at);
    let mut out = Vec::with_capacity(patched.len() + kept.len());
    let mut kept = kept.into_iter().map(|(_, e)| e).peekable();
    for (_, element) in patched {
        let here = position(server, &element);
        while let (Some(here), Some(next)) = (here, kept.peek()) {
            match position(server, next) {
                Some(there) if there < here => out.extend(kept.next()),
                _ => break,
            }
        }
        out.push(element);
    }
    out.extend(kept);
    out
}

/// What is added as new carries no directives and no nulls; `None` if it is nothing but a
/// directive to delete.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(mut map) => {
            if map.shift_remove(PATCH).is_some_and(|d| d == "delete") {
                return None;
            }
            map.shift_remove(RETAIN_KEYS);
            let mut out = Object::with_capacity(map.len());
            for (key, value) in map {
                if key.starts_with(ELEMENT_ORDER) || key.starts_with(DELETE_FROM) || value.is_null()
                {
                    continue;
                }
                if let Some(value) = without_directives(value) {
                    out.insert(key, value);
                }
            }
            Some(Value::Object(out))
        }
        Value::Array(list) => {
            let is_marker =
                |v: &Value| v.as_object().is_some_and(|m| m.len() == 1 && m.get(PATCH).is_some());
            let kept = list.into_iter().filter(|v| !is_marker(v));
            Some(Value::Array(kept.filter_map(without_directives).collect()))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value),
    }
}

//! A create or an update through a kind's strategy.
//!
//! The order is upstream's: decode, [`default`], admission (the server's), then
//! [`before_create`] or [`before_update`], then storage. Each leaves the object as it is to be
//! stored, but for uid, resource version and creation time, which the server sets beforehand.

use corten_api_k8s::kinds::Kind;
use corten_api_k8s::selector::FieldSelector;
use corten_api_k8s::status::{self, Status};
use corten_api_k8s::{field, meta};
use serde_json::Value;

use crate::metadata;
use crate::read::{Read, remove, take_over};
use crate::strategy::strategy;

/// Fills in what the client left out.
pub fn default(kind: &Kind, object: &mut Value) {
    strategy(kind).default(object);
}

/// Checks what is answered and not stored: reviews, and bodies of subresources. Its metadata is
/// not looked at.
///
/// # Errors
/// `Invalid`, with every field that is wrong.
pub fn before_answer(kind: &Kind, object: &Value) -> Result<(), Status> {
    refuse(kind, object, &strategy(kind).validate(object))
}

/// Makes an object ready to be stored for the first time.
///
/// # Errors
/// `Invalid`, with every field that is wrong.
pub fn before_create(kind: &Kind, object: &mut Value) -> Result<(), Status> {
    let strategy = strategy(kind);
    let metadata = meta::metadata_mut(object);
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"] {
        metadata.shift_remove(field);
    }
    if kind.subresource("status").is_some() && !strategy.keeps_status_on_create() {
        remove(object, "status");
    }
    strategy.prepare_create(object);
    if let Some(generation) = strategy.next_generation(object, None) {
        meta::set_generation(object, generation);
    }
    let mut errors = metadata::validate(kind, strategy, object);
    errors.extend(strategy.validate(object));
    refuse(kind, object, &errors)
}

/// Makes a changed object ready to be stored. What clients cannot change through the main resource
/// (status, uid, creation and deletion times) is taken over from `old`, where they left it out.
///
/// # Errors
/// `Invalid`, with every field that is wrong.
pub fn before_update(kind: &Kind, new: &mut Value, old: &Value) -> Result<(), Status> {
    let strategy = strategy(kind);
    keep_metadata(new, old);
    if kind.subresource("status").is_some() {
        take_over(new, old, "status");
    }
    strategy.prepare_update(new, old);
    set_generation(kind, new, old);
    let mut errors = metadata::validate(kind, strategy, new);
    errors.extend(metadata::validate_update(new, old));
    errors.extend(strategy.validate(new));
    errors.extend(strategy.validate_update(new, old));
    refuse(kind, new, &errors)
}

/// Makes an object ready to be stored of which only the status changes: everything else, but for
/// annotations and (for some kinds) labels, is taken over from `old`.
///
/// # Errors
/// `Invalid`, with every field that is wrong.
pub fn before_status_update(kind: &Kind, new: &mut Value, old: &Value) -> Result<(), Status> {
    let strategy = strategy(kind);
    let mut object = old.clone();
    take_over(&mut object, new, "status");
    let mut kept = vec!["annotations", "managedFields"];
    if strategy.relabels_with_status() {
        kept.push("labels");
    }
    for field in kept {
        let from = new.at("/metadata").clone();
        take_over(&mut object["metadata"], &from, field);
    }
    for field in ["name", "namespace", "uid"] {
        let given = new.at(&format!("/metadata/{field}")).clone();
        if !given.is_null() {
            object["metadata"][field] = given;
        }
    }
    *new = object;
    let mut errors = metadata::validate(kind, strategy, new);
    errors.extend(metadata::validate_update(new, old));
    errors.extend(strategy.validate_status_update(new, old));
    refuse(kind, new, &errors)
}

/// What the client may leave out of an update, though it is there.
fn keep_metadata(new: &mut Value, old: &Value) {
    let old = old.at("/metadata");
    let metadata = meta::metadata_mut(new);
    for field in ["name", "namespace", "uid", "creationTimestamp", "generateName"] {
        if let (None, Some(value)) = (metadata.get(field), old.get(field)) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    // These change only by a deletion.
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
        match old.get(field) {
            Some(value) => {
                metadata.insert(field.to_owned(), value.clone());
            }
            None => {
                metadata.shift_remove(field);
            }
        }
    }
    metadata.shift_remove("selfLink");
}

fn set_generation(kind: &Kind, new: &mut Value, old: &Value) {
    if let Some(generation) = strategy(kind).next_generation(new, Some(old)) {
        meta::set_generation(new, generation);
    }
}

fn refuse(kind: &Kind, object: &Value, errors: &[field::FieldError]) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    let name = match meta::name(object) {
        "" => meta::generate_name(object),
        name => name,
    };
    Err(status::invalid(kind, name, errors))
}

/// Checks that a kind can select by all fields of a selector.
///
/// # Errors
/// `BadRequest` naming the field.
pub fn check_field_selector(kind: &Kind, selector: &FieldSelector) -> Result<(), Status> {
    let supported = strategy(kind).fields();
    for requirement in &selector.requirements {
        let path = requirement.field.as_str();
        let always = path == "metadata.name" || (kind.namespaced && path == "metadata.namespace");
        if !always && !supported.contains(&path) {
            // Upstream tells kinds with selectable fields from those without in its wording.
            let why = if supported.is_empty() {
                format!(
                    "\"{path}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                )
            } else {
                format!("field label not supported: {path}")
            };
            return Err(status::bad_request(why));
        }
    }
    Ok(())
}

/// Whether an object meets a field selector that [`check_field_selector`] has passed.
pub fn matches_fields(kind: &Kind, object: &Value, selector: &FieldSelector) -> bool {
    selector.matches(|path| match path {
        "metadata.name" => meta::name(object).to_owned(),
        "metadata.namespace" => meta::namespace(object).to_owned(),
        path => strategy(kind).field(object, path),
    })
}

#[cfg(test)]
mod tests;

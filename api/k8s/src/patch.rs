//! Patches: JSON (RFC 6902), merge (RFC 7386) and strategic merge.
//!
//! All take the current object and a patch and return the patched value, which still has to pass
//! [`crate::decode::decode_value`].

mod strategic;

use serde_json::Value;

use crate::status::{self, Reason, Status};

pub use strategic::strategic;

/// The most operations of one JSON patch.
const OPERATIONS_MAX: usize = 10_000;
/// The most bytes that all `copy` operations of one JSON patch may add: copying an object into
/// itself doubles it, so a small patch could otherwise fill the memory.
const COPIED_BYTES_MAX: usize = 3 << 20;

/// Applies a JSON patch.
///
/// # Errors
/// `BadRequest` if the patch is malformed, `RequestEntityTooLarge` if it is too large, `Invalid`
/// if an operation fails.
pub fn json(current: &Value, patch: Value) -> Result<Value, Status> {
    let patch: json_patch::Patch = serde_json::from_value(patch)
        .map_err(|e| status::bad_request(format!("error decoding patch: {e}")))?;
    if patch.0.len() > OPERATIONS_MAX {
        return Err(status::request_entity_too_large(&format!(
            "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
            patch.0.len()
        )));
    }
    let mut out = current.clone();
    let mut copied = 0_usize;
    for (i, operation) in patch.0.iter().enumerate() {
        if let json_patch::PatchOperation::Copy(copy) = operation {
            let source = out.pointer(copy.from.as_str());
            copied = copied.saturating_add(source.map_or(0, |v| v.to_string().len()));
            if copied > COPIED_BYTES_MAX {
                return Err(status::request_entity_too_large(&format!(
                    "the copy operations of the JSON patch add more than {COPIED_BYTES_MAX} bytes"
                )));
            }
        }
        json_patch::patch(&mut out, std::slice::from_ref(operation))
            .map_err(|e| unprocessable(&format!("operation {i}: {}", e.kind)))?;
    }
    Ok(out)
}

/// Applies a merge patch.
///
/// # Errors
/// `BadRequest` if the patch is no object.
pub fn merge(current: &Value, patch: &Value) -> Result<Value, Status> {
    if !patch.is_object() {
        return Err(status::bad_request("error decoding patch: a merge patch must be an object"));
    }
    let mut out = current.clone();
    json_patch::merge(&mut out, patch);
    Ok(out)
}

fn unprocessable(why: &str) -> Status {
    Status::failure(
        Reason::Invalid,
        format!("the server rejected our request due to an error in our request: {why}"),
    )
}

#[cfg(test)]
mod tests;

//! How failures of the parts below become `Status` errors: the one place.

use corten_api_k8s::field::go_quote;
use corten_api_k8s::kinds::Kind;
use corten_api_k8s::status::{self, Reason, Status};
use corten_apiserver_store::{Compacted, TxnError};

/// A write to the object `name` failed for another reason than its version.
pub(crate) fn from_txn(kind: &Kind, name: &str, error: &TxnError) -> Status {
    #[allow(clippy::wildcard_enum_match_arm, reason = "whatever else it is, it is ours")]
    match error {
        TxnError::Conflict { current: Some(_), .. } => {
            status::conflict(kind, name, status::MODIFIED)
        }
        TxnError::Conflict { current: None, .. } => status::not_found(kind, name),
        TxnError::Overloaded => status::too_many_requests(
            "too many writes wait for the disk, please try again later",
            1,
        ),
        other => status::internal(&other.to_string()),
    }
}

/// The version that a list or watch starts from is no longer known.
pub(crate) fn from_compacted(error: &Compacted) -> Status {
    status::expired(format!("too old resource version: {} ({})", error.requested, error.oldest))
}

/// A page of a list can no longer be read as things were at its first page; the answer also has a
/// token that continues with things as they are.
pub(crate) fn expired_continue() -> Status {
    status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can \
         start a new list without the continue parameter, or use the continue token in this \
         response to retrieve the remainder of the results. Continuing with the provided token \
         results in an inconsistent list - objects that were created, modified, or deleted \
         between the time the first chunk was returned and now may show up in the list.",
    )
}

/// The version that a read must not be older than has not come in time.
pub(crate) fn too_large_version(wanted: u64, current: u64) -> Status {
    let mut status =
        status::timeout(&format!("Too large resource version: {wanted}, current: {current}"), 1);
    status.details.get_or_insert_default().causes.push(status::Cause {
        reason: "ResourceVersionTooLarge".to_owned(),
        message: "Too large resource version".to_owned(),
        field: String::new(),
    });
    status
}

/// A precondition of a deletion or update does not hold.
pub(crate) fn precondition(kind: &Kind, name: &str, what: &str, wanted: &str, is: &str) -> Status {
    let why = format!(
        "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {is}"
    );
    status::conflict(kind, name, &why)
}

/// A value of a query parameter makes no sense.
pub(crate) fn bad_parameter(name: &str, value: &str, why: &str) -> Status {
    status::bad_request(format!(
        "invalid value {} for the parameter {name}: {why}",
        go_quote(value)
    ))
}

/// A part of a request that this server does not serve.
pub(crate) fn not_served(what: &str) -> Status {
    Status::failure(Reason::UnsupportedMediaType, what.to_owned())
}

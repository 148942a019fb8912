//! One object.

use corten_api_k8s::status::{self, Status};
use http::StatusCode;

use super::{Context, Payload, Reply, storage};

/// `get`: reads are from memory and never older than any acknowledged write, so that every
/// `resourceVersion` that was ever given out is satisfied.
pub(crate) fn get(ctx: &Context<'_>) -> Result<Reply, Status> {
    let key = storage::key(ctx.kind, &ctx.resource.namespace, &ctx.resource.name);
    let entry =
        ctx.api.store.get(&key).ok_or_else(|| status::not_found(ctx.kind, &ctx.resource.name))?;
    let payload = Payload::Wire(storage::wire(ctx.kind, &entry, entry.modified()));
    Ok(Reply::new(StatusCode::OK, payload, Vec::new()))
}

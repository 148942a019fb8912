//! The `scale` subresource: how many replicas, whatever the kind.

use std::sync::Arc;

use corten_api_k8s::decode::{self, ContentType};
use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use corten_apiserver_registry::scale;
use http::StatusCode;
use serde_json::Value;

use super::patch::Patch;
use super::update::{Part, Wanted, change};
use super::{Context, Payload, Reply, storage};

fn scale_of(ctx: &Context<'_>, object: &Value) -> Result<Value, Status> {
    scale::read(ctx.kind, object).ok_or_else(status::no_such_resource)
}

/// `get`.
pub(crate) fn get(ctx: &Context<'_>) -> Result<Reply, Status> {
    let key = storage::key(ctx.kind, &ctx.resource.namespace, &ctx.resource.name);
    let entry =
        ctx.api.store.get(&key).ok_or_else(|| status::not_found(ctx.kind, &ctx.resource.name))?;
    let scale = scale_of(ctx, &storage::parsed(&entry))?;
    Ok(Reply::other(StatusCode::OK, scale))
}

/// `update`.
pub(crate) async fn update(ctx: &Context<'_>) -> Result<Reply, Status> {
    let decoded = ctx.decode_as(ctx.subresource_kind()?)?;
    apply(ctx, |_current| {
        Ok(Wanted { object: decoded.object.clone(), warnings: decoded.warnings.clone() })
    })
    .await
}

/// `patch`.
pub(crate) async fn patch(ctx: &Context<'_>) -> Result<Reply, Status> {
    let kind = ctx.subresource_kind()?;
    let patch = Patch::read(ctx)?;
    let versioned = patch.names_version();
    apply(ctx, |scale| {
        let mut wanted = patch.apply(ctx, kind, scale)?;
        if !versioned {
            meta::clear_resource_version(&mut wanted.object);
        }
        Ok(wanted)
    })
    .await
}

async fn apply<F>(ctx: &Context<'_>, make: F) -> Result<Reply, Status>
where
    F: Fn(&Value) -> Result<Wanted, Status> + Send + Sync,
{
    let reply = change(ctx, Part::Main, |current: &Arc<Value>| {
        let wanted = make(&scale_of(ctx, current)?)?;
        // Without a version in the scale, the object's must not stand in for it.
        let mut base = current.as_ref().clone();
        meta::clear_resource_version(&mut base);
        let object = scale::write(ctx.kind, &base, &wanted.object)?;
        Ok(Wanted { object, warnings: wanted.warnings })
    })
    .await?;
    let object = match reply.payload {
        Payload::Wire(json) => decode::parse(&json, ContentType::Json)?,
        Payload::Object(object) => object.as_ref().clone(),
        Payload::Other(value) => value,
    };
    Ok(Reply::new(StatusCode::OK, Payload::Other(scale_of(ctx, &object)?), reply.warnings))
}

//! Patches: JSON, merge and strategic merge.

use std::sync::Arc;

use corten_api_k8s::decode::{self, ContentType};
use corten_api_k8s::kinds::Kind;
use corten_api_k8s::meta;
use corten_api_k8s::patch;
use corten_api_k8s::status::{self, Status};
use serde_json::Value;

use super::update::{Wanted, change, part};
use super::{Context, Reply};
use crate::negotiate::{self, PatchType};

/// A patch that has been read, to be applied to whatever is there.
pub(crate) struct Patch {
    language: PatchType,
    body: Value,
}

impl Patch {
    pub(crate) fn read(ctx: &Context<'_>) -> Result<Self, Status> {
        let language = negotiate::patch_type(ctx.headers)?;
        let body = decode::parse(&ctx.body, ContentType::Json)?;
        Ok(Self { language, body })
    }

    /// The patched object, checked as if it had been sent whole.
    pub(crate) fn apply(
        &self,
        ctx: &Context<'_>,
        kind: &'static Kind,
        current: &Value,
    ) -> Result<Wanted, Status> {
        let patched = match self.language {
            PatchType::Json => patch::json(current, self.body.clone())?,
            PatchType::Merge => patch::merge(current, &self.body)?,
            PatchType::Strategic => patch::strategic(kind.schema, current, self.body.clone())?,
        };
        let decoded = decode::decode_value(kind, patched, ctx.field_validation()?)?;
        Ok(Wanted { object: decoded.object, warnings: decoded.warnings })
    }

    /// Whether the patch itself names a version; then it is not tried again on another.
    pub(crate) fn names_version(&self) -> bool {
        match self.language {
            PatchType::Json => self.body.as_array().is_some_and(|operations| {
                operations.iter().any(|operation| {
                    operation.get("path").and_then(Value::as_str)
                        == Some("/metadata/resourceVersion")
                })
            }),
            PatchType::Merge | PatchType::Strategic => {
                self.body.pointer("/metadata/resourceVersion").is_some_and(|v| !v.is_null())
            }
        }
    }
}

/// `patch`, of the object or its status.
pub(crate) async fn patch(ctx: &Context<'_>) -> Result<Reply, Status> {
    let patch = Patch::read(ctx)?;
    let versioned = patch.names_version();
    change(ctx, part(ctx), |current: &Arc<Value>| {
        let mut wanted = patch.apply(ctx, ctx.kind, current)?;
        if meta::name(&wanted.object) != meta::name(current) {
            return Err(status::bad_request("the name of an object can't be patched"));
        }
        if !versioned {
            meta::clear_resource_version(&mut wanted.object);
        }
        Ok(wanted)
    })
    .await
}

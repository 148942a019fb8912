//! Objects in the view that was asked for: whole, as table rows, or their metadata only.

use std::sync::Arc;

use corten_api_k8s::kinds::Kind;
use corten_api_k8s::status::{self, Status};
use corten_apiserver_registry::table;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Context, Payload, Reply};
use crate::body::Body;
use crate::negotiate::{Accepted, View};
use crate::respond;

/// What a table's rows carry of their objects (`includeObject`).
pub(crate) use corten_apiserver_registry::table::IncludeObject;

/// An answer in the form asked for.
pub(crate) fn reply(ctx: &Context<'_>, accepted: Accepted, reply: Reply) -> Response<Body> {
    let mut response = match (accepted.view, reply.payload) {
        (_, Payload::Other(value)) => respond::value(reply.code, accepted.format, &value),
        (View::Whole, Payload::Wire(json)) => respond::json(reply.code, accepted.format, json),
        (View::Whole, Payload::Object(object)) => {
            respond::value(reply.code, accepted.format, &object)
        }
        (view, payload) => match shown(ctx, view, payload) {
            Ok(value) => respond::value(reply.code, accepted.format, &value),
            Err(status) => respond::failure(&status),
        },
    };
    respond::warn(&mut response, &reply.warnings);
    response
}

fn shown(ctx: &Context<'_>, view: View, payload: Payload) -> Result<Value, Status> {
    let object = match payload {
        Payload::Object(object) => object,
        Payload::Wire(json) => Arc::new(
            serde_json::from_slice(&json).map_err(|error| status::internal(&error.to_string()))?,
        ),
        Payload::Other(value) => return Ok(value),
    };
    Ok(match view {
        View::Whole => object.as_ref().clone(),
        View::Partial => table::partial(&object),
        View::Table => {
            let include = include_object(ctx)?;
            let version = object.pointer("/metadata/resourceVersion").cloned();
            let mut table = rows(ctx, ctx.kind, std::slice::from_ref(&object), include);
            table["metadata"]["resourceVersion"] = version.unwrap_or_default();
            table
        }
    })
}

/// A table of objects.
pub(crate) fn rows(
    ctx: &Context<'_>,
    kind: &'static Kind,
    objects: &[Arc<Value>],
    include: IncludeObject,
) -> Value {
    let objects: Vec<Value> = objects.iter().map(|object| object.as_ref().clone()).collect();
    table::table(kind, &objects, ctx.api.now(), include)
}

/// `includeObject`.
pub(crate) fn include_object(ctx: &Context<'_>) -> Result<IncludeObject, Status> {
    let text = ctx.info.query.get("includeObject");
    IncludeObject::parse(text).ok_or_else(|| {
        let why = "supported values: \"None\", \"Metadata\", \"Object\"";
        crate::error::bad_parameter("includeObject", text.unwrap_or_default(), why)
    })
}

/// The success of an action that leaves nothing to show.
pub(crate) fn success(code: StatusCode) -> Reply {
    Reply::other(
        code,
        json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "code": code.as_u16(),
        }),
    )
}

//! The verbs on API resources, written once for every kind.

mod binding;
mod create;
mod delete;
mod finalize;
mod get;
mod list;
mod log;
mod names;
mod patch;
mod scale;
mod select;
mod show;
pub(crate) mod storage;
mod token;
mod update;
mod watch;

pub(crate) use create::create_internal;
pub(crate) use names::generate as generate_name;

use std::sync::Arc;

use bytes::Bytes;
use corten_api_k8s::decode::{self, FieldValidation};
use corten_api_k8s::kinds::{self, Kind, Role};
use corten_api_k8s::schema;
use corten_api_k8s::status::{self, Status};
use http::{HeaderMap, Response, StatusCode};
use serde_json::Value;

use crate::authz::review;
use crate::body::Body;
use crate::negotiate::{self, Accepted, BodyType};
use crate::protobuf;
use crate::request::{RequestInfo, ResourceInfo};
use crate::respond;
use crate::state::Api;
use crate::user::User;

/// A request about an API resource, with what is known of it.
pub(crate) struct Context<'a> {
    pub(crate) api: &'a Api,
    pub(crate) user: &'a User,
    pub(crate) kind: &'static Kind,
    pub(crate) info: &'a RequestInfo,
    pub(crate) resource: &'a ResourceInfo,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Bytes,
}

/// An answer that shows one object, or tells how a request ended.
pub(crate) struct Reply {
    pub(crate) code: StatusCode,
    pub(crate) payload: Payload,
    pub(crate) warnings: Vec<String>,
}

/// What an answer shows.
pub(crate) enum Payload {
    /// An object's JSON.
    Wire(Bytes),
    /// An object of the request's kind.
    Object(Arc<Value>),
    /// Something of another kind, to be shown as it is.
    Other(Value),
}

impl Reply {
    pub(crate) fn new(code: StatusCode, payload: Payload, warnings: Vec<String>) -> Self {
        Self { code, payload, warnings }
    }

    pub(crate) fn other(code: StatusCode, value: Value) -> Self {
        Self::new(code, Payload::Other(value), Vec::new())
    }
}

impl Context<'_> {
    /// `fieldValidation`, which says what becomes of unknown fields.
    pub(crate) fn field_validation(&self) -> Result<FieldValidation, Status> {
        FieldValidation::parse(self.info.query.get("fieldValidation"))
    }

    /// `dryRun`: whether nothing is to be stored.
    pub(crate) fn dry_run(&self) -> Result<bool, Status> {
        dry_run(self.info.query.all("dryRun"))
    }

    /// The object in the body, of the request's kind.
    pub(crate) fn decode(&self) -> Result<decode::Decoded, Status> {
        self.decode_as(self.kind)
    }

    /// The object in the body, of the kind that a subresource speaks.
    pub(crate) fn decode_as(&self, kind: &'static Kind) -> Result<decode::Decoded, Status> {
        match negotiate::body_type(self.headers)? {
            BodyType::Text(text) => {
                decode::decode(kind, &self.body, text, self.field_validation()?)
            }
            BodyType::Protobuf => {
                let value = protobuf::parse(kind.schema, &self.body)?;
                decode::decode_value(kind, value, self.field_validation()?)
            }
        }
    }

    /// The `DeleteOptions` or other plain type in the body; none if the body is empty.
    pub(crate) fn decode_type(&self, name: &str) -> Result<Option<Value>, Status> {
        if self.body.is_empty() {
            return Ok(None);
        }
        let ty = schema::by_name(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}"))
            .ok_or_else(|| status::internal(&format!("{name} is not in the schema")))?;
        match negotiate::body_type(self.headers)? {
            BodyType::Text(text) => {
                let decoded = decode::decode_type(ty, &self.body, text, FieldValidation::Ignore)?;
                Ok(Some(decoded.object))
            }
            BodyType::Protobuf => protobuf::parse(ty, &self.body).map(Some),
        }
    }

    /// The kind that a subresource's endpoint speaks.
    pub(crate) fn subresource_kind(&self) -> Result<&'static Kind, Status> {
        let sub = self.kind.subresource(&self.resource.subresource);
        sub.and_then(|sub| kinds::by_gvk(sub.group, sub.version, sub.kind))
            .ok_or_else(status::no_such_resource)
    }
}

/// Reads the values of `dryRun`.
pub(crate) fn dry_run<'a>(values: impl Iterator<Item = &'a str>) -> Result<bool, Status> {
    let mut dry = false;
    for value in values.filter(|value| !value.is_empty()) {
        if value != "All" {
            return Err(crate::error::bad_parameter("dryRun", value, "only \"All\" is supported"));
        }
        dry = true;
    }
    Ok(dry)
}

/// The kind that a request is about.
pub(crate) fn kind_of(resource: &ResourceInfo) -> Result<&'static Kind, Status> {
    kinds::by_resource(&resource.group, &resource.version, &resource.resource)
        .ok_or_else(status::no_such_resource)
}

/// Answers a request that was found to be allowed.
pub(crate) async fn serve(ctx: &Context<'_>) -> Result<Response<Body>, Status> {
    let (kind, resource) = (ctx.kind, ctx.resource);
    if !kind.namespaced && !resource.namespace.is_empty() && kind.plural != "namespaces" {
        return Err(status::no_such_resource());
    }
    if !resource.rest.is_empty() {
        return Err(status::no_such_resource());
    }
    if !resource.subresource.is_empty() {
        return serve_subresource(ctx).await;
    }
    if !kind.verbs.contains(&ctx.info.verb) && !matches!(kind.role, Role::Review) {
        return Err(status::method_not_allowed(kind, ctx.info.verb));
    }
    if kind.namespaced
        && resource.namespace.is_empty()
        && !matches!(ctx.info.verb, "list" | "watch")
    {
        return Err(status::method_not_allowed(kind, ctx.info.verb));
    }
    match (kind.role, ctx.info.verb) {
        (Role::Review, "create") => {
            let accepted = negotiate::accepted(ctx.headers, false)?;
            let reply = review_reply(ctx)?;
            Ok(show::reply(ctx, accepted, reply))
        }
        (Role::Stored { .. }, "list") => list::list(ctx).await,
        (Role::Stored { .. }, "watch") => watch::watch(ctx).await,
        (Role::Stored { .. }, "deletecollection") => delete::delete_collection(ctx).await,
        (Role::Stored { .. }, verb) => {
            let accepted = negotiate::accepted(ctx.headers, true)?;
            let reply = match verb {
                "get" => get::get(ctx)?,
                "create" => create::create(ctx).await?,
                "update" => update::update(ctx).await?,
                "patch" => patch::patch(ctx).await?,
                "delete" => delete::delete(ctx).await?,
                _ => return Err(status::method_not_allowed(kind, verb)),
            };
            Ok(show::reply(ctx, accepted, reply))
        }
        (Role::Review | Role::Body, verb) => Err(status::method_not_allowed(kind, verb)),
    }
}

async fn serve_subresource(ctx: &Context<'_>) -> Result<Response<Body>, Status> {
    let (kind, resource) = (ctx.kind, ctx.resource);
    let Some(sub) = kind.subresource(&resource.subresource) else {
        return Err(status::no_such_resource());
    };
    if !sub.verbs.contains(&ctx.info.verb) {
        return Err(status::method_not_allowed(kind, ctx.info.verb));
    }
    if sub.name == "log" {
        return log::log(ctx).await;
    }
    let accepted = negotiate::accepted(ctx.headers, sub.name == "status")?;
    let reply = match (sub.name, ctx.info.verb) {
        ("status", "get") => get::get(ctx)?,
        ("status", "update") => update::update(ctx).await?,
        ("status", "patch") => patch::patch(ctx).await?,
        ("scale", "get") => scale::get(ctx)?,
        ("scale", "update") => scale::update(ctx).await?,
        ("scale", "patch") => scale::patch(ctx).await?,
        ("binding", "create") => binding::bind(ctx).await?,
        ("eviction", "create") => delete::evict(ctx).await?,
        ("token", "create") => token::request(ctx)?,
        ("finalize", "update") => finalize::finalize(ctx).await?,
        _ => return Err(status::no_such_resource()),
    };
    Ok(show::reply(ctx, accepted, reply))
}

fn review_reply(ctx: &Context<'_>) -> Result<Reply, Status> {
    if ctx.kind.plural == "bindings" {
        // The older way to bind; every scheduler uses pods/binding.
        return Err(status::method_not_allowed(ctx.kind, "create"));
    }
    let decoded = ctx.decode()?;
    let namespace = &ctx.resource.namespace;
    let answered = review::answer(ctx.api, ctx.user, ctx.kind, namespace, decoded.object)?;
    let payload = Payload::Other(answered);
    Ok(Reply::new(StatusCode::CREATED, payload, decoded.warnings))
}

/// The form of an answer to a request that is about no object.
pub(crate) fn plain(accepted: Accepted, value: &Value) -> Response<Body> {
    respond::value(StatusCode::OK, accepted.format, value)
}

//! Changes of an object that is there: the one road for update, patch, status, scale, binding and
//! finalize.

use std::sync::Arc;

use corten_api_k8s::field::go_quote;
use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use corten_apiserver_registry::lifecycle;
use corten_apiserver_store::{Entry, Expect, Op, TxnError};
use http::StatusCode;
use serde_json::Value;

use super::{Context, Payload, Reply, create, delete, storage};
use crate::admission::{self, Operation};
use crate::authz::escalation;
use crate::error;

/// How often a change that names no version is tried again after losing to another.
const ATTEMPTS: usize = 10;

/// What part of the object a change may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything but `status`.
    Main,
    /// `status` (and what the strategy lets through with it).
    Status,
    /// What the server itself changes, whole; the strategy prepares nothing.
    Given,
}

/// What an object is to become.
pub(crate) struct Wanted {
    pub(crate) object: Value,
    pub(crate) warnings: Vec<String>,
}

/// `update`, of the object or its status.
pub(crate) async fn update(ctx: &Context<'_>) -> Result<Reply, Status> {
    let decoded = ctx.decode()?;
    create::check_namespace(ctx.kind, &ctx.resource.namespace, &decoded.object)?;
    let name = meta::name(&decoded.object);
    if name != ctx.resource.name {
        return Err(status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            ctx.resource.name
        )));
    }
    change(ctx, part(ctx), |_current| {
        Ok(Wanted { object: decoded.object.clone(), warnings: decoded.warnings.clone() })
    })
    .await
}

/// The part that the URL names.
pub(crate) fn part(ctx: &Context<'_>) -> Part {
    if ctx.resource.subresource == "status" { Part::Status } else { Part::Main }
}

/// Changes the object of the request to what `make` makes of it.
pub(crate) async fn change<F>(ctx: &Context<'_>, part: Part, make: F) -> Result<Reply, Status>
where
    F: Fn(&Arc<Value>) -> Result<Wanted, Status> + Send + Sync,
{
    let (kind, name) = (ctx.kind, &ctx.resource.name);
    let key = storage::key(kind, &ctx.resource.namespace, name);
    let dry_run = ctx.dry_run()?;
    for attempt in 1.. {
        let entry = ctx.api.store.get(&key).ok_or_else(|| status::not_found(kind, name))?;
        let current = storage::view(kind, &storage::parsed(&entry));
        let wanted = make(&current)?;
        let versioned = !meta::resource_version(&wanted.object).is_empty();
        let mut object = wanted.object;
        prepare(ctx, part, &mut object, &current)?;
        let outcome = store(ctx, &entry, &current, object, dry_run).await;
        match outcome {
            Ok(payload) => return Ok(Reply::new(StatusCode::OK, payload, wanted.warnings)),
            Err(Failure::Status(status)) => return Err(status),
            // A patch that says nothing of versions is made again on what is there now.
            Err(Failure::Lost) if !versioned && attempt < ATTEMPTS => {}
            Err(Failure::Lost) => return Err(status::conflict(kind, name, status::MODIFIED)),
        }
    }
    Err(status::internal("no attempt was made"))
}

enum Failure {
    Status(Status),
    /// Somebody else changed the object first.
    Lost,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// Brings a wanted object into the form it may be stored in, given the current one.
fn prepare(
    ctx: &Context<'_>,
    part: Part,
    object: &mut Value,
    current: &Arc<Value>,
) -> Result<(), Status> {
    let (kind, name) = (ctx.kind, &ctx.resource.name);
    let wanted_version = meta::resource_version(object);
    if !wanted_version.is_empty() && wanted_version != meta::resource_version(current) {
        return Err(status::conflict(kind, name, status::MODIFIED));
    }
    let wanted_uid = meta::uid(object);
    if !wanted_uid.is_empty() && wanted_uid != meta::uid(current) {
        return Err(error::precondition(kind, name, "UID", wanted_uid, meta::uid(current)));
    }
    if meta::name(object) != meta::name(current) {
        return Err(status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({name})",
            go_quote(meta::name(object))
        )));
    }
    carry_over(object, current);
    lifecycle::default(kind, object);
    let admission = admission::Request {
        api: ctx.api,
        user: ctx.user,
        kind,
        subresource: &ctx.resource.subresource,
        namespace: &ctx.resource.namespace,
        operation: Operation::Update,
    };
    admission::admit(&admission, object, Some(current))?;
    match part {
        Part::Main => lifecycle::before_update(kind, object, current)?,
        Part::Status => lifecycle::before_status_update(kind, object, current)?,
        Part::Given => {}
    }
    escalation::check(ctx.api, ctx.user, kind, object, Some(current))
}

/// What only the server sets stays as it is.
fn carry_over(object: &mut Value, current: &Value) {
    const KEPT: &[&str] = &[
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "namespace",
        "generateName",
    ];
    let old = current.get("metadata");
    let metadata = meta::metadata_mut(object);
    metadata.shift_remove("managedFields");
    for field in KEPT {
        match old.and_then(|old| old.get(*field)) {
            Some(value) => {
                metadata.insert((*field).to_owned(), value.clone());
            }
            None => {
                metadata.shift_remove(*field);
            }
        }
    }
}

async fn store(
    ctx: &Context<'_>,
    entry: &Arc<Entry>,
    current: &Arc<Value>,
    mut object: Value,
    dry_run: bool,
) -> Result<Payload, Failure> {
    let kind = ctx.kind;
    let _allocation = ctx.api.allocators.assign(ctx.api, kind, &mut object, Some(current)).await?;
    if object == **current {
        // Nothing changes: no new version, and nobody is woken.
        return Ok(Payload::Wire(storage::wire(kind, entry, entry.modified())));
    }
    if dry_run {
        return Ok(Payload::Object(Arc::new(object)));
    }
    let expect = Expect::Revision(entry.modified());
    let finished = delete::is_finished(kind, &object);
    let op = if finished {
        Op::Delete { key: Arc::clone(entry.key()), expect }
    } else {
        let stored = storage::unview(kind, object.clone());
        Op::Put { key: Arc::clone(entry.key()), value: storage::encode(&stored)?, expect }
    };
    match ctx.api.store.txn(vec![op]).await {
        Ok(_) if finished => Ok(Payload::Object(Arc::new(object))),
        Ok(done) => match done.entries.into_iter().next().flatten() {
            Some(entry) => Ok(Payload::Wire(storage::wire(kind, &entry, entry.modified()))),
            None => Err(status::internal("the write left nothing").into()),
        },
        Err(TxnError::Conflict { current: Some(_), .. }) => Err(Failure::Lost),
        Err(failed) => Err(error::from_txn(kind, meta::name(current), &failed).into()),
    }
}

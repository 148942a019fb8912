//! Deletion: at once, gracefully, or once the finalizers are through.

use std::sync::Arc;

use corten_api_k8s::kinds::Kind;
use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use corten_apiserver_registry::{Grace, strategy};
use corten_apiserver_store::{Entry, Expect, Op, TxnError};
use http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Context, Payload, Reply, list, show, storage};
use crate::admission::{self, Operation};
use crate::body::Body;
use crate::negotiate;
use crate::state::Api;
use crate::user::User;
use crate::{error, respond};

/// How often a deletion is tried again after losing to another change.
const ATTEMPTS: usize = 10;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// Kinds of which a deletion answers with the object instead of a status.
const ANSWERED_WITH_OBJECT: &[&str] = &["pods", "services", "serviceaccounts", "podtemplates"];

/// `DeleteOptions`, from the body or the query.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    grace_period_seconds: Option<i64>,
    propagation: Option<Propagation>,
    uid: Option<String>,
    resource_version: Option<String>,
    dry_run: bool,
}

/// What becomes of an object's dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Propagation {
    Background,
    Foreground,
    Orphan,
}

impl DeleteOptions {
    fn of(ctx: &Context<'_>) -> Result<Self, Status> {
        let body = ctx.decode_type("DeleteOptions")?;
        Self::read(ctx, body.as_ref().unwrap_or(&Value::Null))
    }

    /// The options in `body`; the query wins over it.
    fn read(ctx: &Context<'_>, body: &Value) -> Result<Self, Status> {
        let query = &ctx.info.query;
        let grace_period_seconds = match query.non_empty("gracePeriodSeconds") {
            Some(text) => Some(text.parse().map_err(|_not_a_number| {
                error::bad_parameter("gracePeriodSeconds", text, "it must be a number of seconds")
            })?),
            None => body.get("gracePeriodSeconds").and_then(Value::as_i64),
        };
        if grace_period_seconds.is_some_and(|seconds| seconds < 0) {
            return Err(status::bad_request("gracePeriodSeconds must not be negative"));
        }
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
        let policy = query.non_empty("propagationPolicy").or_else(|| text("/propagationPolicy"));
        let orphan = query
            .flag("orphanDependents")
            .or_else(|| body.get("orphanDependents").and_then(Value::as_bool));
        let propagation = match (policy, orphan) {
            (Some(_), Some(_)) => {
                return Err(status::bad_request(
                    "orphanDependents and propagationPolicy cannot be both set",
                ));
            }
            (None, None) => None,
            (None, Some(true)) | (Some("Orphan"), None) => Some(Propagation::Orphan),
            (None, Some(false)) | (Some("Background"), None) => Some(Propagation::Background),
            (Some("Foreground"), None) => Some(Propagation::Foreground),
            (Some(other), None) => {
                return Err(error::bad_parameter(
                    "propagationPolicy",
                    other,
                    "supported values: \"Foreground\", \"Background\", \"Orphan\"",
                ));
            }
        };
        let list = body.get("dryRun").and_then(Value::as_array);
        let from_body = list.into_iter().flatten().filter_map(Value::as_str);
        Ok(Self {
            grace_period_seconds,
            propagation,
            uid: text("/preconditions/uid").map(str::to_owned),
            resource_version: text("/preconditions/resourceVersion").map(str::to_owned),
            dry_run: super::dry_run(query.all("dryRun").chain(from_body))?,
        })
    }
}

/// What a deletion came to.
enum Outcome {
    /// The object is gone; this is what it was last.
    Gone(Arc<Value>),
    /// The object is marked and will go.
    Marked(Payload),
}

/// One deletion.
struct Deletion<'a> {
    api: &'a Api,
    user: &'a User,
    kind: &'static Kind,
    options: &'a DeleteOptions,
}

/// `delete`.
pub(crate) async fn delete(ctx: &Context<'_>) -> Result<Reply, Status> {
    let options = DeleteOptions::of(ctx)?;
    let deletion = Deletion { api: ctx.api, user: ctx.user, kind: ctx.kind, options: &options };
    let name = &ctx.resource.name;
    let outcome = deletion.run(&ctx.resource.namespace, name).await?;
    Ok(match outcome {
        Outcome::Marked(payload) => Reply::new(StatusCode::OK, payload, Vec::new()),
        Outcome::Gone(object) if ANSWERED_WITH_OBJECT.contains(&ctx.kind.plural) => {
            Reply::new(StatusCode::OK, Payload::Object(object), Vec::new())
        }
        Outcome::Gone(object) => {
            let success = status::success(ctx.kind, name, meta::uid(&object));
            Reply::other(StatusCode::OK, success.to_value())
        }
    })
}

/// `pods/eviction`: a deletion that disruption budgets could veto; none are served yet.
pub(crate) async fn evict(ctx: &Context<'_>) -> Result<Reply, Status> {
    let decoded = ctx.decode_as(ctx.subresource_kind()?)?;
    let own = meta::name(&decoded.object);
    if !own.is_empty() && own != ctx.resource.name {
        return Err(status::bad_request("name in URL does not match name in Eviction object"));
    }
    let options = decoded.object.get("deleteOptions").unwrap_or(&Value::Null);
    let options = DeleteOptions::read(ctx, options)?;
    let deletion = Deletion { api: ctx.api, user: ctx.user, kind: ctx.kind, options: &options };
    deletion.run(&ctx.resource.namespace, &ctx.resource.name).await?;
    let mut reply = show::success(StatusCode::CREATED);
    reply.warnings = decoded.warnings;
    Ok(reply)
}

/// `deletecollection`: every object that the request's selectors pick.
pub(crate) async fn delete_collection(ctx: &Context<'_>) -> Result<Response<Body>, Status> {
    let accepted = negotiate::accepted(ctx.headers, false)?;
    let options = DeleteOptions::of(ctx)?;
    let page = list::page(ctx).await.map_err(list::Failure::into_status)?;
    let deletion = Deletion { api: ctx.api, user: ctx.user, kind: ctx.kind, options: &options };
    let mut items = Vec::with_capacity(page.entries.len());
    for entry in &page.entries {
        let object = storage::view(ctx.kind, &storage::parsed(entry));
        match deletion.run(meta::namespace(&object), meta::name(&object)).await {
            Ok(_) => items.push(object.as_ref().clone()),
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    let list = json!({
        "kind": ctx.kind.list_kind,
        "apiVersion": ctx.kind.api_version(),
        "metadata": { "resourceVersion": page.revision.to_string() },
        "items": items,
    });
    Ok(respond::value(StatusCode::OK, accepted.format, &list))
}

impl Deletion<'_> {
    async fn run(&self, namespace: &str, name: &str) -> Result<Outcome, Status> {
        let kind = self.kind;
        let key = storage::key(kind, namespace, name);
        for _ in 0..ATTEMPTS {
            let entry = self.api.store.get(&key).ok_or_else(|| status::not_found(kind, name))?;
            let object = storage::view(kind, &storage::parsed(&entry));
            self.check(&object)?;
            self.admit(namespace, &object)?;
            match self.attempt(&entry, &object).await {
                Err(TxnError::Conflict { current: Some(_), .. }) => {}
                Err(failed) => return Err(error::from_txn(kind, name, &failed)),
                Ok(outcome) => return Ok(outcome),
            }
        }
        Err(status::conflict(kind, name, status::MODIFIED))
    }

    fn check(&self, object: &Value) -> Result<(), Status> {
        let name = meta::name(object);
        if let Some(wanted) = &self.options.uid
            && wanted != meta::uid(object)
        {
            return Err(error::precondition(self.kind, name, "UID", wanted, meta::uid(object)));
        }
        let version = meta::resource_version(object);
        if let Some(wanted) = &self.options.resource_version
            && wanted != version
        {
            let what = "ResourceVersion";
            return Err(error::precondition(self.kind, name, what, wanted, version));
        }
        Ok(())
    }

    fn admit(&self, namespace: &str, object: &Value) -> Result<(), Status> {
        let request = admission::Request {
            api: self.api,
            user: self.user,
            kind: self.kind,
            subresource: "",
            namespace,
            operation: Operation::Delete,
        };
        admission::admit(&request, &mut object.clone(), Some(object))
    }

    async fn attempt(&self, entry: &Arc<Entry>, object: &Arc<Value>) -> Result<Outcome, TxnError> {
        let kind = self.kind;
        let expect = Expect::Revision(entry.modified());
        let marked = marked(kind, object, self.options, self.api.now());
        if is_finished(kind, &marked) {
            if !self.options.dry_run {
                let op = Op::Delete { key: Arc::clone(entry.key()), expect };
                self.api.store.txn(vec![op]).await?;
            }
            return Ok(Outcome::Gone(Arc::new(marked)));
        }
        if marked == **object || self.options.dry_run {
            return Ok(Outcome::Marked(Payload::Object(Arc::new(marked))));
        }
        let stored = storage::unview(kind, marked);
        let value = storage::encode(&stored)
            .map_err(|status| TxnError::Failed { reason: status.message })?;
        let put = Op::Put { key: Arc::clone(entry.key()), value, expect };
        let done = self.api.store.txn(vec![put]).await?;
        let payload = match done.entries.into_iter().next().flatten() {
            Some(entry) => Payload::Wire(storage::wire(kind, &entry, entry.modified())),
            None => Payload::Object(Arc::new(stored)),
        };
        Ok(Outcome::Marked(payload))
    }
}

/// The object with its deletion begun: timestamp, grace period, finalizers as the propagation
/// policy wants them.
fn marked(kind: &'static Kind, object: &Value, options: &DeleteOptions, now: Timestamp) -> Value {
    let mut object = object.clone();
    set_finalizers(&mut object, options.propagation);
    let grace = match strategy(kind).grace(&object, options.grace_period_seconds) {
        Grace::Now => 0,
        Grace::Seconds(seconds) => seconds,
    };
    let deleted_at = meta::deletion_timestamp(&object);
    let pending = meta::deletion_grace_period_seconds(&object);
    match (deleted_at, pending) {
        // Already under way: the grace period can only become shorter.
        (Some(_), Some(pending)) if grace >= pending => return object,
        (Some(_), None) => return object,
        (Some(_), Some(_)) | (None, _) => {}
    }
    let at = now.checked_add(SignedDuration::from_secs(grace)).unwrap_or(now);
    meta::set_deletion(&mut object, at, Some(grace));
    if deleted_at.is_none() && meta::generation(&object) > 0 {
        let next = meta::generation(&object) + 1;
        meta::set_generation(&mut object, next);
    }
    if kind.plural == "namespaces" {
        object["status"]["phase"] = json!("Terminating");
    }
    object
}

fn set_finalizers(object: &mut Value, propagation: Option<Propagation>) {
    let Some(propagation) = propagation else { return };
    let mut finalizers: Vec<String> = meta::finalizers(object)
        .into_iter()
        .filter(|finalizer| *finalizer != ORPHAN && *finalizer != FOREGROUND)
        .map(str::to_owned)
        .collect();
    match propagation {
        Propagation::Background => {}
        Propagation::Foreground => finalizers.push(FOREGROUND.to_owned()),
        Propagation::Orphan => finalizers.push(ORPHAN.to_owned()),
    }
    meta::set_finalizers(object, &finalizers);
}

/// Whether nothing holds an object any more whose deletion has begun.
pub(crate) fn is_finished(kind: &Kind, object: &Value) -> bool {
    let held_by_spec = kind.plural == "namespaces"
        && kind.group.is_empty()
        && object
            .pointer("/spec/finalizers")
            .and_then(Value::as_array)
            .is_some_and(|finalizers| !finalizers.is_empty());
    meta::deletion_timestamp(object).is_some()
        && meta::finalizers(object).is_empty()
        && meta::deletion_grace_period_seconds(object).unwrap_or(0) == 0
        && !held_by_spec
}

//! `serviceaccounts/token`: tokens on request.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use corten_api_k8s::time;
use http::StatusCode;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Context, Payload, Reply, storage};
use crate::authn::token::{Bound, Grant};
use crate::state::Api;

const SECONDS_DEFAULT: i64 = 3_600;
const SECONDS_MIN: i64 = 600;
const SECONDS_MAX: i64 = 1 << 32;
/// Longer lifetimes are cut to this.
const SECONDS_GRANTED_MAX: i64 = 365 * 24 * 3_600;

/// What a token is to be bound to.
#[derive(Default)]
struct BoundTo {
    pod: Option<Bound>,
    secret: Option<Bound>,
    node: Option<Bound>,
}

/// Issues a token for a service account.
pub(crate) fn request(ctx: &Context<'_>) -> Result<Reply, Status> {
    let kind = ctx.subresource_kind()?;
    let decoded = ctx.decode_as(kind)?;
    let mut request = decoded.object;
    let (namespace, name) = (&ctx.resource.namespace, &ctx.resource.name);
    let entry = ctx
        .api
        .store
        .get(&storage::core_key("serviceaccounts", namespace, name))
        .ok_or_else(|| status::not_found(ctx.kind, name))?;
    let account = storage::parsed(&entry);
    if meta::deletion_timestamp(&account).is_some() {
        return Err(status::forbidden(ctx.kind, name, "the service account is being deleted"));
    }
    let seconds = request.pointer("/spec/expirationSeconds").and_then(Value::as_i64);
    let seconds = seconds.unwrap_or(SECONDS_DEFAULT);
    let path = FieldPath::new("spec").child("expirationSeconds");
    let wrong = if seconds < SECONDS_MIN {
        Some("may not specify a duration less than 10 minutes")
    } else if seconds > SECONDS_MAX {
        Some("may not specify a duration larger than 2^32 seconds")
    } else {
        None
    };
    if let Some(why) = wrong {
        return Err(status::invalid(kind, "", &[FieldError::invalid(&path, seconds, why)]));
    }
    let seconds = seconds.min(SECONDS_GRANTED_MAX);
    let list = request.pointer("/spec/audiences").and_then(Value::as_array);
    let mut audiences: Vec<String> =
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences = ctx.api.tokens.audiences().to_vec();
    }
    let bound = bound_to(ctx.api, namespace, name, &request)?;
    let now = ctx.api.now();
    let grant = Grant {
        namespace,
        account: Bound { name: name.clone(), uid: meta::uid(&account).to_owned() },
        pod: bound.pod,
        secret: bound.secret,
        node: bound.node,
        audiences: audiences.clone(),
        lifetime_seconds: seconds,
        id: ctx.api.new_uid(),
    };
    let token = ctx
        .api
        .tokens
        .issue(grant, now)
        .map_err(|error| status::internal(&format!("the token can't be signed: {error}")))?;
    let expires = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(now);
    let metadata = meta::metadata_mut(&mut request);
    metadata.insert("name".to_owned(), json!(name));
    metadata.insert("namespace".to_owned(), json!(namespace));
    metadata.insert("creationTimestamp".to_owned(), json!(time::format(now)));
    request["spec"]["audiences"] = json!(audiences);
    request["spec"]["expirationSeconds"] = json!(seconds);
    request["status"] = json!({ "token": token, "expirationTimestamp": time::format(expires) });
    Ok(Reply::new(StatusCode::CREATED, Payload::Other(request), decoded.warnings))
}

fn bound_to(api: &Api, namespace: &str, account: &str, request: &Value) -> Result<BoundTo, Status> {
    let Some(reference) = request.pointer("/spec/boundObjectRef").filter(|r| !r.is_null()) else {
        return Ok(BoundTo::default());
    };
    let text = |field: &str| reference.get(field).and_then(Value::as_str).unwrap_or_default();
    let find = |resource: &str, namespace: &str| {
        let entry = api.store.get(&storage::core_key(resource, namespace, text("name")));
        let object = entry.map(|entry| storage::parsed(&entry)).ok_or_else(|| {
            let name = corten_api_k8s::field::go_quote(text("name"));
            let message = format!("{resource} {name} not found");
            Status::failure(status::Reason::NotFound, message)
        })?;
        let uid = text("uid");
        if !uid.is_empty() && uid != meta::uid(&object) {
            let message = format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. \
                 The object might have been deleted and then recreated"
            );
            return Err(Status::failure(status::Reason::Conflict, message));
        }
        Ok(object)
    };
    let bound = |object: &Value| Bound {
        name: meta::name(object).to_owned(),
        uid: meta::uid(object).to_owned(),
    };
    match (text("apiVersion"), text("kind")) {
        ("v1", "Pod") => {
            let pod = find("pods", namespace)?;
            let spec = |field: &str| {
                pod.pointer(&format!("/spec/{field}")).and_then(Value::as_str).unwrap_or_default()
            };
            if spec("serviceAccountName") != account {
                return Err(status::bad_request(format!(
                    "cannot bind token for serviceaccount {account:?} to pod running with \
                     different serviceaccount name."
                )));
            }
            let node = api.store.get(&storage::core_key("nodes", "", spec("nodeName")));
            let node = node.map(|entry| bound(&storage::parsed(&entry)));
            Ok(BoundTo { pod: Some(bound(&pod)), node, ..BoundTo::default() })
        }
        ("v1", "Secret") => {
            Ok(BoundTo { secret: Some(bound(&*find("secrets", namespace)?)), ..BoundTo::default() })
        }
        ("v1", "Node") => {
            Ok(BoundTo { node: Some(bound(&*find("nodes", "")?)), ..BoundTo::default() })
        }
        (version, kind) => Err(status::bad_request(format!(
            "cannot bind token to object of type {version}, Kind={kind}"
        ))),
    }
}

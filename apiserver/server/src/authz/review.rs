//! The questions about rights and identities that clients may ask: reviews. Each is answered and
//! none is stored.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::kinds::Kind;
use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use serde_json::{Value, json};

use super::rules::{Attributes, Rule, Target};
use crate::state::Api;
use crate::user::User;

/// Answers a review: the object with its `status` filled in.
pub(crate) fn answer(
    api: &Api,
    user: &User,
    kind: &Kind,
    namespace: &str,
    mut review: Value,
) -> Result<Value, Status> {
    let status = match (kind.group, kind.kind) {
        ("authorization.k8s.io", "SelfSubjectAccessReview") => access(api, kind, user, &review)?,
        ("authorization.k8s.io", "SubjectAccessReview") => {
            let subject = subject(kind, &review)?;
            access(api, kind, &subject, &review)?
        }
        ("authorization.k8s.io", "LocalSubjectAccessReview") => {
            let asked = review.pointer("/spec/resourceAttributes/namespace");
            if asked.and_then(Value::as_str).unwrap_or_default() != namespace {
                let path = FieldPath::new("spec").child("resourceAttributes").child("namespace");
                let error = FieldError::invalid(
                    &path,
                    asked.cloned().unwrap_or_default(),
                    "must match metadata.namespace",
                );
                return Err(status::invalid(kind, "", &[error]));
            }
            let subject = subject(kind, &review)?;
            access(api, kind, &subject, &review)?
        }
        ("authorization.k8s.io", "SelfSubjectRulesReview") => rules(api, user, &review)?,
        ("authentication.k8s.io", "SelfSubjectReview") => json!({ "userInfo": user.to_value() }),
        ("authentication.k8s.io", "TokenReview") => token(api, &review)?,
        _ => return Err(status::method_not_allowed(kind, "create")),
    };
    review["status"] = status;
    let metadata = meta::metadata_mut(&mut review);
    if kind.kind.starts_with("Self") {
        metadata.insert("creationTimestamp".to_owned(), Value::Null);
    }
    Ok(review)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The subject a review names.
fn subject(kind: &Kind, review: &Value) -> Result<User, Status> {
    let spec = &review["spec"];
    let list = spec.get("groups").and_then(Value::as_array);
    let groups: Vec<String> =
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    if text(spec, "user").is_empty() && groups.is_empty() {
        let path = FieldPath::new("spec").child("user");
        let error =
            FieldError::invalid(&path, "", "at least one of user or group must be specified");
        return Err(status::invalid(kind, "", &[error]));
    }
    Ok(User {
        name: text(spec, "user").to_owned(),
        uid: text(spec, "uid").to_owned(),
        groups,
        extra: std::collections::BTreeMap::default(),
    })
}

fn access(api: &Api, kind: &Kind, user: &User, review: &Value) -> Result<Value, Status> {
    let spec = &review["spec"];
    let resource = spec.get("resourceAttributes").filter(|v| !v.is_null());
    let url = spec.get("nonResourceAttributes").filter(|v| !v.is_null());
    let wanted = match (resource, url) {
        (Some(asked), None) => Attributes {
            verb: text(asked, "verb"),
            target: Target::Resource {
                group: text(asked, "group"),
                namespace: text(asked, "namespace"),
                resource: text(asked, "resource"),
                subresource: text(asked, "subresource"),
                name: text(asked, "name"),
            },
        },
        (None, Some(asked)) => {
            Attributes { verb: text(asked, "verb"), target: Target::Url(text(asked, "path")) }
        }
        (Some(_), Some(_)) | (None, None) => {
            let path = FieldPath::new("spec").child("resourceAttributes");
            let why =
                "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            let error = FieldError::invalid(&path, Value::Null, why);
            return Err(status::invalid(kind, "", &[error]));
        }
    };
    let allowed = api.rbac.allows(&*api.store, user, &wanted);
    Ok(json!({ "allowed": allowed }))
}

fn rules(api: &Api, user: &User, review: &Value) -> Result<Value, Status> {
    let namespace = text(&review["spec"], "namespace");
    if namespace.is_empty() {
        return Err(status::bad_request("no namespace on request"));
    }
    let rules = api.rbac.rules_for(&*api.store, user, namespace);
    let (urls, resources): (Vec<Rule>, Vec<Rule>) =
        rules.into_iter().partition(|rule| !rule.non_resource_urls.is_empty());
    let values = |rules: &[Rule]| rules.iter().map(Rule::to_value).collect::<Vec<_>>();
    Ok(json!({
        "resourceRules": values(&resources),
        "nonResourceRules": values(&urls),
        "incomplete": false,
    }))
}

fn token(api: &Api, review: &Value) -> Result<Value, Status> {
    let spec = &review["spec"];
    let token = text(spec, "token");
    if token.is_empty() {
        return Err(status::bad_request("token is required for TokenReview in authentication"));
    }
    let list = spec.get("audiences").and_then(Value::as_array);
    let audiences: Vec<String> =
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(match api.tokens.authenticate(&*api.store, token, &audiences) {
        Ok(found) => json!({
            "authenticated": true,
            "user": found.user.to_value(),
            "audiences": found.audiences,
        }),
        Err(error) => json!({ "user": {}, "error": error.to_string() }),
    })
}

//! `namespaces/finalize`: the namespace controller says that it is through.

use std::sync::Arc;

use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use serde_json::Value;

use super::update::{Part, Wanted, change};
use super::{Context, Reply};

/// Replaces `spec.finalizers`; a namespace under deletion goes with its last one.
pub(crate) async fn finalize(ctx: &Context<'_>) -> Result<Reply, Status> {
    let decoded = ctx.decode()?;
    if meta::name(&decoded.object) != ctx.resource.name {
        return Err(status::bad_request(
            "the name of the object does not match the name on the URL",
        ));
    }
    let finalizers = decoded.object.pointer("/spec/finalizers").cloned();
    let finalizers = finalizers.filter(|list| list.as_array().is_some_and(|l| !l.is_empty()));
    let version = meta::resource_version(&decoded.object).to_owned();
    change(ctx, Part::Given, |current: &Arc<Value>| {
        let mut object = current.as_ref().clone();
        match &finalizers {
            Some(finalizers) => object["spec"]["finalizers"] = finalizers.clone(),
            None => {
                if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
                    spec.shift_remove("finalizers");
                }
            }
        }
        match version.parse() {
            Ok(version) => meta::set_resource_version(&mut object, version),
            Err(_none) => meta::clear_resource_version(&mut object),
        }
        Ok(Wanted { object, warnings: decoded.warnings.clone() })
    })
    .await
}

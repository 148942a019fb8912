//! `pods/log`: what the pod's kubelet has.

use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use http::Response;
use serde_json::Value;

use super::{Context, storage};
use crate::body::Body;

/// Parameters that are handed on to the kubelet.
const PARAMETERS: &[&str] = &[
    "follow",
    "limitBytes",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "stream",
    "tailLines",
    "timestamps",
];

/// Streams a container's log.
pub(crate) async fn log(ctx: &Context<'_>) -> Result<Response<Body>, Status> {
    let (namespace, name) = (&ctx.resource.namespace, &ctx.resource.name);
    let entry = ctx
        .api
        .store
        .get(&storage::core_key("pods", namespace, name))
        .ok_or_else(|| status::not_found(ctx.kind, name))?;
    let pod = storage::parsed(&entry);
    let container = container(&pod, ctx.info.query.non_empty("container"))?;
    let node = pod.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
    if node.is_empty() {
        return Err(status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let node = ctx
        .api
        .store
        .get(&storage::core_key("nodes", "", node))
        .map(|entry| storage::parsed(&entry))
        .ok_or_else(|| status::internal(&format!("node {node:?} of the pod not found")))?;
    let path = format!("/containerLogs/{namespace}/{name}/{container}?{}", parameters(ctx));
    ctx.api.kubelet.get(&node, &path, &ctx.api.stop).await
}

fn parameters(ctx: &Context<'_>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for parameter in PARAMETERS {
        if let Some(value) = ctx.info.query.get(parameter) {
            query.append_pair(parameter, value);
        }
    }
    query.finish()
}

/// The container that is meant: the one named, the one annotated as the default, or the only one.
fn container(pod: &Value, wanted: Option<&str>) -> Result<String, Status> {
    let names = |field: &str| -> Vec<&str> {
        let list = pod.pointer(&format!("/spec/{field}")).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|c| c.get("name").and_then(Value::as_str)).collect()
    };
    let name = meta::name(pod);
    let (containers, init) = (names("containers"), names("initContainers"));
    if let Some(wanted) = wanted {
        if containers.iter().chain(&init).any(|own| *own == wanted) {
            return Ok(wanted.to_owned());
        }
        return Err(status::bad_request(format!("container {wanted} is not valid for pod {name}")));
    }
    match containers.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] | [_, ..] => {
            let mut message = format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                containers.join(" ")
            );
            if !init.is_empty() {
                message = format!("{message} or one of the init containers: [{}]", init.join(" "));
            }
            Err(status::bad_request(message))
        }
    }
}

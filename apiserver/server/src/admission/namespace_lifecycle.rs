//! Nothing is created in a namespace that does not exist or is going; the namespaces that the
//! cluster lives in are not deleted.

use corten_api_k8s::kinds;
use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use serde_json::Value;

use super::{Operation, Plugin, Request};
use crate::rest::storage;

const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];

pub(super) const PLUGIN: Plugin = Plugin { name: "NamespaceLifecycle", admit };

fn admit(request: &Request<'_>, object: &mut Value, _: Option<&Value>) -> Result<(), Status> {
    match request.operation {
        Operation::Delete if request.is("", "namespaces") => {
            let name = meta::name(object);
            if IMMORTAL.contains(&name) {
                return Err(status::forbidden(
                    request.kind,
                    name,
                    "this namespace may not be deleted",
                ));
            }
            Ok(())
        }
        Operation::Create if request.kind.namespaced => in_namespace(request, object),
        Operation::Create | Operation::Update | Operation::Delete => Ok(()),
    }
}

fn in_namespace(request: &Request<'_>, object: &Value) -> Result<(), Status> {
    let name = request.namespace;
    let Some(entry) = request.api.store.get(&storage::core_key("namespaces", "", name)) else {
        let kind = kinds::by_gvk("", "v1", "Namespace").unwrap_or(request.kind);
        return Err(status::not_found(kind, name));
    };
    if meta::deletion_timestamp(&storage::parsed(&entry)).is_none() {
        return Ok(());
    }
    let why =
        format!("unable to create new content in namespace {name} because it is being terminated");
    let mut refusal = status::forbidden(request.kind, meta::name(object), &why);
    refusal.details.get_or_insert_default().causes.push(status::Cause {
        reason: "NamespaceTerminating".to_owned(),
        message: format!("namespace {name} is being terminated"),
        field: "metadata.namespace".to_owned(),
    });
    Err(refusal)
}

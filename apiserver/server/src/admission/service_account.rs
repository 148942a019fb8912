//! Pods run as a service account and find its token, the cluster's certificate and their namespace
//! under a well-known path.

use corten_api_k8s::field::go_quote;
use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use serde_json::{Value, json};

use super::{Operation, Plugin, Request};
use crate::rest::storage;

const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
/// One hour and seven seconds: kubelets renew in time, and the odd number marks these tokens.
const TOKEN_SECONDS: i64 = 3_607;
const MIRROR: &str = "kubernetes.io/config.mirror";

pub(super) const PLUGIN: Plugin = Plugin { name: "ServiceAccount", admit };

fn admit(request: &Request<'_>, pod: &mut Value, _: Option<&Value>) -> Result<(), Status> {
    if !request.creates_pod() || request.operation != Operation::Create {
        return Ok(());
    }
    // Mirror pods run already; they can have no token.
    if meta::annotation(pod, MIRROR).is_some() {
        return Ok(());
    }
    let named = pod.pointer("/spec/serviceAccountName").and_then(Value::as_str);
    let account_name = named.filter(|name| !name.is_empty()).unwrap_or("default").to_owned();
    let key = storage::core_key("serviceaccounts", request.namespace, &account_name);
    let Some(entry) = request.api.store.get(&key) else {
        let why = format!(
            "error looking up service account {}/{account_name}: serviceaccount {} not found",
            request.namespace,
            go_quote(&account_name)
        );
        return Err(status::forbidden(request.kind, meta::name(pod), &why));
    };
    let account = storage::parsed(&entry);
    pod["spec"]["serviceAccountName"] = json!(account_name);
    pod["spec"]["serviceAccount"] = json!(account_name);
    let wants = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_bool);
    let automount = wants(pod, "/spec/automountServiceAccountToken")
        .or_else(|| wants(&account, "/automountServiceAccountToken"))
        .unwrap_or(true);
    if automount {
        mount(pod);
    }
    let own = pod.pointer("/spec/imagePullSecrets").and_then(Value::as_array);
    if own.is_none_or(Vec::is_empty)
        && let Some(secrets) = account.get("imagePullSecrets")
    {
        pod["spec"]["imagePullSecrets"] = secrets.clone();
    }
    Ok(())
}

fn mount(pod: &mut Value) {
    let mut name = format!("{VOLUME_PREFIX}{}", suffix());
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
    let mut volumes = volumes.cloned().unwrap_or_default();
    let existing = volumes.iter().find_map(|volume| {
        let own = volume.get("name")?.as_str()?;
        own.starts_with(VOLUME_PREFIX).then(|| own.to_owned())
    });
    let is_new = existing.is_none();
    if let Some(existing) = existing {
        name = existing;
    }
    let mut mounted = false;
    for field in ["initContainers", "containers"] {
        let containers = pod.pointer_mut(&format!("/spec/{field}")).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            mounted |= mount_in(container, &name);
        }
    }
    if mounted && is_new {
        volumes.push(volume(&name));
        pod["spec"]["volumes"] = Value::Array(volumes);
    }
}

fn suffix() -> String {
    crate::rest::generate_name("")
}

/// Whether a mount was added: a container may bring its own.
fn mount_in(container: &mut Value, name: &str) -> bool {
    let mounts = container.get("volumeMounts").and_then(Value::as_array);
    let mut mounts = mounts.cloned().unwrap_or_default();
    let taken = |m: &Value| m.get("mountPath").and_then(Value::as_str) == Some(MOUNT_PATH);
    if mounts.iter().any(taken) {
        return false;
    }
    mounts.push(json!({ "name": name, "readOnly": true, "mountPath": MOUNT_PATH }));
    container["volumeMounts"] = Value::Array(mounts);
    true
}

fn volume(name: &str) -> Value {
    json!({
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                { "serviceAccountToken": { "expirationSeconds": TOKEN_SECONDS, "path": "token" } },
                { "configMap": {
                    "name": "kube-root-ca.crt",
                    "items": [{ "key": "ca.crt", "path": "ca.crt" }],
                }},
                { "downwardAPI": { "items": [{
                    "path": "namespace",
                    "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" },
                }]}},
            ],
        },
    })
}

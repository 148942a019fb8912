//! Defaults of pod specs.

use corten_api_k8s::quantity::Quantity;
use serde_json::{Value, json};

use crate::read::{self, Read, object, set_default};

const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];
/// 0644.
const FILE_MODE: i64 = 420;

/// Defaults of any pod spec, in a pod or a template.
pub(crate) fn default_spec(spec: &mut Value) {
    set_default(spec, "dnsPolicy", "ClusterFirst");
    set_default(spec, "restartPolicy", "Always");
    set_default(spec, "schedulerName", "default-scheduler");
    set_default(spec, "terminationGracePeriodSeconds", 30);
    object(spec, "securityContext");
    mirror_service_account(spec);
    for list in CONTAINER_LISTS {
        for container in read::items_mut(spec, list) {
            default_container(container);
        }
    }
    for volume in read::items_mut(spec, "volumes") {
        default_volume(volume);
    }
}

/// Defaults of a pod that templates do not have.
pub(crate) fn default_pod(spec: &mut Value) {
    default_spec(spec);
    set_default(spec, "enableServiceLinks", true);
    let host_network = spec.flag("/hostNetwork");
    for list in ["initContainers", "containers"] {
        for container in read::items_mut(spec, list) {
            requests_from_limits(container);
            for port in read::items_mut(container, "ports").filter(|_| host_network) {
                let number = port.int("/containerPort").unwrap_or_default();
                if port.int("/hostPort").unwrap_or_default() == 0 {
                    port["hostPort"] = number.into();
                }
            }
        }
    }
}

/// `serviceAccount` is the old name of `serviceAccountName`; both are always set alike.
pub(crate) fn mirror_service_account(spec: &mut Value) {
    let name = match spec.text("/serviceAccountName") {
        "" => spec.text("/serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if !name.is_empty() {
        spec["serviceAccountName"] = name.clone().into();
        spec["serviceAccount"] = name.into();
    }
}

fn requests_from_limits(container: &mut Value) {
    let limits = container.at("/resources/limits").clone();
    let Some(limits) = limits.as_object().filter(|l| !l.is_empty()) else { return };
    let requests = object(object(container, "resources"), "requests");
    for (name, limit) in limits {
        if requests.get(name).is_none() {
            requests[name] = limit.clone();
        }
    }
}

fn default_container(container: &mut Value) {
    let policy = match has_latest_tag(container.text("/image")) {
        true => "Always",
        false => "IfNotPresent",
    };
    set_default(container, "imagePullPolicy", policy);
    set_default(container, "terminationMessagePath", "/dev/termination-log");
    set_default(container, "terminationMessagePolicy", "File");
    object(container, "resources");
    for kind in ["limits", "requests"] {
        round_to_milli(&mut container["resources"], kind);
    }
    for port in read::items_mut(container, "ports") {
        set_default(port, "protocol", "TCP");
    }
    for variable in read::items_mut(container, "env") {
        if let Some(reference) = variable.pointer_mut("/valueFrom/fieldRef") {
            set_default(reference, "apiVersion", "v1");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe) {
            default_probe(probe);
        }
    }
    for hook in ["/lifecycle/postStart/httpGet", "/lifecycle/preStop/httpGet"] {
        if let Some(action) = container.pointer_mut(hook) {
            default_http(action);
        }
    }
}

fn default_probe(probe: &mut Value) {
    for (field, default) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        if probe.int(&format!("/{field}")).unwrap_or_default() == 0 {
            probe[field] = default.into();
        }
    }
    if let Some(action) = probe.get_mut("httpGet") {
        default_http(action);
    }
    if let Some(action) = probe.get_mut("grpc") {
        set_default(action, "service", "");
    }
}

fn default_http(action: &mut Value) {
    set_default(action, "path", "/");
    set_default(action, "scheme", "HTTP");
}

/// Amounts finer than a thousandth are rounded up.
fn round_to_milli(resources: &mut Value, kind: &str) {
    let Some(amounts) = resources.get_mut(kind).and_then(Value::as_object_mut) else { return };
    for amount in amounts.values_mut() {
        let quantity: Option<Quantity> = amount.as_str().and_then(|q| q.parse().ok());
        if let Some(quantity) = quantity.filter(|q| !q.is_milli()) {
            *amount = Quantity::from_milli(quantity.milli_value()).to_string().into();
        }
    }
}

/// An image without tag and digest means the tag `latest`.
pub(crate) fn has_latest_tag(image: &str) -> bool {
    let (name, digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    let last = name.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => !digest,
    }
}

fn default_volume(volume: &mut Value) {
    let has_source = volume.as_object().is_some_and(|v| v.keys().any(|k| k != "name"));
    if !has_source {
        volume["emptyDir"] = json!({});
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(source) {
            set_default(source, "defaultMode", FILE_MODE);
        }
    }
    if let Some(source) = volume.get_mut("hostPath") {
        set_default(source, "type", "");
    }
    if let Some(image) = volume.get_mut("image") {
        let policy =
            if has_latest_tag(image.text("/reference")) { "Always" } else { "IfNotPresent" };
        set_default(image, "pullPolicy", policy);
    }
    if let Some(source) = volume.get_mut("downwardAPI") {
        default_field_refs(source);
    }
    if let Some(projected) = volume.get_mut("projected") {
        for source in read::items_mut(projected, "sources") {
            if let Some(token) = source.get_mut("serviceAccountToken") {
                set_default(token, "expirationSeconds", 3600);
            }
            if let Some(downward) = source.get_mut("downwardAPI") {
                default_field_refs(downward);
            }
        }
    }
    if let Some(claim) = volume.pointer_mut("/ephemeral/volumeClaimTemplate/spec") {
        set_default(claim, "volumeMode", "Filesystem");
    }
}

fn default_field_refs(source: &mut Value) {
    for item in read::items_mut(source, "items") {
        if let Some(reference) = item.get_mut("fieldRef") {
            set_default(reference, "apiVersion", "v1");
        }
    }
}

//! The table: each field of the PodSpec schema, once. A rule that is not `Honoured` covers all
//! below its field.

use serde_json::Value;

use super::Rule::{self, ByValue, Elsewhere, Honoured, Refused, Warned};
use super::Verdict;

const NO_APPARMOR: &str = "AppArmor profiles are not supported";
const NO_CLAIMS: &str = "dynamic resource allocation is not supported";
const NO_SELINUX: &str = "SELinux is not supported; the pod runs without labels";
const NO_VOLUME: &str = "volumes of this kind are not supported";
const NOT_WINDOWS: &str = "it is for Windows nodes";

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn amounts(value: &Value) -> Option<Verdict> {
    let names: Vec<&str> = value.as_object()?.keys().map(String::as_str).collect();
    if names.iter().any(|n| !matches!(*n, "cpu" | "memory" | "ephemeral-storage")) {
        return Some(Verdict::Refused("only cpu, memory and ephemeral-storage can be given"));
    }
    names
        .contains(&"ephemeral-storage")
        .then_some(Verdict::Warned("the use of ephemeral storage is not limited"))
}

fn app_armor(value: &Value) -> Option<Verdict> {
    match text(value) {
        "" | "Unconfined" => None,
        "RuntimeDefault" => Some(Verdict::Warned("the pod runs without an AppArmor profile")),
        _ => Some(Verdict::Refused(NO_APPARMOR)),
    }
}

fn proc_mount(value: &Value) -> Option<Verdict> {
    let fine = matches!(text(value), "" | "Default");
    (!fine).then_some(Verdict::Refused("only Default is supported"))
}

fn recursive_read_only(value: &Value) -> Option<Verdict> {
    (text(value) == "Enabled").then_some(Verdict::Refused("the runtime cannot give it"))
}

fn host_users(value: &Value) -> Option<Verdict> {
    (value == &Value::Bool(false))
        .then_some(Verdict::Refused("user namespaces are not supported; leave it out or true"))
}

fn os_name(value: &Value) -> Option<Verdict> {
    let fine = matches!(text(value), "" | "linux");
    (!fine).then_some(Verdict::Refused("this is a Linux node"))
}

fn groups_policy(value: &Value) -> Option<Verdict> {
    (text(value) == "Strict").then_some(Verdict::Refused("only Merge is supported"))
}

fn init_restart_policy(value: &Value) -> Option<Verdict> {
    let fine = matches!(text(value), "" | "Always");
    (!fine).then_some(Verdict::Refused("only Always is supported"))
}

fn empty_dir(value: &Value) -> Option<Verdict> {
    let field = |name: &str| value.get(name).map_or("", text);
    match field("medium") {
        "Memory" => None,
        "" => (!field("sizeLimit").is_empty())
            .then_some(Verdict::Warned("the size of a volume on disk is not limited")),
        _ => Some(Verdict::Refused("only the default medium and Memory are supported")),
    }
}

#[rustfmt::skip]
pub(super) static TABLE: &[(&str, Rule)] = &[
    ("spec.activeDeadlineSeconds", Honoured),
    ("spec.affinity", Elsewhere), // scheduler
    ("spec.automountServiceAccountToken", Elsewhere), // API server
    ("spec.containers[].args", Honoured),
    ("spec.containers[].command", Honoured),
    ("spec.containers[].envFrom[].configMapRef.name", Honoured),
    ("spec.containers[].envFrom[].configMapRef.optional", Honoured),
    ("spec.containers[].envFrom[].prefix", Honoured),
    ("spec.containers[].envFrom[].secretRef.name", Honoured),
    ("spec.containers[].envFrom[].secretRef.optional", Honoured),
    ("spec.containers[].env[].name", Honoured),
    ("spec.containers[].env[].value", Honoured),
    ("spec.containers[].env[].valueFrom.configMapKeyRef.key", Honoured),
    ("spec.containers[].env[].valueFrom.configMapKeyRef.name", Honoured),
    ("spec.containers[].env[].valueFrom.configMapKeyRef.optional", Honoured),
    ("spec.containers[].env[].valueFrom.fieldRef.apiVersion", Honoured),
    ("spec.containers[].env[].valueFrom.fieldRef.fieldPath", Honoured),
    ("spec.containers[].env[].valueFrom.fileKeyRef", Refused("environment from files is not supported")),
    ("spec.containers[].env[].valueFrom.resourceFieldRef.containerName", Honoured),
    ("spec.containers[].env[].valueFrom.resourceFieldRef.divisor", Honoured),
    ("spec.containers[].env[].valueFrom.resourceFieldRef.resource", Honoured),
    ("spec.containers[].env[].valueFrom.secretKeyRef.key", Honoured),
    ("spec.containers[].env[].valueFrom.secretKeyRef.name", Honoured),
    ("spec.containers[].env[].valueFrom.secretKeyRef.optional", Honoured),
    ("spec.containers[].image", Honoured),
    ("spec.containers[].imagePullPolicy", Honoured),
    ("spec.containers[].lifecycle.postStart.exec.command", Honoured),
    ("spec.containers[].lifecycle.postStart.httpGet.host", Honoured),
    ("spec.containers[].lifecycle.postStart.httpGet.httpHeaders[].name", Honoured),
    ("spec.containers[].lifecycle.postStart.httpGet.httpHeaders[].value", Honoured),
    ("spec.containers[].lifecycle.postStart.httpGet.path", Honoured),
    ("spec.containers[].lifecycle.postStart.httpGet.port", Honoured),
    ("spec.containers[].lifecycle.postStart.httpGet.scheme", Honoured),
    ("spec.containers[].lifecycle.postStart.sleep.seconds", Honoured),
    ("spec.containers[].lifecycle.postStart.tcpSocket", Refused("no hook opens TCP connections; use exec or httpGet")),
    ("spec.containers[].lifecycle.preStop.exec.command", Honoured),
    ("spec.containers[].lifecycle.preStop.httpGet.host", Honoured),
    ("spec.containers[].lifecycle.preStop.httpGet.httpHeaders[].name", Honoured),
    ("spec.containers[].lifecycle.preStop.httpGet.httpHeaders[].value", Honoured),
    ("spec.containers[].lifecycle.preStop.httpGet.path", Honoured),
    ("spec.containers[].lifecycle.preStop.httpGet.port", Honoured),
    ("spec.containers[].lifecycle.preStop.httpGet.scheme", Honoured),
    ("spec.containers[].lifecycle.preStop.sleep.seconds", Honoured),
    ("spec.containers[].lifecycle.preStop.tcpSocket", Refused("no hook opens TCP connections; use exec or httpGet")),
    ("spec.containers[].lifecycle.stopSignal", Refused("the stop signal is the image's")),
    ("spec.containers[].livenessProbe.exec.command", Honoured),
    ("spec.containers[].livenessProbe.failureThreshold", Honoured),
    ("spec.containers[].livenessProbe.grpc", Refused("gRPC probes are not supported; use exec, httpGet or tcpSocket")),
    ("spec.containers[].livenessProbe.httpGet.host", Honoured),
    ("spec.containers[].livenessProbe.httpGet.httpHeaders[].name", Honoured),
    ("spec.containers[].livenessProbe.httpGet.httpHeaders[].value", Honoured),
    ("spec.containers[].livenessProbe.httpGet.path", Honoured),
    ("spec.containers[].livenessProbe.httpGet.port", Honoured),
    ("spec.containers[].livenessProbe.httpGet.scheme", Honoured),
    ("spec.containers[].livenessProbe.initialDelaySeconds", Honoured),
    ("spec.containers[].livenessProbe.periodSeconds", Honoured),
    ("spec.containers[].livenessProbe.successThreshold", Honoured),
    ("spec.containers[].livenessProbe.tcpSocket.host", Honoured),
    ("spec.containers[].livenessProbe.tcpSocket.port", Honoured),
    ("spec.containers[].livenessProbe.terminationGracePeriodSeconds", Honoured),
    ("spec.containers[].livenessProbe.timeoutSeconds", Honoured),
    ("spec.containers[].name", Honoured),
    ("spec.containers[].ports[].containerPort", Honoured),
    ("spec.containers[].ports[].hostIP", Honoured),
    ("spec.containers[].ports[].hostPort", Honoured),
    ("spec.containers[].ports[].name", Honoured),
    ("spec.containers[].ports[].protocol", Honoured),
    ("spec.containers[].readinessProbe.exec.command", Honoured),
    ("spec.containers[].readinessProbe.failureThreshold", Honoured),
    ("spec.containers[].readinessProbe.grpc", Refused("gRPC probes are not supported; use exec, httpGet or tcpSocket")),
    ("spec.containers[].readinessProbe.httpGet.host", Honoured),
    ("spec.containers[].readinessProbe.httpGet.httpHeaders[].name", Honoured),
    ("spec.containers[].readinessProbe.httpGet.httpHeaders[].value", Honoured),
    ("spec.containers[].readinessProbe.httpGet.path", Honoured),
    ("spec.containers[].readinessProbe.httpGet.port", Honoured),
    ("spec.containers[].readinessProbe.httpGet.scheme", Honoured),
    ("spec.containers[].readinessProbe.initialDelaySeconds", Honoured),
    ("spec.containers[].readinessProbe.periodSeconds", Honoured),
    ("spec.containers[].readinessProbe.successThreshold", Honoured),
    ("spec.containers[].readinessProbe.tcpSocket.host", Honoured),
    ("spec.containers[].readinessProbe.tcpSocket.port", Honoured),
    ("spec.containers[].readinessProbe.terminationGracePeriodSeconds", Honoured),
    ("spec.containers[].readinessProbe.timeoutSeconds", Honoured),
    ("spec.containers[].resizePolicy", Elsewhere), // resize subresource
    ("spec.containers[].resources.claims", Refused(NO_CLAIMS)),
    ("spec.containers[].resources.limits", ByValue(amounts)),
    ("spec.containers[].resources.requests", ByValue(amounts)),
    ("spec.containers[].restartPolicy", Refused("restart policies of single containers are not supported")),
    ("spec.containers[].restartPolicyRules", Refused("restart rules are not supported")),
    ("spec.containers[].securityContext.allowPrivilegeEscalation", Honoured),
    ("spec.containers[].securityContext.appArmorProfile.localhostProfile", Refused(NO_APPARMOR)),
    ("spec.containers[].securityContext.appArmorProfile.type", ByValue(app_armor)),
    ("spec.containers[].securityContext.capabilities.add", Honoured),
    ("spec.containers[].securityContext.capabilities.drop", Honoured),
    ("spec.containers[].securityContext.privileged", Honoured),
    ("spec.containers[].securityContext.procMount", ByValue(proc_mount)),
    ("spec.containers[].securityContext.readOnlyRootFilesystem", Honoured),
    ("spec.containers[].securityContext.runAsGroup", Honoured),
    ("spec.containers[].securityContext.runAsNonRoot", Honoured),
    ("spec.containers[].securityContext.runAsUser", Honoured),
    ("spec.containers[].securityContext.seLinuxOptions", Warned(NO_SELINUX)),
    ("spec.containers[].securityContext.seccompProfile.localhostProfile", Honoured),
    ("spec.containers[].securityContext.seccompProfile.type", Honoured),
    ("spec.containers[].securityContext.windowsOptions", Warned(NOT_WINDOWS)),
    ("spec.containers[].startupProbe.exec.command", Honoured),
    ("spec.containers[].startupProbe.failureThreshold", Honoured),
    ("spec.containers[].startupProbe.grpc", Refused("gRPC probes are not supported; use exec, httpGet or tcpSocket")),
    ("spec.containers[].startupProbe.httpGet.host", Honoured),
    ("spec.containers[].startupProbe.httpGet.httpHeaders[].name", Honoured),
    ("spec.containers[].startupProbe.httpGet.httpHeaders[].value", Honoured),
    ("spec.containers[].startupProbe.httpGet.path", Honoured),
    ("spec.containers[].startupProbe.httpGet.port", Honoured),
    ("spec.containers[].startupProbe.httpGet.scheme", Honoured),
    ("spec.containers[].startupProbe.initialDelaySeconds", Honoured),
    ("spec.containers[].startupProbe.periodSeconds", Honoured),
    ("spec.containers[].startupProbe.successThreshold", Honoured),
    ("spec.containers[].startupProbe.tcpSocket.host", Honoured),
    ("spec.containers[].startupProbe.tcpSocket.port", Honoured),
    ("spec.containers[].startupProbe.terminationGracePeriodSeconds", Honoured),
    ("spec.containers[].startupProbe.timeoutSeconds", Honoured),
    ("spec.containers[].stdin", Honoured),
    ("spec.containers[].stdinOnce", Honoured),
    ("spec.containers[].terminationMessagePath", Honoured),
    ("spec.containers[].terminationMessagePolicy", Honoured),
    ("spec.containers[].tty", Honoured),
    ("spec.containers[].volumeDevices", Refused("raw block volumes are not supported")),
    ("spec.containers[].volumeMounts[].mountPath", Honoured),
    ("spec.containers[].volumeMounts[].mountPropagation", Honoured),
    ("spec.containers[].volumeMounts[].name", Honoured),
    ("spec.containers[].volumeMounts[].readOnly", Honoured),
    ("spec.containers[].volumeMounts[].recursiveReadOnly", ByValue(recursive_read_only)),
    ("spec.containers[].volumeMounts[].subPath", Honoured),
    ("spec.containers[].volumeMounts[].subPathExpr", Honoured),
    ("spec.containers[].workingDir", Honoured),
    ("spec.dnsConfig.nameservers", Honoured),
    ("spec.dnsConfig.options[].name", Honoured),
    ("spec.dnsConfig.options[].value", Honoured),
    ("spec.dnsConfig.searches", Honoured),
    ("spec.dnsPolicy", Honoured),
    ("spec.enableServiceLinks", Honoured),
    ("spec.ephemeralContainers", Refused("ephemeral containers are not supported")),
    ("spec.hostAliases[].hostnames", Honoured),
    ("spec.hostAliases[].ip", Honoured),
    ("spec.hostIPC", Honoured),
    ("spec.hostNetwork", Honoured),
    ("spec.hostPID", Honoured),
    ("spec.hostUsers", ByValue(host_users)),
    ("spec.hostname", Honoured),
    ("spec.hostnameOverride", Refused("use hostname and subdomain")),
    ("spec.imagePullSecrets[].name", Honoured),
    ("spec.initContainers[].restartPolicy", ByValue(init_restart_policy)),
    ("spec.nodeName", Honoured),
    ("spec.nodeSelector", Elsewhere), // scheduler
    ("spec.os.name", ByValue(os_name)),
    ("spec.overhead", Refused("RuntimeClasses are not supported")),
    ("spec.preemptionPolicy", Elsewhere), // scheduler
    ("spec.priority", Honoured),
    ("spec.priorityClassName", Elsewhere), // API server
    ("spec.readinessGates[].conditionType", Honoured),
    ("spec.resourceClaims", Refused(NO_CLAIMS)),
    ("spec.resources", Refused("pod-level resources are not supported; give them per container")),
    ("spec.restartPolicy", Honoured),
    ("spec.runtimeClassName", Refused("RuntimeClasses are not supported")),
    ("spec.schedulerName", Elsewhere), // scheduler
    ("spec.schedulingGates", Elsewhere), // scheduler
    ("spec.schedulingGroup", Elsewhere), // scheduler
    ("spec.securityContext.appArmorProfile.localhostProfile", Refused(NO_APPARMOR)),
    ("spec.securityContext.appArmorProfile.type", ByValue(app_armor)),
    ("spec.securityContext.fsGroup", Honoured),
    ("spec.securityContext.fsGroupChangePolicy", Honoured),
    ("spec.securityContext.runAsGroup", Honoured),
    ("spec.securityContext.runAsNonRoot", Honoured),
    ("spec.securityContext.runAsUser", Honoured),
    ("spec.securityContext.seLinuxChangePolicy", Warned(NO_SELINUX)),
    ("spec.securityContext.seLinuxOptions", Warned(NO_SELINUX)),
    ("spec.securityContext.seccompProfile.localhostProfile", Honoured),
    ("spec.securityContext.seccompProfile.type", Honoured),
    ("spec.securityContext.supplementalGroups", Honoured),
    ("spec.securityContext.supplementalGroupsPolicy", ByValue(groups_policy)),
    ("spec.securityContext.sysctls[].name", Honoured),
    ("spec.securityContext.sysctls[].value", Honoured),
    ("spec.securityContext.windowsOptions", Warned(NOT_WINDOWS)),
    ("spec.serviceAccount", Honoured),
    ("spec.serviceAccountName", Honoured),
    ("spec.setHostnameAsFQDN", Honoured),
    ("spec.shareProcessNamespace", Honoured),
    ("spec.subdomain", Honoured),
    ("spec.terminationGracePeriodSeconds", Honoured),
    ("spec.tolerations", Elsewhere), // scheduler
    ("spec.topologySpreadConstraints", Elsewhere), // scheduler
    ("spec.volumes[].awsElasticBlockStore", Refused(NO_VOLUME)),
    ("spec.volumes[].azureDisk", Refused(NO_VOLUME)),
    ("spec.volumes[].azureFile", Refused(NO_VOLUME)),
    ("spec.volumes[].cephfs", Refused(NO_VOLUME)),
    ("spec.volumes[].cinder", Refused(NO_VOLUME)),
    ("spec.volumes[].configMap.defaultMode", Honoured),
    ("spec.volumes[].configMap.items[].key", Honoured),
    ("spec.volumes[].configMap.items[].mode", Honoured),
    ("spec.volumes[].configMap.items[].path", Honoured),
    ("spec.volumes[].configMap.name", Honoured),
    ("spec.volumes[].configMap.optional", Honoured),
    ("spec.volumes[].csi", Refused(NO_VOLUME)),
    ("spec.volumes[].downwardAPI.defaultMode", Honoured),
    ("spec.volumes[].downwardAPI.items[].fieldRef.apiVersion", Honoured),
    ("spec.volumes[].downwardAPI.items[].fieldRef.fieldPath", Honoured),
    ("spec.volumes[].downwardAPI.items[].mode", Honoured),
    ("spec.volumes[].downwardAPI.items[].path", Honoured),
    ("spec.volumes[].downwardAPI.items[].resourceFieldRef.containerName", Honoured),
    ("spec.volumes[].downwardAPI.items[].resourceFieldRef.divisor", Honoured),
    ("spec.volumes[].downwardAPI.items[].resourceFieldRef.resource", Honoured),
    ("spec.volumes[].emptyDir", ByValue(empty_dir)),
    ("spec.volumes[].emptyDir.medium", Honoured),
    ("spec.volumes[].emptyDir.sizeLimit", Honoured),
    ("spec.volumes[].ephemeral", Refused(NO_VOLUME)),
    ("spec.volumes[].fc", Refused(NO_VOLUME)),
    ("spec.volumes[].flexVolume", Refused(NO_VOLUME)),
    ("spec.volumes[].flocker", Refused(NO_VOLUME)),
    ("spec.volumes[].gcePersistentDisk", Refused(NO_VOLUME)),
    ("spec.volumes[].gitRepo", Refused(NO_VOLUME)),
    ("spec.volumes[].glusterfs", Refused(NO_VOLUME)),
    ("spec.volumes[].hostPath.path", Honoured),
    ("spec.volumes[].hostPath.type", Honoured),
    ("spec.volumes[].image", Refused(NO_VOLUME)),
    ("spec.volumes[].iscsi", Refused(NO_VOLUME)),
    ("spec.volumes[].name", Honoured),
    ("spec.volumes[].nfs", Refused(NO_VOLUME)),
    ("spec.volumes[].persistentVolumeClaim", Refused(NO_VOLUME)),
    ("spec.volumes[].photonPersistentDisk", Refused(NO_VOLUME)),
    ("spec.volumes[].portworxVolume", Refused(NO_VOLUME)),
    ("spec.volumes[].projected.defaultMode", Honoured),
    ("spec.volumes[].projected.sources[].clusterTrustBundle", Refused("cluster trust bundles are not supported")),
    ("spec.volumes[].projected.sources[].configMap.items[].key", Honoured),
    ("spec.volumes[].projected.sources[].configMap.items[].mode", Honoured),
    ("spec.volumes[].projected.sources[].configMap.items[].path", Honoured),
    ("spec.volumes[].projected.sources[].configMap.name", Honoured),
    ("spec.volumes[].projected.sources[].configMap.optional", Honoured),
    ("spec.volumes[].projected.sources[].downwardAPI.items[].fieldRef.apiVersion", Honoured),
    ("spec.volumes[].projected.sources[].downwardAPI.items[].fieldRef.fieldPath", Honoured),
    ("spec.volumes[].projected.sources[].downwardAPI.items[].mode", Honoured),
    ("spec.volumes[].projected.sources[].downwardAPI.items[].path", Honoured),
    ("spec.volumes[].projected.sources[].downwardAPI.items[].resourceFieldRef.containerName", Honoured),
    ("spec.volumes[].projected.sources[].downwardAPI.items[].resourceFieldRef.divisor", Honoured),
    ("spec.volumes[].projected.sources[].downwardAPI.items[].resourceFieldRef.resource", Honoured),
    ("spec.volumes[].projected.sources[].podCertificate", Refused("pod certificates are not supported")),
    ("spec.volumes[].projected.sources[].secret.items[].key", Honoured),
    ("spec.volumes[].projected.sources[].secret.items[].mode", Honoured),
    ("spec.volumes[].projected.sources[].secret.items[].path", Honoured),
    ("spec.volumes[].projected.sources[].secret.name", Honoured),
    ("spec.volumes[].projected.sources[].secret.optional", Honoured),
    ("spec.volumes[].projected.sources[].serviceAccountToken.audience", Honoured),
    ("spec.volumes[].projected.sources[].serviceAccountToken.expirationSeconds", Honoured),
    ("spec.volumes[].projected.sources[].serviceAccountToken.path", Honoured),
    ("spec.volumes[].quobyte", Refused(NO_VOLUME)),
    ("spec.volumes[].rbd", Refused(NO_VOLUME)),
    ("spec.volumes[].scaleIO", Refused(NO_VOLUME)),
    ("spec.volumes[].secret.defaultMode", Honoured),
    ("spec.volumes[].secret.items[].key", Honoured),
    ("spec.volumes[].secret.items[].mode", Honoured),
    ("spec.volumes[].secret.items[].path", Honoured),
    ("spec.volumes[].secret.optional", Honoured),
    ("spec.volumes[].secret.secretName", Honoured),
    ("spec.volumes[].storageos", Refused(NO_VOLUME)),
    ("spec.volumes[].vsphereVolume", Refused(NO_VOLUME)),
];

//! Wrong input is named, with its place and what would be right.

use anyhow::{Result, ensure};
use corten_tests_e2e::{Kubectl, with_cluster};

use crate::needs_kubectl;

/// Manifests and what kubectl says of them, word for word as with upstream's server. What varies
/// or is long is left out at the end.
const MANIFESTS: &[(&str, &str)] = &[
    ("apiVersion: v1\nkind: [Pod\n", "error: error parsing STDIN: error converting YAML to JSON"),
    (
        "{apiVersion: example.com/v1, kind: Widget, metadata: {name: a}}",
        "error: resource mapping not found for name: \"a\" namespace: \"\" from \"STDIN\": no matches for \
         kind \"Widget\" in version \"example.com/v1\"\nensure CRDs are installed first",
    ),
    (
        "{apiVersion: apps/v2, kind: Deployment, metadata: {name: a}}",
        "error: resource mapping not found for name: \"a\" namespace: \"\" from \"STDIN\": no matches for \
         kind \"Deployment\" in version \"apps/v2\"",
    ),
    (
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, dta: {}}",
        "Error from server (BadRequest): error when creating \"STDIN\": ConfigMap in version \"v1\" cannot \
         be handled as a ConfigMap: strict decoding error: unknown field \"dta\"",
    ),
    (
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: many}}",
        "Error from server (BadRequest): error when creating \"STDIN\": Deployment in version \"v1\" cannot \
         be handled as a Deployment: json: cannot unmarshal string into Go struct field \
         DeploymentSpec.spec.replicas of type int32",
    ),
    (
        "{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {a: '***'}}",
        "Error from server (BadRequest): error when creating \"STDIN\": Secret in version \"v1\" cannot be \
         handled as a Secret: illegal base64 data at input byte 0",
    ),
    (
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: absent}}",
        "Error from server (NotFound): error when creating \"STDIN\": namespaces \"absent\" not found",
    ),
    (
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: A_b}}",
        "The ConfigMap \"A_b\" is invalid: metadata.name: Invalid value: \"A_b\": a lowercase RFC 1123 \
         subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end \
         with an alphanumeric character",
    ),
    (
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {x: a b}}}",
        "The ConfigMap \"a\" is invalid: metadata.labels: Invalid value: \"a b\": a valid label must be an \
         empty string or consist of alphanumeric characters, '-', '_' or '.'",
    ),
    (
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {a b: x}}}",
        "The ConfigMap \"a\" is invalid: metadata.labels: Invalid value: \"a b\": name part must consist of \
         alphanumeric characters",
    ),
    (
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a b: c}}",
        "The ConfigMap \"a\" is invalid: data[a b]: Invalid value: \"a b\": a valid config key must consist \
         of alphanumeric characters, '-', '_' or '.'",
    ),
    (
        "{apiVersion: v1, kind: Secret, metadata: {name: a}, type: kubernetes.io/tls}",
        "The Secret \"a\" is invalid: \n* data[tls.crt]: Required value\n* data[tls.key]: Required value",
    ),
    (
        "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {selector: {a: b}}}",
        "The Service \"a\" is invalid: spec.ports: Required value",
    ),
    (
        "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 70000}]}}",
        "The Service \"a\" is invalid: \n* spec.ports[0].port: Invalid value: 70000: must be between 1 and \
         65535, inclusive\n* spec.ports[0].targetPort: Invalid value: 70000: must be between 1 and 65535",
    ),
    (
        "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: 1.2.3.4, ports: [{port: 80}]}}",
        "The Service \"a\" is invalid: spec.clusterIPs: Invalid value: [\"1.2.3.4\"]: failed to allocate IP \
         1.2.3.4: the provided network does not match the current range",
    ),
    (
        "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: NodePort, ports: [{port: 80, \
         nodePort: 80}]}}",
        "The Service \"a\" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in \
         the valid range. The range of valid ports is 30000-32767",
    ),
    (
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {selector: {matchLabels: {a: \
         b}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: a, image: i}]}}}}",
        "The Deployment \"a\" is invalid: spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: \
         `selector` does not match template `labels`",
    ),
    (
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {template: {metadata: {labels: \
         {a: c}}, spec: {containers: [{name: a, image: i}]}}}}",
        "The Deployment \"a\" is invalid: \n* spec.selector: Required value\n* \
         spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does not match template \
         `labels`",
    ),
    (
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: -1, selector: \
         {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, \
         image: i}]}}}}",
        "The Deployment \"a\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal \
         to 0",
    ),
    (
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: a}, roleRef: \
         {apiGroup: rbac.authorization.k8s.io, kind: Rule, name: a}}",
        "The RoleBinding \"a\" is invalid: roleRef.kind: Unsupported value: \"Rule\": supported values: \
         \"Role\", \"ClusterRole\"",
    ),
];

/// Specs of a pod with one container, into which the first is put; and what is said of the field.
const PODS: &[(&str, &str)] = &[
    ("", "spec.containers[0].image: Required value"),
    (
        "image: i, resources: {limits: {memory: 1Mi}, requests: {memory: 2Mi}}",
        "spec.containers[0].resources.requests: Invalid value: \"2Mi\": must be less than or equal to \
         memory limit of 1Mi",
    ),
    (
        "image: i, ports: [{containerPort: 70000}]",
        "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, \
         inclusive",
    ),
    (
        "image: i, imagePullPolicy: Maybe",
        "spec.containers[0].imagePullPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \
         \"IfNotPresent\", \"Never\"",
    ),
    (
        "image: i, volumeMounts: [{name: v, mountPath: /a}]",
        "spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
    ),
    (
        "image: i, livenessProbe: {}",
        "spec.containers[0].livenessProbe: Required value: must specify a handler type",
    ),
    (
        "image: i, env: [{name: a=b}]",
        "spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name must \
         consist only of printable ASCII characters other than '='",
    ),
    ("image: i}, {name: a, image: i", "spec.containers[1].name: Duplicate value: \"a\""),
    (
        "image: i}], restartPolicy: Maybe, initContainers: [{name: b, image: i",
        "spec.restartPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"OnFailure\", \
         \"Never\"",
    ),
];

fn refuses(kubectl: &Kubectl, manifest: &str, wanted: &str) -> Result<()> {
    // What begins with a brace is JSON to kubectl.
    let said = kubectl.refused(&["create", "-f", "-"], Some(&format!("---\n{manifest}")))?;
    ensure!(said.starts_with(wanted), "{manifest}\nsaid   {said}\nwanted {wanted}");
    Ok(())
}

#[test]
fn wrong_manifests_get_upstreams_words() {
    needs_kubectl!();
    with_cluster(|cluster| {
        let kubectl = Kubectl::new(cluster.kubeconfig())?;
        for (manifest, wanted) in MANIFESTS {
            refuses(&kubectl, manifest, wanted)?;
        }
        for (container, wanted) in PODS {
            let manifest = format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{containers: [{{name: a, \
                 {container}}}]}}}}"
            );
            refuses(&kubectl, &manifest, &format!("The Pod \"a\" is invalid: {wanted}"))?;
        }
        let long = "a".repeat(254);
        refuses(
            &kubectl,
            &format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {long}}}}}"),
            &format!(
                "The ConfigMap \"{long}\" is invalid: metadata.name: Invalid value: \"{long}\": must be no \
                 more than 253 bytes"
            ),
        )
    });
}

/// Commands on a Deployment `d`, a Service `s` and a Pod `p`, and what is said of them.
const COMMANDS: &[(&str, &str)] = &[
    (
        "create deployment d --image=i",
        "error: failed to create deployment: deployments.apps \"d\" already exists",
    ),
    ("delete configmap absent", "Error from server (NotFound): configmaps \"absent\" not found"),
    (
        "patch configmap absent -p {}",
        "Error from server (NotFound): configmaps \"absent\" not found",
    ),
    (
        "patch deployment d -p {\"metadata\":{\"resourceVersion\":\"1\"}}",
        "Error from server (Conflict): Operation cannot be fulfilled on deployments.apps \"d\": the object \
         has been modified; please apply your changes to the latest version and try again",
    ),
    (
        "patch deployment d --type=merge -p \
         {\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"e\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"e\"}}}}}",
        "The Deployment \"d\" is invalid: spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"e\"}}: \
         field is immutable",
    ),
    (
        "patch service s -p {\"spec\":{\"clusterIP\":\"10.43.0.99\"}}",
        "The Service \"s\" is invalid: spec.clusterIPs[0]: Invalid value: [\"10.43.0.99\"]: may not change \
         once set",
    ),
    (
        "patch pod p -p {\"spec\":{\"restartPolicy\":\"Never\"}}",
        "The Pod \"p\" is invalid: spec: Forbidden: pod updates may not change fields other than \
         `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`",
    ),
    (
        "delete namespace default",
        "Error from server (Forbidden): namespaces \"default\" is forbidden: this namespace may not be \
         deleted",
    ),
    (
        "get pods --field-selector=spec.nope=1",
        "Error from server (BadRequest): Unable to find \"/v1, Resource=pods\" that match label selector \
         \"\", field selector \"spec.nope=1\": field label not supported: spec.nope",
    ),
    (
        "get pods --as=jane",
        "Error from server (Forbidden): pods is forbidden: User \"jane\" cannot list resource \"pods\" in \
         API group \"\" in the namespace \"default\"",
    ),
];

#[test]
fn wrong_commands_get_upstreams_words() {
    needs_kubectl!();
    with_cluster(|cluster| {
        let kubectl = Kubectl::new(cluster.kubeconfig())?;
        kubectl.run(&["create", "deployment", "d", "--image=i", "--replicas=0"])?;
        kubectl.run(&["create", "service", "clusterip", "s", "--tcp=80"])?;
        kubectl.run(&["run", "p", "--image=127.0.0.1:1/none:1"])?;
        for (line, wanted) in COMMANDS {
            let arguments: Vec<&str> = line.split(' ').collect();
            let said = kubectl.refused(&arguments, None)?;
            ensure!(said.starts_with(wanted), "{line}\nsaid   {said}\nwanted {wanted}");
        }
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("big");
        let create = format!("--from-file={}", file.display());
        for (bytes, wanted) in [
            (
                1_100_000,
                "ConfigMap \"big\" is invalid: []: Too long: may not be more than 1048576 bytes",
            ),
            (4_000_000, "Request entity too large: limit is 3145728"),
        ] {
            std::fs::write(&file, "a".repeat(bytes))?;
            let said = kubectl.refused(&["create", "configmap", "big", &create], None)?;
            ensure!(said.starts_with("error: failed to create configmap: "), "{said}");
            ensure!(said.trim_end().ends_with(wanted), "{said}");
        }
        let warned = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: w}, dta: {}}";
        let output = kubectl.output(&["create", "--validate=warn", "-f", "-"], Some(warned))?;
        ensure!(String::from_utf8(output.stderr)? == "Warning: unknown field \"dta\"\n");
        ensure!(output.status.success());
        Ok(())
    });
}

#[test]
fn a_missing_image_is_told_in_the_pods_status() {
    needs_kubectl!();
    with_cluster(|cluster| {
        let kubectl = Kubectl::new(cluster.kubeconfig())?;
        let image = "127.0.0.1:1/missing:1";
        kubectl.run(&["run", "missing", "--image", image])?;
        cluster.eventually("the reason is shown", 30, || {
            let shown = kubectl.run(&["get", "pod", "missing"])?;
            Ok((shown.contains("ErrImagePull") || shown.contains("ImagePullBackOff")).then_some(()))
        })?;
        let described = kubectl.run(&["describe", "pod", "missing"])?;
        ensure!(described.contains(image), "{described}");
        Ok(())
    });
}

#[test]
fn a_wrong_setting_is_named_with_its_line() {
    crate::needs_cluster!();
    with_cluster(|cluster| {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("config.yaml");
        for (text, wanted) in [
            ("apiserver:\n  prot: 1\n", "line 2"),
            ("kubelet: {maxPods: many}\n", "kubelet.maxPods"),
            ("dataDir: here\n", "dataDir"),
        ] {
            std::fs::write(&path, text)?;
            let said = refused(cluster, &["--config", &path.to_string_lossy(), "check"])?;
            ensure!(said.contains(wanted) && said.contains("config.yaml"), "{said}");
        }
        let said = refused(cluster, &["--config", &path.to_string_lossy(), "--wrong"])?;
        ensure!(said.contains("--wrong"), "{said}");
        // The port is taken, and so is the machine.
        let said = refused(cluster, &["server"])?;
        let wanted = format!("runs already, as process {}", cluster.server_pid()?);
        ensure!(said.contains(&wanted), "{said}");
        Ok(())
    });
}

fn refused(cluster: &corten_tests_e2e::Cluster, arguments: &[&str]) -> Result<String> {
    let output = cluster.command(arguments).output()?;
    ensure!(!output.status.success(), "corten {} succeeded", arguments.join(" "));
    Ok(String::from_utf8(output.stderr)?)
}

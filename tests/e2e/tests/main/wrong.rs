//! Wrong input is named, with its place and what would be right.

use anyhow::{Result, ensure};
use corten_tests_e2e::{Kubectl, with_cluster};

use crate::needs_kubectl;

/// Each with what the answer must name.
const MANIFESTS: &[(&str, &str, &[&str])] = &[
    ("malformed YAML", "apiVersion: v1\nkind: [Pod\n", &["yaml"]),
    (
        "an unknown field",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, dta: {}}",
        &["unknown field", "dta"],
    ),
    (
        "a wrong type",
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: many}}",
        &["replicas"],
    ),
    (
        "an impossible quantity",
        "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: a, image: b, \
         resources: {limits: {memory: lots}}}]}}",
        &["quantit"],
    ),
    (
        "a name that is none",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: Not_A_Name}}",
        &["metadata.name", "RFC 1123"],
    ),
    (
        "a selector that does not fit",
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {selector: {matchLabels: \
         {a: b}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: a, image: b}]}}}}",
        &["spec.template.metadata.labels", "`selector` does not match template `labels`"],
    ),
];

#[test]
fn wrong_manifests_are_refused_by_name() {
    needs_kubectl!();
    with_cluster(|cluster| {
        let kubectl = Kubectl::new(cluster.kubeconfig())?;
        for (what, manifest, wanted) in MANIFESTS {
            // What begins with a brace is JSON to kubectl.
            let manifest = format!("---\n{manifest}");
            let said = kubectl.refused(&["apply", "-f", "-"], Some(&manifest))?;
            let lower = said.to_lowercase();
            for word in *wanted {
                ensure!(lower.contains(&word.to_lowercase()), "{what}: {said}");
            }
        }
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
        ensure!(said.contains("runs already"), "{said}");
        Ok(())
    });
}

fn refused(cluster: &corten_tests_e2e::Cluster, arguments: &[&str]) -> Result<String> {
    let output = cluster.command(arguments).output()?;
    ensure!(!output.status.success(), "corten {} succeeded", arguments.join(" "));
    Ok(String::from_utf8(output.stderr)?)
}

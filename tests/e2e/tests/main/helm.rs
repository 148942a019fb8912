//! The real helm, with a chart of the test's own.

use std::path::Path;

use anyhow::{Result, ensure};
use corten_tests_e2e::{Helm, Kubectl, with_cluster};

const CHART: &str = "apiVersion: v2\nname: demo\nversion: 0.1.0\n";
const VALUES: &str = "colour: red\n";
const TEMPLATES: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}-web"}
spec:
  selector: {matchLabels: {app: "{{ .Release.Name }}"}}
  template:
    metadata: {labels: {app: "{{ .Release.Name }}"}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: corten.local/web:1
        envFrom:
        - configMapRef: {name: "{{ .Release.Name }}-settings"}
        - secretRef: {name: "{{ .Release.Name }}-secret"}
---
apiVersion: v1
kind: Service
metadata: {name: "{{ .Release.Name }}-web"}
spec: {selector: {app: "{{ .Release.Name }}"}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-settings"}
data: {COLOUR: "{{ .Values.colour }}"}
---
apiVersion: v1
kind: Secret
metadata: {name: "{{ .Release.Name }}-secret"}
stringData: {PASSWORD: hidden}
"#;

fn write_chart(folder: &Path) -> Result<()> {
    std::fs::create_dir(folder.join("templates"))?;
    std::fs::write(folder.join("Chart.yaml"), CHART)?;
    std::fs::write(folder.join("values.yaml"), VALUES)?;
    std::fs::write(folder.join("templates/all.yaml"), TEMPLATES)?;
    Ok(())
}

#[test]
fn a_release_lives_its_life_under_helm() {
    crate::needs_kubectl!();
    corten_tests_harness::skip_unless!(Helm::is_installed(), "helm is not installed");
    with_cluster(|cluster| {
        let chart = tempfile::tempdir()?;
        write_chart(chart.path())?;
        let chart = chart.path().to_string_lossy();
        let helm = Helm::new(cluster.kubeconfig())?;
        let kubectl = Kubectl::new(cluster.kubeconfig())?;
        let colour =
            || kubectl.run(&["get", "configmap", "one-settings", "-o", "jsonpath={.data.COLOUR}"]);
        // The server has no server-side apply, which helm 4 would use for a new release.
        let how = ["--server-side=false", "--wait", "--timeout=60s"];
        helm.run(&[&["install", "one", &chart], &how[..]].concat())?;
        ensure!(colour()? == "red");
        ensure!(helm.run(&["list"])?.contains("deployed"));
        helm.run(&[&["upgrade", "one", &chart, "--set=colour=blue"], &how[..]].concat())?;
        ensure!(colour()? == "blue");
        helm.run(&[&["rollback", "one", "1"], &how[..]].concat())?;
        ensure!(colour()? == "red");
        let history = helm.run(&["history", "one"])?;
        ensure!(history.contains("Rollback to 1"), "{history}");
        let status = helm.run(&["status", "one"])?;
        ensure!(status.contains("REVISION: 3"), "{status}");
        helm.run(&["uninstall", "one", "--wait", "--timeout=60s"])?;
        let left = kubectl.run(&["get", "deployments,configmaps,secrets", "-o", "name"])?;
        ensure!(!left.contains("one"), "{left}");
        Ok(())
    });
}

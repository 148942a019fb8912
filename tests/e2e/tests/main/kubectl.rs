//! kubectl's verbs, as people type them.

#[path = "kubectl/access.rs"]
mod access;
#[path = "kubectl/tour.rs"]
mod tour;

use std::process::Stdio;

use anyhow::ensure;
use corten_tests_e2e::{Kubectl, with_cluster};

use crate::manifests::{service, web};
use crate::needs_kubectl;

#[test]
fn a_deployment_lives_its_life_under_kubectl() {
    needs_kubectl!();
    with_cluster(|cluster| {
        let kubectl = Kubectl::new(cluster.kubeconfig())?;
        let objects = format!("{}\n{}\n", web(2), service());
        let apply = ["apply", "-f", "-"];
        let first = kubectl.feed(&apply, Some(&objects))?;
        ensure!(first.contains("deployment.apps/web created"), "{first}");
        let again = kubectl.feed(&apply, Some(&objects))?;
        ensure!(again.lines().all(|line| line.ends_with("unchanged")), "{again}");

        kubectl.run(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
        kubectl.run(&["wait", "--for=condition=Available", "deployment/web", "--timeout=60s"])?;
        let table = kubectl.run(&["get", "deployment,replicaset,pod,service", "-o", "wide"])?;
        ensure!(table.contains("2/2") && table.contains("80:30081/TCP"), "{table}");

        kubectl.run(&["scale", "deployment/web", "--replicas=3"])?;
        kubectl.run(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
        kubectl.run(&["set", "env", "deployment/web", "COLOUR=red"])?;
        kubectl.run(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
        let history = kubectl.run(&["rollout", "history", "deployment/web"])?;
        ensure!(
            history.lines().filter(|line| line.starts_with(['1', '2'])).count() == 2,
            "{history}"
        );
        kubectl.run(&["rollout", "undo", "deployment/web"])?;
        kubectl.run(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
        let template =
            ["get", "deployment/web", "-o", "jsonpath={.spec.template.spec.containers[0].env}"];
        let environment = kubectl.run(&template)?;
        ensure!(environment.is_empty(), "{environment}");

        let described = kubectl.run(&["describe", "deployment/web"])?;
        ensure!(described.contains("ScalingReplicaSet"), "{described}");
        let logs = kubectl.run(&["logs", "deployment/web"])?;
        ensure!(logs.contains("serves on port 8080"), "{logs}");

        let edited = kubectl
            .command(&["edit", "deployment/web"])
            .env("KUBE_EDITOR", "sed -i s/replicas:.3/replicas:\\ 1/")
            .output()?;
        let said = String::from_utf8_lossy(&edited.stdout).into_owned();
        ensure!(edited.status.success() && said.contains("edited"), "{said}");
        kubectl.run(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
        kubectl.run(&["delete", "deployment/web", "service/web", "--timeout=60s"])?;
        cluster.eventually("its pods are gone", 30, || {
            let left = kubectl.run(&["get", "pods,replicasets", "-o", "name"])?;
            Ok(left.trim().is_empty().then_some(()))
        })
    });
}

#[test]
fn what_corten_applied_kubectl_applies_further() {
    needs_kubectl!();
    with_cluster(|cluster| {
        let kubectl = Kubectl::new(cluster.kubeconfig())?;
        let folder = tempfile::tempdir()?;
        let [deployment, service] = [("web.json", web(1)), ("service.json", service())]
            .map(|(name, object)| (folder.path().join(name), object.to_string()));
        std::fs::write(&deployment.0, deployment.1)?;
        std::fs::write(&service.0, service.1)?;
        let [deployment, service] = [deployment.0.to_string_lossy(), service.0.to_string_lossy()];
        let made = cluster.corten(&["apply", &deployment, &service])?;
        ensure!(made.lines().all(|line| line.ends_with("created")), "{made}");
        let output = kubectl.command(&["apply", "-f", &deployment, "-f", &service]).output()?;
        let [said, warned] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
        ensure!(output.status.success() && warned.is_empty(), "{warned}");
        let unchanged = said.lines().filter(|line| line.ends_with("unchanged")).count();
        ensure!(unchanged == 2, "{said}");
        let more = kubectl.feed(&["apply", "-f", "-"], Some(&web(2).to_string()))?;
        ensure!(more.contains("deployment.apps/web configured"), "{more}");
        let again = cluster.corten(&["apply", &deployment])?;
        ensure!(again.contains("deployment/web configured"), "{again}");
        Ok(())
    });
}

#[test]
fn questions_about_the_cluster_are_answered() {
    needs_kubectl!();
    with_cluster(|cluster| {
        let kubectl = Kubectl::new(cluster.kubeconfig())?;
        let resources = kubectl.run(&["api-resources"])?;
        for name in ["deployments", "leases", "clusterrolebindings", "endpointslices"] {
            ensure!(resources.contains(name), "{name}: {resources}");
        }
        ensure!(kubectl.run(&["auth", "can-i", "delete", "nodes"])?.trim() == "yes");
        let token = kubectl.run(&["create", "token", "default"])?;
        let other = std::process::Command::new("kubectl")
            .args(["--kubeconfig=/dev/null", "--server=https://127.0.0.1:6443"])
            .args(["--insecure-skip-tls-verify", "--token", token.trim()])
            .args(["auth", "can-i", "delete", "nodes"])
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&other.stdout).into_owned();
        ensure!(said.trim() == "no", "{said} {}", String::from_utf8_lossy(&other.stderr));
        ensure!(kubectl.run(&["explain", "deployment.spec.replicas"])?.contains("replicas"));
        let nodes = kubectl.run(&["get", "nodes"])?;
        ensure!(nodes.contains("node-1") && nodes.contains(" Ready "), "{nodes}");
        kubectl.run(&["describe", "node", "node-1"])?;
        kubectl.run(&["create", "namespace", "other"])?;
        kubectl.run(&["create", "configmap", "a", "--from-literal=k=v", "-n", "other"])?;
        kubectl.run(&["delete", "namespace", "other", "--timeout=60s"])?;
        let absent = kubectl.refused(&["get", "pod", "absent"], None)?;
        ensure!(absent.contains(r#"pods "absent" not found"#), "{absent}");
        Ok(())
    });
}

#[test]
fn a_watch_and_a_log_are_followed() {
    needs_kubectl!();
    with_cluster(|cluster| {
        let kubectl = Kubectl::new(cluster.kubeconfig())?;
        let mut watch = kubectl
            .command(&["get", "configmaps", "-w", "-o", "name"])
            .stdout(Stdio::piped())
            .spawn()?;
        cluster.eventually("the watch shows what is made", 20, || {
            kubectl.output(&["create", "configmap", "seen"], None)?;
            Ok(Some(()))
        })?;
        kubectl.run(&[
            "run",
            "talker",
            "--image=corten.local/web:1",
            "--restart=Never",
            "--",
            "echo",
            "hello",
        ])?;
        let log = cluster.eventually("the log is there", 30, || {
            let log = kubectl.run(&["logs", "-f", "talker"])?;
            Ok(log.contains("hello").then_some(log))
        })?;
        ensure!(log == "hello\n", "{log:?}");
        watch.kill()?;
        let output = watch.wait_with_output()?;
        let seen = String::from_utf8(output.stdout)?;
        ensure!(seen.contains("configmap/seen"), "{seen}");
        Ok(())
    });
}

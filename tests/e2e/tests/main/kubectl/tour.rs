//! The commands that people type all day.

use anyhow::{Result, ensure};
use corten_tests_e2e::{Cluster, Kubectl, with_cluster};

use crate::manifests::web;
use crate::needs_kubectl;

const IMAGE: &str = "--image=corten.local/web:1";

/// Runs a line of arguments and looks for a text in what kubectl prints.
fn says(kubectl: &Kubectl, line: &str, wanted: &str) -> Result<()> {
    let arguments: Vec<&str> = line.split(' ').collect();
    let said = kubectl.run(&arguments)?;
    ensure!(said.contains(wanted), "kubectl {line}: no {wanted:?} in {said}");
    Ok(())
}

fn all_say(kubectl: &Kubectl, table: &[(&str, &str)]) -> Result<()> {
    table.iter().try_for_each(|(line, wanted)| says(kubectl, line, wanted))
}

#[test]
fn every_generator_makes_its_object() {
    needs_kubectl!();
    with_cluster(|cluster| {
        let kubectl = Kubectl::new(cluster.kubeconfig())?;
        all_say(
            &kubectl,
            &[
                ("create namespace other", "namespace/other created"),
                ("create configmap c --from-literal=k=v", "configmap/c created"),
                ("create secret generic s --from-literal=k=v", "secret/s created"),
                (
                    "create secret docker-registry r --docker-username=u --docker-password=p",
                    "secret/r created",
                ),
                ("create serviceaccount a", "serviceaccount/a created"),
                ("create service clusterip one --tcp=80:8080", "service/one created"),
                ("create service nodeport two --tcp=80:8080", "service/two created"),
                ("create role reads --verb=get,list --resource=pods", "reads created"),
                ("create rolebinding reads --role=reads --serviceaccount=default:a", "created"),
                ("create clusterrole nodes --verb=get --resource=nodes", "nodes created"),
                ("create clusterrolebinding nodes --clusterrole=nodes --user=jane", "created"),
                ("create deployment d --replicas=0 --image=i", "deployment.apps/d created"),
                ("create token a", "."),
                ("describe configmap c", "k:"),
                ("describe secret s", "1 bytes"),
                ("describe serviceaccount a", "Name:"),
                ("describe service two", "NodePort:"),
                ("describe role reads", "[get list]"),
                ("describe rolebinding reads", "ServiceAccount  a"),
                ("describe clusterrole nodes", "nodes"),
                ("describe clusterrolebinding nodes", "jane"),
                ("describe deployment d", "0 desired"),
                ("describe namespace other", "Active"),
                ("describe endpointslice kubernetes", "6443"),
                ("describe lease node-1 -n kube-node-lease", "Holder Identity:         node-1"),
            ],
        )
    });
}

/// The demo Deployment, ready.
fn deployed(cluster: &Cluster) -> Result<Kubectl> {
    let kubectl = Kubectl::new(cluster.kubeconfig())?;
    kubectl.feed(&["apply", "-f", "-"], Some(&web(2).to_string()))?;
    kubectl.run(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
    Ok(kubectl)
}

#[test]
fn objects_are_shown_in_every_form() {
    needs_kubectl!();
    with_cluster(|cluster| {
        let kubectl = deployed(cluster)?;
        all_say(
            &kubectl,
            &[
                ("get all", "deployment.apps/web"),
                ("get pods -A --sort-by=.metadata.name", "default"),
                ("get pods -l app=web --show-labels", "app=web,pod-template-hash="),
                ("get pods --field-selector=status.phase=Running", "1/1"),
                ("get pods --field-selector=status.phase=Failed -o name", ""),
                ("get deployment web -o yaml", "replicas: 2"),
                ("get deployment web -o json", "\"replicas\": 2"),
                ("get deployment web -o jsonpath={.spec.replicas}", "2"),
                ("get deployment web -o custom-columns=R:.spec.replicas", "R\n2"),
                ("get --raw /readyz", "ok"),
                ("api-versions", "apps/v1"),
                ("cluster-info", "is running at"),
                ("version", "Server Version: v1."),
                ("explain pod.spec.containers.ports", "containerPort"),
                ("events --for deployment/web", "ScalingReplicaSet"),
                ("logs -l app=web --prefix --tail=1", "[pod/web-"),
                ("logs deployment/web --all-containers --timestamps --since=1h", "Z web-"),
                ("wait --for=condition=Ready pod -l app=web --timeout=30s", "condition met"),
                ("wait --for=jsonpath={.spec.replicas}=2 deployment/web", "condition met"),
                ("describe pod -l app=web", "Successfully assigned default/web-"),
                ("describe node node-1", "KubeletReady"),
            ],
        )?;
        let pages = kubectl.run(&["get", "pods", "--chunk-size=1", "-o", "name"])?;
        ensure!(pages.lines().count() == 2, "{pages}");
        let previous = kubectl.refused(&["logs", "deployment/web", "--previous"], None)?;
        ensure!(previous.contains("previous terminated container \"web\""), "{previous}");
        let metrics = kubectl.refused(&["top", "nodes"], None)?;
        ensure!(metrics.contains("Metrics API not available"), "{metrics}");
        let nothing = kubectl.refused(&["explain", "nonesuch"], None)?;
        ensure!(nothing.contains("the server doesn't have a resource type"), "{nothing}");
        Ok(())
    });
}

#[test]
fn objects_are_changed_in_every_way() {
    needs_kubectl!();
    with_cluster(|cluster| {
        let kubectl = deployed(cluster)?;
        all_say(
            &kubectl,
            &[
                ("label deployment web tier=front", "labeled"),
                ("label deployment web tier-", "unlabeled"),
                ("annotate deployment web note=x", "annotated"),
                ("set resources deployment/web --limits=cpu=100m,memory=64Mi", "updated"),
                ("set serviceaccount deployment/web default", "updated"),
                ("rollout pause deployment/web", "paused"),
                ("rollout resume deployment/web", "resumed"),
                ("rollout restart deployment/web", "restarted"),
                ("rollout undo deployment/web --to-revision=1", "rolled back"),
                ("rollout status deployment/web --timeout=60s", "successfully rolled out"),
                ("rollout history deployment/web --revision=2", "Limits"),
                ("expose deployment web --name=front --port=80 --target-port=8080", "exposed"),
                ("patch deployment web -p {\"spec\":{\"replicas\":1}}", "patched"),
                ("patch deployment web --type=merge -p {\"spec\":{\"replicas\":2}}", "patched"),
                (
                    "patch deployment web --type=json -p \
                     [{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":1}]",
                    "patched",
                ),
                (
                    "patch deployment web --subresource=scale --type=merge -p \
                     {\"spec\":{\"replicas\":2}}",
                    "patched",
                ),
                ("get deployment web -o jsonpath={.spec.replicas}", "2"),
                ("taint node node-1 a=b:PreferNoSchedule", "tainted"),
                ("taint node node-1 a-", "untainted"),
                ("drain node-1 --ignore-daemonsets --force --timeout=60s", "drained"),
                ("uncordon node-1", "uncordoned"),
                ("rollout status deployment/web --timeout=60s", "successfully rolled out"),
                ("delete deployment web --cascade=orphan", "deleted"),
                ("get replicasets -l app=web -o name", "replicaset.apps/web-"),
                ("delete replicasets --all --cascade=foreground --timeout=60s", "deleted"),
                ("delete service front --cascade=background", "deleted"),
            ],
        )?;
        kubectl.run(&["run", "one", IMAGE, "--labels=x=y"])?;
        kubectl.run(&["delete", "pods", "-l", "x=y", "--grace-period=0", "--force"])?;
        let manifest = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {k: v}}";
        let diff = kubectl.output(&["diff", "-f", "-"], Some(manifest))?;
        ensure!(diff.status.code() == Some(1), "a difference is exit code 1");
        ensure!(String::from_utf8_lossy(&diff.stdout).contains("+  k: v"));
        for (arguments, wanted) in [
            (&["create", "--save-config", "-f", "-"][..], "created"),
            (&["diff", "-f", "-"], ""),
            (&["apply", "--dry-run=server", "-f", "-"], "unchanged (server dry run)"),
            (&["replace", "-f", "-"], "replaced"),
            (&["replace", "--force", "-f", "-"], "replaced"),
        ] {
            let said = kubectl.feed(arguments, Some(manifest))?;
            ensure!(said.contains(wanted), "{arguments:?}: {said}");
        }
        Ok(())
    });
}

#[test]
fn the_service_of_the_api_comes_back_when_it_is_deleted() {
    needs_kubectl!();
    with_cluster(|cluster| {
        let kubectl = Kubectl::new(cluster.kubeconfig())?;
        let uid = ["get", "service", "kubernetes", "-o", "jsonpath={.metadata.uid}"];
        let before = kubectl.run(&uid)?;
        kubectl.run(&["delete", "service", "kubernetes"])?;
        cluster.eventually("it is there again", 30, || {
            let after = kubectl.run(&uid)?;
            Ok((after != before).then_some(()))
        })
    });
}

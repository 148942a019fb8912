//! Who may what: `auth`, `--as`, RBAC's kinds.

use anyhow::{Result, ensure};
use corten_tests_e2e::{Kubectl, with_cluster};

use crate::needs_kubectl;

const ROLES: &str = "---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: default}
rules:
- {apiGroups: [''], resources: [pods, pods/log], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: jane-reads, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: jane}
";

/// The answer of `auth can-i`, which is also an exit code.
fn can_i(kubectl: &Kubectl, question: &[&str]) -> Result<String> {
    let arguments = [&["auth", "can-i"], question].concat();
    let output = kubectl.output(&arguments, None)?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[test]
fn one_acts_as_somebody_else_and_has_their_rights() {
    needs_kubectl!();
    with_cluster(|cluster| {
        let kubectl = Kubectl::new(cluster.kubeconfig())?;
        let made = kubectl.feed(&["auth", "reconcile", "-f", "-"], Some(ROLES))?;
        ensure!(made.contains("reader reconciled") && made.contains("jane-reads reconciled"));
        for (question, answer) in [
            (&["list", "pods", "--as=jane"][..], "yes"),
            (&["get", "pods/log", "--as=jane"], "yes"),
            (&["delete", "pods", "--as=jane"], "no"),
            (&["list", "pods", "--as=jane", "-n", "kube-system"], "no"),
            (&["delete", "nodes", "--as=jane", "--as-group=system:masters"], "yes"),
            (&["list", "pods", "--as=system:serviceaccount:default:default"], "no"),
        ] {
            ensure!(can_i(&kubectl, question)? == answer, "{question:?} is not {answer}");
        }
        let list = kubectl.run(&["auth", "can-i", "--list", "--as=jane"])?;
        ensure!(list.lines().any(|line| line.starts_with("pods/log")), "{list}");
        let me = ["auth", "whoami", "-o", "jsonpath={.status.userInfo}"];
        let me = kubectl.run(&[&me[..], &["--as=jane", "--as-group=a", "--as-uid=7"]].concat())?;
        for part in [r#""username":"jane""#, r#""a""#, "system:authenticated", r#""uid":"7""#] {
            ensure!(me.contains(part), "{part}: {me}");
        }
        let refused = kubectl.refused(&["get", "secrets", "--as=jane"], None)?;
        ensure!(
            refused.trim()
                == "Error from server (Forbidden): secrets is forbidden: User \"jane\" cannot list \
                    resource \"secrets\" in API group \"\" in the namespace \"default\"",
            "{refused}"
        );
        Ok(())
    });
}

//! A pod's `/etc/hosts`.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::PodSpec;

/// The file's content. A pod in the host's network gets the host's file; both get the pod's own
/// aliases.
pub(crate) fn content(
    spec: &PodSpec,
    ips: &[String],
    hostname: &str,
    domain: &str,
    host: &str,
) -> String {
    let mut out = String::from("# Kubernetes-managed hosts file");
    if spec.host_network == Some(true) {
        out.push_str(" (host network).\n");
        out.push_str(host);
        if !host.ends_with('\n') {
            out.push('\n');
        }
    } else {
        out.push_str(
            ".\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\n\
             fe00::2\tip6-allrouters\n",
        );
        for ip in ips {
            let line = if domain.is_empty() {
                format!("{ip}\t{hostname}")
            } else {
                format!("{ip}\t{hostname}.{domain}\t{hostname}")
            };
            out.push_str(&line);
            out.push('\n');
        }
    }
    let aliases: Vec<_> = spec.host_aliases.iter().flatten().collect();
    if !aliases.is_empty() {
        out.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        // Writing to a String cannot fail.
        writeln!(out, "{}\t{names}", alias.ip).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_finds_itself_and_its_aliases() {
        let spec: PodSpec = serde_json::from_value(serde_json::json!({
            "containers": [], "hostAliases": [{"ip": "192.0.2.7", "hostnames": ["a", "b"]}]
        }))
        .unwrap();
        expect_test::expect![[r#"
            # Kubernetes-managed hosts file.
            127.0.0.1	localhost
            ::1	localhost ip6-localhost ip6-loopback
            fe00::0	ip6-localnet
            fe00::0	ip6-mcastprefix
            fe00::1	ip6-allnodes
            fe00::2	ip6-allrouters
            10.42.0.5	web-0.web.ns.svc.cluster.local	web-0

            # Entries added by HostAliases.
            192.0.2.7	a	b
        "#]]
        .assert_eq(&content(
            &spec,
            &["10.42.0.5".to_owned()],
            "web-0",
            "web.ns.svc.cluster.local",
            "",
        ));
    }
}

//! What a pod's `/etc/resolv.conf` says.

use std::net::IpAddr;

use corten_api_cri::v1;
use k8s_openapi::api::core::v1::PodSpec;

/// The resolver's own limits, as Kubernetes has them.
const SERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;

/// The host's resolver configuration, read into its parts.
pub(crate) fn parse(resolv_conf: &str) -> v1::DnsConfig {
    let mut config = v1::DnsConfig::default();
    for line in resolv_conf.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => config.servers.extend(words.next().map(str::to_owned)),
            // The last one counts (resolv.conf(5)).
            Some("search") => config.searches = words.map(str::to_owned).collect(),
            Some("options") => config.options = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    config
}

/// The configuration of a pod, by its `dnsPolicy` and `dnsConfig`. The second value is a message
/// for an event where the policy cannot be met.
pub(crate) fn config(
    spec: &PodSpec,
    namespace: &str,
    cluster_dns: &[IpAddr],
    domain: &str,
    host: &v1::DnsConfig,
) -> (v1::DnsConfig, Option<String>) {
    let host_network = spec.host_network == Some(true);
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let mut warning = None;
    let cluster_first = match policy {
        "ClusterFirst" => !host_network,
        "ClusterFirstWithHostNet" => true,
        _ => false,
    };
    let mut config = if policy == "None" {
        v1::DnsConfig::default()
    } else if cluster_first && !cluster_dns.is_empty() {
        let mut searches =
            vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()];
        searches.extend(host.searches.iter().cloned());
        v1::DnsConfig {
            servers: cluster_dns.iter().map(IpAddr::to_string).collect(),
            searches,
            options: vec!["ndots:5".to_owned()],
        }
    } else {
        if cluster_first {
            warning = Some(format!(
                "kubelet does not have ClusterDNS IP configured and cannot create Pod using \
                 \"{policy}\" policy. Falling back to \"Default\" policy."
            ));
        }
        host.clone()
    };
    if let Some(own) = &spec.dns_config {
        config.servers.extend(own.nameservers.iter().flatten().cloned());
        config.searches.extend(own.searches.iter().flatten().cloned());
        for option in own.options.iter().flatten() {
            let Some(name) = option.name.as_deref() else { continue };
            config.options.retain(|o| o.split(':').next() != Some(name));
            config.options.push(match option.value.as_deref().filter(|v| !v.is_empty()) {
                Some(value) => format!("{name}:{value}"),
                None => name.to_owned(),
            });
        }
    }
    dedup(&mut config.servers);
    dedup(&mut config.searches);
    if config.servers.len() > SERVERS_MAX || config.searches.len() > SEARCHES_MAX {
        config.servers.truncate(SERVERS_MAX);
        config.searches.truncate(SEARCHES_MAX);
        warning = Some(format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied \
             nameserver line is: {}",
            config.servers.join(" ")
        ));
    }
    (config, warning)
}

fn dedup(list: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    list.retain(|item| seen.insert(item.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(spec: serde_json::Value) -> String {
        let mut spec = spec;
        spec["containers"] = serde_json::json!([]);
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let host = parse("search example.org # x\nnameserver 192.0.2.53\noptions timeout:1\n");
        let dns = [IpAddr::from([10, 43, 0, 10])];
        let (config, _) = config(&spec, "ns", &dns, "cluster.local", &host);
        format!("{:?} {:?} {:?}", config.servers, config.searches, config.options)
    }

    #[test]
    fn policies() {
        let check = |spec, expected: expect_test::Expect| expected.assert_eq(&made(spec));
        check(
            serde_json::json!({}),
            expect_test::expect![[
                r#"["10.43.0.10"] ["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.org"] ["ndots:5"]"#
            ]],
        );
        check(
            serde_json::json!({"hostNetwork": true}),
            expect_test::expect![[r#"["192.0.2.53"] ["example.org"] ["timeout:1"]"#]],
        );
        check(
            serde_json::json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"],
                "searches": ["a"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}}),
            expect_test::expect![[r#"["192.0.2.1"] ["a"] ["ndots:2", "edns0"]"#]],
        );
        check(
            serde_json::json!({"dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}}),
            expect_test::expect![[
                r#"["10.43.0.10"] ["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.org"] ["ndots:1"]"#
            ]],
        );
    }
}

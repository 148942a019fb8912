//! `/etc/resolv.conf` and `/etc/hostname` of a sandbox's containers.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use corten_api_cri::v1::DnsConfig;

/// Writes them; the folder is made if it is not there. Blocks.
pub(super) fn write(dir: &Path, dns: Option<&DnsConfig>, hostname: &str) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o711).create(dir)?;
    let resolv = match dns {
        Some(dns) => resolv_conf(dns),
        // Nothing said: the node's own, as resolv.conf(5) has it.
        None => match fs::read("/etc/resolv.conf") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        },
    };
    put(&dir.join("resolv.conf"), &resolv)?;
    put(&dir.join("hostname"), format!("{hostname}\n").as_bytes())
}

/// Containers run as anyone, so anyone may read.
fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    fs::write(path, content)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

fn resolv_conf(dns: &DnsConfig) -> Vec<u8> {
    let mut text = String::new();
    if !dns.searches.is_empty() {
        text.push_str(&format!("search {}\n", dns.searches.join(" ")));
    }
    for server in &dns.servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if !dns.options.is_empty() {
        text.push_str(&format!("options {}\n", dns.options.join(" ")));
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pod_asks_of_name_resolution() {
        let dir = tempfile::tempdir().unwrap();
        let dns = DnsConfig {
            servers: vec!["10.43.0.10".to_owned()],
            searches: vec!["default.svc.cluster.local".to_owned(), "cluster.local".to_owned()],
            options: vec!["ndots:5".to_owned()],
        };
        write(dir.path(), Some(&dns), "web-0").unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        expect_test::expect![[r#"
            search default.svc.cluster.local cluster.local
            nameserver 10.43.0.10
            options ndots:5
        "#]]
        .assert_eq(&read("resolv.conf"));
        assert_eq!(read("hostname"), "web-0\n");
        write(dir.path(), Some(&DnsConfig::default()), "web-0").unwrap();
        assert_eq!(read("resolv.conf"), "");
    }
}

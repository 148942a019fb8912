//! Which sysctls belong to a pod's namespaces.

use crate::fault::invalid;
use crate::protocol::{Fault, Namespaces, PodNamespace};

/// The path below `/proc/sys`, of a name as sysctl(8) takes it: `net.ipv4.ip_forward` or, where a
/// part has dots in it, `net/ipv4/conf/eth0.1/forwarding`.
pub(crate) fn path(name: &str, namespaces: Namespaces) -> Result<String, Fault> {
    let refused = |message: &str| invalid("check sysctl", name, message);
    let path = match name.find(['.', '/']) {
        Some(at) if name.as_bytes()[at] == b'.' => name
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        Some(_) => name.to_owned(),
        None => return Err(refused("is not the name of a sysctl")),
    };
    let sane = |part: &str| !part.is_empty() && part != "." && part != "..";
    if path.len() > 255 || path.contains(['\0', '\n']) || !path.split('/').all(sane) {
        return Err(refused("is not the name of a sysctl"));
    }
    let needs = |namespace, kind: &str| match namespace {
        PodNamespace::Pod => Ok(path.clone()),
        PodNamespace::Host => Err(refused(&format!("needs a {kind} namespace of the pod's own"))),
    };
    if path.starts_with("net/") {
        return needs(namespaces.net, "net");
    }
    if matches!(&*path, "kernel/domainname" | "kernel/hostname") {
        return needs(namespaces.uts, "uts");
    }
    let ipc = ["kernel/shm", "kernel/msg", "fs/mqueue/"];
    if path == "kernel/sem" || ipc.iter().any(|start| path.starts_with(start)) {
        return needs(namespaces.ipc, "ipc");
    }
    Err(refused("is not namespaced: it would change the whole host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths() {
        let own = Namespaces::default();
        for (name, expected) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("kernel.shmmax", "kernel/shmmax"),
            ("fs.mqueue.msg_max", "fs/mqueue/msg_max"),
            ("kernel.sem", "kernel/sem"),
        ] {
            assert_eq!(path(name, own).unwrap(), expected);
        }
    }

    #[test]
    fn the_hosts_sysctls_are_out_of_reach() {
        let own = Namespaces::default();
        for name in [
            "kernel.core_pattern",
            "vm.swappiness",
            "net",
            "",
            "net..x",
            "net/../kernel/core_pattern",
            "kernel.shm/../core_pattern",
            "/net/x",
            "fs.file-max",
            "kernel.semx",
        ] {
            path(name, own).unwrap_err();
        }
        let host = Namespaces { net: PodNamespace::Host, ..own };
        let fault = path("net.ipv4.ip_forward", host).unwrap_err();
        assert!(fault.message.contains("net namespace"), "{fault}");
    }
}

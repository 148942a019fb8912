//! Settings of the kernel that the rules need.

use std::io::{ErrorKind, Write as _};

use crate::Error;

/// Has the node forward packets, and bridges show theirs to the rules.
pub(crate) fn prepare(ipv6: bool) -> Result<(), Error> {
    set("ipv4/ip_forward", "1")?;
    if ipv6 {
        // Only where it is needed: a host that forwards no longer listens to routers.
        set("ipv6/conf/all/forwarding", "1")?;
    }
    // Two pods of one bridge speak to each other without coming by the rules, so that the answer
    // from a Service's endpoint would keep the endpoint's address.
    for setting in ["bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"] {
        match set(setting, "1") {
            Err(Error::Setting { path, source, .. }) if source.kind() == ErrorKind::NotFound => {
                tracing::warn!(
                    path,
                    "the kernel module br_netfilter is not loaded: pods cannot reach Services \
                     whose endpoints are on the same node"
                );
                break;
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

fn set(setting: &str, value: &'static str) -> Result<(), Error> {
    let path = format!("/proc/sys/net/{setting}");
    let written = || -> std::io::Result<()> {
        // Writing takes a lock of the whole network: not for nothing.
        if std::fs::read_to_string(&path)?.trim_end() == value {
            return Ok(());
        }
        std::fs::OpenOptions::new().write(true).open(&path)?.write_all(value.as_bytes())
    };
    written().map_err(|source| Error::Setting { path: path.clone(), value, source })
}

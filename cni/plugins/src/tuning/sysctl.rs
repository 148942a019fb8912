//! Sysctls of the calling thread's network namespace.

use std::path::{Path, PathBuf};

use corten_cni_types::{CniError, codes};

/// What stands for the interface's name in a key.
const PLACEHOLDER: &str = "IFNAME";

/// The file of a key such as `net.ipv4.conf.IFNAME.arp_filter`. Keys may be written with slashes;
/// only the network's are allowed.
pub(super) fn path(key: &str, ifname: &str) -> Result<PathBuf, CniError> {
    let parts: Vec<_> = key.split(['.', '/']).collect();
    // An empty part would be what is left of "..".
    if parts.first() != Some(&"net") || parts.len() < 2 || parts.iter().any(|it| it.is_empty()) {
        let msg = format!("sysctl {key:?} is not one of the network's: it must begin with net.");
        return Err(CniError::new(codes::INVALID_CONFIG, msg));
    }
    let mut path = PathBuf::from("/proc/sys");
    let named = parts.iter().map(|&part| if part == PLACEHOLDER { ifname } else { part });
    path.extend(named);
    Ok(path)
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> CniError {
    CniError::caused(codes::IO, format!("cannot {what} {}", path.display()), error)
}

pub(super) fn write(key: &str, ifname: &str, value: &str) -> Result<(), CniError> {
    use std::io::Write as _;
    let path = path(key, ifname)?;
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|error| failed(&format!("write {value:?} to"), &path, &error))
}

pub(super) fn read(key: &str, ifname: &str) -> Result<String, CniError> {
    let path = path(key, ifname)?;
    std::fs::read_to_string(&path)
        .map(|text| text.trim_end_matches('\n').to_owned())
        .map_err(|error| failed("read", &path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_networks() {
        let found = path("net.ipv4.conf.IFNAME.arp_filter", "eth0.5").unwrap();
        assert_eq!(found, Path::new("/proc/sys/net/ipv4/conf/eth0.5/arp_filter"));
        assert_eq!(
            path("net/core/somaxconn", "eth0").unwrap(),
            Path::new("/proc/sys/net/core/somaxconn")
        );
        for bad in ["kernel.x", "net", "net..kernel.x", "net/../kernel/x", "/net/x", "", "net."] {
            assert_eq!(path(bad, "eth0").unwrap_err().code, codes::INVALID_CONFIG, "{bad}");
        }
    }
}

//! Making a machine ready to be a node.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A machine can't be made ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A sysctl can't be set.
    #[error("set {path} to {value}", path = path.display())]
    Sysctl {
        /// Its file.
        path: PathBuf,
        /// The value.
        value: &'static str,
        /// The reason.
        #[source]
        source: io::Error,
    },
}

/// Modules that the kernel does not load by itself when they are first used.
const MODULES: [&str; 1] = ["br_netfilter"];

/// The sysctls that packets between pods need, and whether a kernel may lack them.
const SYSCTLS: [(&str, &str, bool); 3] = [
    ("/proc/sys/net/ipv4/ip_forward", "1", false),
    ("/proc/sys/net/bridge/bridge-nf-call-iptables", "1", true),
    ("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "1", true),
];

/// Loads modules and sets sysctls. Returns what it could not do but a node can live without, each
/// a sentence for the log.
///
/// # Errors
/// [`PrepareError`] when a sysctl that a node needs can't be set.
pub fn prepare() -> Result<Vec<String>, PrepareError> {
    let mut warnings = Vec::new();
    for module in MODULES {
        if Path::new("/sys/module").join(module).exists() || builtin(module) {
            continue;
        }
        // The kernel itself runs the same program when it wants a module.
        let outcome = Command::new("/sbin/modprobe")
            .arg(module)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match outcome {
            Ok(status) if status.success() => {}
            Ok(status) => warnings.push(format!("modprobe {module}: {status}")),
            Err(error) => warnings.push(format!("modprobe {module}: {error}")),
        }
    }
    for (path, value, optional) in SYSCTLS {
        let path = Path::new(path);
        if fs::read_to_string(path).is_ok_and(|now| now.trim() == value) {
            continue;
        }
        match fs::write(path, value) {
            Ok(()) => {}
            Err(source) if optional => {
                warnings.push(format!("set {} to {value}: {source}", path.display()));
            }
            Err(source) => {
                return Err(PrepareError::Sysctl { path: path.to_owned(), value, source });
            }
        }
    }
    Ok(warnings)
}

/// Built in without parameters, a module has no folder in /sys/module; its sysctls tell.
fn builtin(module: &str) -> bool {
    module == "br_netfilter" && Path::new("/proc/sys/net/bridge").exists()
}

//! What a node needs of its machine.

use std::fs;
use std::path::Path;

/// What was found out about one need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is needed.
    pub need: &'static str,
    /// What is there.
    pub found: String,
    /// Whether that will do.
    pub verdict: Verdict,
}

/// Whether a need is met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Met,
    /// A node runs, but something it offers does not.
    Limited {
        /// What does not work.
        consequence: String,
        /// How to mend it.
        fix: String,
    },
    /// No node runs without it.
    Missing {
        /// How to get it.
        fix: String,
    },
}

/// The oldest kernel with everything that containers are made with: `mount_setattr` and cgroup
/// v2's `cgroup.kill` came in 5.12 and 5.14.
const KERNEL_MIN: (u32, u32) = (5, 14);
/// Controllers without which limits could not hold.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// Looks at this machine; touches nothing.
#[must_use]
pub fn check() -> Vec<Finding> {
    let proc = Path::new("/proc");
    vec![
        root(),
        kernel(&rustix::system::uname().release().to_string_lossy()),
        controllers(&read(&proc.join("self/mounts")), &read(&proc.join("cgroups"))),
        overlay(&read(&proc.join("filesystems")), module_exists("overlay")),
        nf_tables(),
        bridge_netfilter(),
    ]
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn root() -> Finding {
    let is_root = rustix::process::geteuid().is_root();
    Finding {
        need: "root",
        found: if is_root { "root".to_owned() } else { "another user".to_owned() },
        verdict: if is_root {
            Verdict::Met
        } else {
            Verdict::Missing { fix: "run it as root, for example with sudo".to_owned() }
        },
    }
}

fn kernel(release: &str) -> Finding {
    let mut numbers = release.split(['.', '-', '+']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (major, minor) = KERNEL_MIN;
    Finding {
        need: "Linux 5.14 or newer",
        found: release.to_owned(),
        verdict: if version >= KERNEL_MIN {
            Verdict::Met
        } else {
            Verdict::Missing { fix: format!("install a kernel from {major}.{minor} on") }
        },
    }
}

/// Every needed controller must be in a mounted hierarchy, v2 or v1.
fn controllers(mounts: &str, cgroups: &str) -> Finding {
    let mut unified = None;
    let mut legacy = Vec::new();
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(target), Some(kind), Some(options)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        match kind {
            "cgroup2" => unified = unified.or(Some(Path::new(target))),
            "cgroup" => legacy.extend(options.split(',')),
            _ => {}
        }
    }
    let v2 = unified.map(|path| read(&path.join("cgroup.controllers"))).unwrap_or_default();
    let has = |name: &str| v2.split_whitespace().any(|c| c == name) || legacy.contains(&name);
    let absent: Vec<_> = CONTROLLERS.into_iter().filter(|name| !has(name)).collect();
    let found = match (unified.is_some(), legacy.is_empty()) {
        (true, true) => "cgroup v2",
        (true, false) => "cgroups v1 and v2 side by side",
        (false, false) => "cgroup v1",
        (false, true) => "no cgroup hierarchy",
    };
    let verdict = if absent.is_empty() {
        Verdict::Met
    } else if absent.iter().all(|name| disabled(cgroups, name)) {
        let names = absent.join(", ");
        Verdict::Missing {
            fix: format!("enable {names}: take cgroup_disable= off the kernel's command line"),
        }
    } else {
        let names = absent.join(", ");
        Verdict::Missing {
            fix: format!("mount cgroup v2 at /sys/fs/cgroup; it must offer {names}"),
        }
    };
    Finding { need: "cgroup controllers cpu, memory, pids", found: found.to_owned(), verdict }
}

/// `/proc/cgroups`: name, hierarchy, number of cgroups, enabled (cgroups(7)).
fn disabled(cgroups: &str, name: &str) -> bool {
    cgroups.lines().any(|line| {
        let mut fields = line.split_whitespace();
        fields.next() == Some(name) && fields.nth(2) == Some("0")
    })
}

fn overlay(filesystems: &str, module: bool) -> Finding {
    let built_in =
        filesystems.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay");
    let (found, verdict) = match (built_in, module) {
        (true, _) => ("available", Verdict::Met),
        (false, true) => ("a module, loaded on use", Verdict::Met),
        (false, false) => (
            "not there",
            Verdict::Missing { fix: "use a kernel with CONFIG_OVERLAY_FS".to_owned() },
        ),
    };
    Finding { need: "overlayfs", found: found.to_owned(), verdict }
}

fn nf_tables() -> Finding {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};
    let kind = SocketType::RAW;
    let netfilter =
        socket_with(AddressFamily::NETLINK, kind, SocketFlags::CLOEXEC, Some(netlink::NETFILTER));
    let known = Path::new("/proc/sys/net/netfilter").exists()
        || module_exists("nf_tables")
        || module_is_built_in("nf_tables");
    let (found, verdict) = match (netfilter, known) {
        (Ok(_), true) => ("available", Verdict::Met),
        (Ok(_), false) | (Err(_), _) => (
            "not there",
            Verdict::Missing {
                fix: "use a kernel with CONFIG_NF_TABLES and CONFIG_NFT_NAT".to_owned(),
            },
        ),
    };
    Finding { need: "nf_tables", found: found.to_owned(), verdict }
}

fn bridge_netfilter() -> Finding {
    let loaded = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables").exists();
    let (found, verdict) = if loaded {
        ("loaded", Verdict::Met)
    } else if module_exists("br_netfilter") || module_is_built_in("br_netfilter") {
        ("a module, loaded at start", Verdict::Met)
    } else {
        let consequence =
            "a Service does not answer to a pod when its endpoint is on the same node";
        let fix = "use a kernel with CONFIG_BRIDGE_NETFILTER";
        ("not there", Verdict::Limited { consequence: consequence.to_owned(), fix: fix.to_owned() })
    };
    Finding { need: "br_netfilter", found: found.to_owned(), verdict }
}

fn module_exists(name: &str) -> bool {
    listed("modules.dep", name)
}

fn module_is_built_in(name: &str) -> bool {
    listed("modules.builtin", name) || Path::new("/sys/module").join(name).exists()
}

/// Module files are named with '-' or '_'; both stand for '_' (modprobe(8)).
fn listed(index: &str, name: &str) -> bool {
    let release = rustix::system::uname();
    let folder = Path::new("/lib/modules").join(&*release.release().to_string_lossy());
    read(&folder.join(index)).lines().any(|line| {
        let path = line.split(':').next().unwrap_or_default();
        let file = path.rsplit('/').next().unwrap_or_default();
        file.split('.').next().unwrap_or_default().replace('-', "_") == name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_is_named_with_the_one_to_get() {
        assert_eq!(kernel("6.1.0-18-cloud-amd64").verdict, Verdict::Met);
        assert_eq!(kernel("5.14.0").verdict, Verdict::Met);
        let old = kernel("5.10.0-28-amd64");
        assert!(matches!(old.verdict, Verdict::Missing { fix } if fix.contains("5.14")));
    }

    #[test]
    fn controllers_may_be_spread_over_hierarchies() {
        let mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
                      cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n";
        let finding = controllers(mounts, "");
        assert_eq!((finding.verdict, finding.found.as_str()), (Verdict::Met, "cgroup v1"));
    }

    #[test]
    fn a_controller_that_was_switched_off_is_told_from_one_not_mounted() {
        let mounts = "cgroup /c cgroup rw,cpu 0 0\ncgroup /c cgroup rw,pids 0 0\n";
        let off = controllers(mounts, "memory\t0\t1\t0\n");
        assert!(matches!(off.verdict, Verdict::Missing { fix } if fix.contains("cgroup_disable")));
        let absent = controllers(mounts, "memory\t0\t1\t1\n");
        assert!(
            matches!(absent.verdict, Verdict::Missing { fix } if fix.contains("mount cgroup v2"))
        );
    }

    #[test]
    fn overlay_is_found_among_the_file_systems() {
        assert_eq!(overlay("nodev\tproc\nnodev\toverlay\n", false).verdict, Verdict::Met);
        assert_ne!(overlay("nodev\tproc\n", false).verdict, Verdict::Met);
    }
}

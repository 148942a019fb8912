//! Namespaces for one test.

use nix::sched::CloneFlags;
use rustix::mount::{MountPropagationFlags, mount_change};

/// Which namespaces besides the mount namespace a test gets.
#[derive(Debug, Clone, Copy)]
pub struct NamespaceOptions {
    /// A network namespace whose loopback is up.
    pub net: bool,
    /// A cgroup namespace.
    pub cgroup: bool,
}

impl Default for NamespaceOptions {
    fn default() -> Self {
        Self { net: true, cgroup: false }
    }
}

/// Runs `test` on a thread of its own in fresh mount, ipc and uts namespaces, and those that
/// `options` names; mounts made there stay there. The namespaces end with the thread and the
/// processes that it started. A panic of `test` fails the caller with the same message.
///
/// The process is not forked: other tests run in other threads of it.
///
/// # Panics
/// When a namespace cannot be made (root is needed), and when `test` panics.
pub fn in_new_namespaces<T: Send>(options: NamespaceOptions, test: impl FnOnce() -> T + Send) -> T {
    let name = std::thread::current().name().unwrap_or("unnamed").to_owned();
    let outcome = std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name(name)
            .spawn_scoped(scope, || {
                enter(options);
                test()
            })
            .expect("a thread can be started")
            .join()
    });
    match outcome {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn enter(options: NamespaceOptions) {
    let mut flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    flags.set(CloneFlags::CLONE_NEWNET, options.net);
    flags.set(CloneFlags::CLONE_NEWCGROUP, options.cgroup);
    nix::sched::unshare(flags).expect("unshare: is the test run as root?");
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .expect("the mounts of a namespace of one's own can be made private");
    if options.net {
        let status = std::process::Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status()
            .expect("tests need `ip` (Debian package iproute2)");
        assert!(status.success(), "ip link set lo up: {status}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skip_unless;

    #[test]
    fn a_test_has_its_own_network() {
        skip_unless!(crate::is_root(), "namespaces need root");
        let outside = std::fs::read_link("/proc/self/ns/net").unwrap();
        let inside = in_new_namespaces(NamespaceOptions::default(), || {
            std::fs::read_link("/proc/thread-self/ns/net").unwrap()
        });
        assert_ne!(outside, inside);
    }

    #[test]
    #[should_panic(expected = "on purpose")]
    fn a_panic_reaches_the_test() {
        if !crate::is_root() {
            crate::skip("namespaces need root");
            panic!("on purpose");
        }
        in_new_namespaces(NamespaceOptions::default(), || panic!("on purpose"));
    }
}

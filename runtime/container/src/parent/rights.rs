//! What this process may do, which decides who does what: root of the host does most before there
//! is a child; an unprivileged user has to leave it to the child, in a user namespace of its own.

use corten_sys_linux::caps;
use rustix::thread::CapabilitySet;

/// Asked once for each operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rights {
    /// It may mount, join namespaces and map any id in its own user namespace.
    pub(super) privileged: bool,
    /// Its user namespace is the machine's first.
    pub(super) first_user_namespace: bool,
}

impl Rights {
    pub(super) fn of_this_process() -> Self {
        let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::SETUID | CapabilitySet::SETGID;
        let own = caps::effective().unwrap_or(0);
        // Everything mapped to itself: only so in the first (user_namespaces(7)).
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let whole = map.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
        Self { privileged: own & needed.bits() == needed.bits(), first_user_namespace: whole }
    }

    /// Whether what the host refuses (cgroups, device programs) is to be expected.
    pub(super) fn rootless(self) -> bool {
        !self.privileged || !self.first_user_namespace
    }
}

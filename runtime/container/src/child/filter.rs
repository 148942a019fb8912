//! Loads the system call filter.

use std::os::fd::AsRawFd as _;

use corten_sys_linux::seccomp::{install, install_with_listener};

use super::report::{At as _, LISTENER, LISTENER_BYTES, Outcome, Step};
use super::{Common, wait_for_parent};
use crate::plan::Load;

/// Loads the filter if it is its time.
///
/// From here on the filter may deny or hold whatever this process does itself. So it goes on with
/// calls that every profile made for other runtimes allows: above all `read`, `write` and `close`.
pub(super) fn load<'a>(common: &Common<'_>, now: Load) -> Outcome<'a, ()> {
    let Some(seccomp) = common.seccomp.filter(|one| one.load(common.process) == now) else {
        return Ok(());
    };
    if seccomp.listener().is_none() {
        return install(seccomp.program(), seccomp.flags()).at(Step::Seccomp, b"");
    }
    let sync = common.sync.get();
    let listener =
        install_with_listener(seccomp.program(), seccomp.flags()).at(Step::Seccomp, b"")?;
    let mut record = [LISTENER; LISTENER_BYTES];
    record[1..].copy_from_slice(&listener.as_raw_fd().to_le_bytes());
    rustix::io::write(sync, &record).at(Step::Wait, b"parent")?;
    // The parent takes it from here by its number.
    wait_for_parent(sync, b"the seccomp agent")
}

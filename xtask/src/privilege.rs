//! Root, where it is needed: directly, or through sudo.

use std::ffi::OsStr;
use std::process::Command;

/// A command that runs as root.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg("--").arg(program);
    command
}

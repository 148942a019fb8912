//! Labels for the program, told to the kernel for the next exec.
//!
//! Through a procfs of this process's own (CVE-2019-16884, CVE-2025-52881): what an image or another
//! container has mounted on `/proc` must not swallow the label.

use corten_sys_linux::procfs::ProcFs;
use corten_sys_linux::rustix::io::Errno;

use super::report::{At as _, Outcome, Step};
use crate::plan::Process;

pub(super) fn apply(process: &Process) -> Outcome<'_, ()> {
    if process.apparmor.is_none() && process.selinux.is_none() {
        return Ok(());
    }
    let proc = ProcFs::open().at(Step::Proc, b"")?;
    if let Some(text) = &process.apparmor {
        let text = text.to_bytes();
        // The folder of its own is there since Linux 5.8; without it AppArmor has the general one.
        let written = match proc.write(c"thread-self/attr/apparmor/exec", text) {
            Err(Errno::NOENT) => proc.write(c"thread-self/attr/exec", text),
            other => other,
        };
        written.at(Step::AppArmor, text)?;
    }
    if let Some(label) = &process.selinux {
        let label = label.to_bytes();
        proc.write(c"thread-self/attr/exec", label).at(Step::Selinux, label)?;
    }
    Ok(())
}

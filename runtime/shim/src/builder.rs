use crate::protocol::Fault;
use corten_sys_linux::pidfd::Pidfd;
use std::os::fd::OwnedFd;
use std::path::Path;
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) pid: i32,
    pub(crate) cgroup: String,
    pub(crate) pidfd: OwnedFd,
    pub(crate) terminal: Option<OwnedFd>,
}
#[derive(Debug)]
pub(crate) enum ChildStdio {
    Terminal,
    Fds { stdin: OwnedFd, stdout: OwnedFd, stderr: OwnedFd },
}
fn no() -> Fault {
    crate::fault::invalid("x", "y", "z")
}
pub(crate) fn create(
    _: &Path,
    _: &str,
    _: &Path,
    _: ChildStdio,
    _: OwnedFd,
) -> Result<Made, Fault> {
    Err(no())
}
pub(crate) fn exec(_: &Path, _: &str, _: serde_json::Value, _: ChildStdio) -> Result<Made, Fault> {
    Err(no())
}
pub(crate) fn delete(_: &Path, _: &str) -> Result<(), Fault> {
    Err(no())
}
pub(crate) fn release(_: &OwnedFd, _: &str) -> Result<(), Fault> {
    Err(no())
}
pub(crate) fn start_failure(_: &str, _: &[u8]) -> Fault {
    no()
}
pub(crate) fn restore_oom_score_adj(_: &str) {}
pub(crate) fn signal_all(
    _: &corten_runtime_cgroup::Cgroup,
    _: i32,
) -> Result<(), corten_runtime_cgroup::Error> {
    let _p: Option<Pidfd> = None;
    Ok(())
}

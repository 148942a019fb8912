//! `corten-run shim`: from the client's child to a daemon.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use corten_sys_linux::clone::{Forked, fork};
use corten_sys_linux::signal;
use rustix::fs::{CWD, Mode, OFlags};

use crate::cleanup::clean_up;
use crate::fault::{errno, internal, invalid, io, sys};
use crate::protocol::{Fault, Ready, SANDBOX_SPEC, SandboxSpec, Startup};
use crate::shim::Shim;

/// The spec has a handful of fields.
const SPEC_BYTES_MAX: u64 = 1 << 20;
/// What the OOM killer should take last; it needs CAP_SYS_RESOURCE.
const OOM_SCORE_ADJ: &str = "-998";

/// `corten-run shim --dir DIR [--cleanup]`: `args` are those after `shim`.
///
/// With `--cleanup` it ends and removes, in the foreground, what a shim that was killed has left;
/// a failure is one line of JSON, a [`Startup::Failed`]. Without it the process forks and returns at once; the child is the shim. It writes one line of JSON, a
/// [`Startup`], to the standard output that it inherited, and closes it.
#[must_use]
pub fn main(args: &[OsString]) -> ExitCode {
    match launch(args) {
        Ok(code) => code,
        Err(fault) => {
            tell(&Startup::Failed(fault));
            ExitCode::FAILURE
        }
    }
}

fn launch(args: &[OsString]) -> Result<ExitCode, Fault> {
    let (dir, cleanup) = parse(args)?;
    let spec = read_spec(&dir)?;
    if cleanup {
        return clean_up(&dir, &spec).map(|()| ExitCode::SUCCESS);
    }
    // Whatever the client ignored or blocked is not for the shim or its containers.
    signal::reset_for_exec();
    match fork().map_err(|error| sys("fork", &error))? {
        Forked::Parent(_) => Ok(ExitCode::SUCCESS),
        Forked::Child => {
            let null = detach_from_client()?;
            let mut shim = Shim::start(&dir, spec, lower_oom_score_adj())?;
            let pid = rustix::process::getpid().as_raw_nonzero().get();
            tell(&Startup::Ready(Ready { ready: true, pid }));
            rustix::stdio::dup2_stdout(&null)
                .map_err(|cause| errno("dup2", "standard output", cause))?;
            drop(null);
            Ok(match shim.run() {
                Ok(()) => ExitCode::SUCCESS,
                Err(fault) => {
                    shim.last_words(&fault);
                    ExitCode::FAILURE
                }
            })
        }
    }
}

/// The folder, and whether it is to be cleaned up.
fn parse(args: &[OsString]) -> Result<(PathBuf, bool), Fault> {
    let (dir, cleanup) = match args {
        [flag, dir] if flag == "--dir" => (dir, false),
        [flag, dir, cleanup] if flag == "--dir" && cleanup == "--cleanup" => (dir, true),
        _ => {
            let usage = "use: corten-run shim --dir DIR [--cleanup]";
            return Err(invalid("parse", "arguments", usage));
        }
    };
    let dir = PathBuf::from(dir);
    if dir.is_absolute() {
        Ok((dir, cleanup))
    } else {
        Err(invalid("parse", "--dir", "is not absolute"))
    }
}

fn read_spec(dir: &Path) -> Result<SandboxSpec, Fault> {
    use std::io::Read as _;
    let path = dir.join(SANDBOX_SPEC);
    let file = std::fs::File::open(&path).map_err(|error| io("open", &path, &error))?;
    let mut text = Vec::new();
    file.take(SPEC_BYTES_MAX).read_to_end(&mut text).map_err(|error| io("read", &path, &error))?;
    serde_json::from_slice(&text)
        .map_err(|error| invalid("parse", path.display().to_string(), error.to_string()))
}

/// A session of its own, nothing of the client's but the standard output. Gives `/dev/null`.
fn detach_from_client() -> Result<OwnedFd, Fault> {
    rustix::process::setsid().map_err(|cause| errno("setsid", "the shim", cause))?;
    rustix::process::chdir(c"/").map_err(|cause| errno("chdir", "/", cause))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    rustix::thread::set_name(c"corten-shim").map_err(|cause| errno("prctl", "name", cause))?;
    // Its /proc is root's, whoever it makes children as.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|cause| errno("prctl", "dumpable", cause))?;
    let null = rustix::fs::openat(CWD, c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|cause| errno("open", "/dev/null", cause))?;
    rustix::stdio::dup2_stdin(null.as_fd())
        .and_then(|()| rustix::stdio::dup2_stderr(null.as_fd()))
        .map_err(|cause| errno("dup2", "standard streams", cause))?;
    Ok(null)
}

/// A shim costs little and its end would orphan its pod, so the OOM killer should look elsewhere.
/// Gives the value before, which its children get back. Without the right to it, all stays.
fn lower_oom_score_adj() -> String {
    let path = "/proc/self/oom_score_adj";
    let before = std::fs::read_to_string(path).unwrap_or_default();
    std::fs::write(path, OOM_SCORE_ADJ).unwrap_or_default();
    before.trim().to_owned()
}

/// One line on standard output. A client that has gone does not matter.
fn tell(startup: &Startup) {
    let mut line = serde_json::to_string(startup).unwrap_or_else(|error| {
        let fault = internal("encode", "startup", &error);
        format!(
            "{{\"code\":\"internal\",\"step\":\"encode\",\"object\":\"startup\",\"message\":{:?}}}",
            fault.message
        )
    });
    line.push('\n');
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_strict() {
        let args = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        let dir = || PathBuf::from("/run/x");
        assert_eq!(parse(&args(&["--dir", "/run/x"])).unwrap(), (dir(), false));
        assert_eq!(parse(&args(&["--dir", "/run/x", "--cleanup"])).unwrap(), (dir(), true));
        for wrong in [&[][..], &["--dir"], &["--dir", "x"], &["--dir", "/x", "y"], &["/x"]] {
            parse(&args(wrong)).unwrap_err();
        }
    }

    #[test]
    fn a_spec_that_is_not_one_says_where() {
        let dir = tempfile::tempdir().unwrap();
        read_spec(dir.path()).unwrap_err();
        std::fs::write(dir.path().join(SANDBOX_SPEC), "{\n\"v\": 1,\n\"x\": 2}").unwrap();
        let fault = read_spec(dir.path()).unwrap_err();
        assert!(fault.message.contains("line 3"), "{fault}");
    }
}

//! One hook: a child with the state on its standard input.

use std::ffi::CStr;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use corten_sys_linux::clone::{CloneArgs, Cloned, Namespaces, clone3, clone3_plain};
use corten_sys_linux::pidfd::{Exit, Pidfd};
use corten_sys_linux::{SysError, fd, ns, signal};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::HookError;
use crate::plan::Hook;

/// How much of a hook's output an error repeats.
const OUTPUT_BYTES_MAX: u64 = 2048;
/// The status of a child that could not become the hook; the errno is in the pipe then.
const NOT_EXECUTED: i32 = 125;
const SIGKILL: i32 = 9;
/// How long a killed hook may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a hook runs.
pub(super) struct Place<'a> {
    /// Its working directory; `/` where that is gone.
    pub(super) cwd: &'a CStr,
    /// A process, and which of its namespaces the hook enters.
    pub(super) inside: Option<(BorrowedFd<'a>, Namespaces)>,
}

/// Runs hooks in order; the first that fails ends it.
pub(super) fn run_all<'a>(
    hooks: impl IntoIterator<Item = &'a Hook>,
    state: &[u8],
    place: &Place<'_>,
) -> Result<(), HookError> {
    hooks.into_iter().try_for_each(|hook| run(hook, state, place))
}

fn run(hook: &Hook, state: &[u8], place: &Place<'_>) -> Result<(), HookError> {
    let name = || (hook.field.clone(), hook.path.to_string_lossy().into_owned());
    let system = |source| {
        let (field, path) = name();
        HookError::System { field, path, source }
    };
    let stdin = sealed_file().map_err(system)?;
    fill(&stdin, state).map_err(system)?;
    // A file and not a pipe: a daemon that the hook leaves behind may keep it open.
    let output = memfd(MemfdFlags::CLOEXEC).map_err(system)?;
    let (failure, failed) =
        pipe_with(PipeFlags::CLOEXEC).map_err(SysError::of("pipe2", || "")).map_err(system)?;
    let streams = [stdin.as_fd(), output.as_fd(), output.as_fd()];
    let Cloned { pidfd, .. } =
        clone3(&CloneArgs::default(), || child(hook, place, streams, failed.as_fd()))
            .map_err(system)?;
    drop(failed);
    let process = Pidfd::from(pidfd);
    if let Some(timeout) = hook.timeout
        && !process.wait_ended(timeout).map_err(system)?
    {
        process.send_signal(SIGKILL).map_err(system)?;
        process.wait_ended(END_TIMEOUT).map_err(system)?;
        drop(process.try_wait());
        let (field, path) = name();
        return Err(HookError::Timeout { field, path, seconds: timeout.as_secs() });
    }
    let how = match process.wait().map_err(system)? {
        Exit::Code(0) => return Ok(()),
        Exit::Code(NOT_EXECUTED) => {
            if let Some(errno) = errno_from(&failure) {
                return Err(system(SysError::of("execve", || name().1)(errno)));
            }
            format!("exit status {NOT_EXECUTED}")
        }
        Exit::Code(code) => format!("exit status {code}"),
        Exit::Signal(signal) => format!("signal {signal}"),
    };
    let (field, path) = name();
    Err(HookError::Failed { field, path, how, output: text_of(output) })
}

/// In the child: system calls only.
fn child(
    hook: &Hook,
    place: &Place<'_>,
    streams: [BorrowedFd<'_>; 3],
    failed: BorrowedFd<'_>,
) -> i32 {
    let errno = match place.inside {
        None => become_hook(hook, place, streams),
        Some((process, namespaces)) => match inside(hook, place, streams, process, namespaces) {
            Ok(status) => return status,
            Err(errno) => errno,
        },
    };
    // A parent that has gone cannot be told.
    rustix::io::write(failed, &errno.raw_os_error().to_le_bytes()).unwrap_or_default();
    NOT_EXECUTED
}

/// Enters the namespaces, the pid namespace by one more child (`setns(2)`: it is for children
/// only), and ends as that one does.
fn inside(
    hook: &Hook,
    place: &Place<'_>,
    streams: [BorrowedFd<'_>; 3],
    process: BorrowedFd<'_>,
    namespaces: Namespaces,
) -> rustix::io::Result<i32> {
    ns::enter_of(process, namespaces)?;
    if namespaces.contains(Namespaces::USER) {
        let (uid, gid) = (rustix::process::Uid::ROOT, rustix::process::Gid::ROOT);
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    }
    let (told, tells) = pipe_with(PipeFlags::CLOEXEC)?;
    let inner = clone3_plain(&CloneArgs::default(), || {
        // A hook that is out of time is ended through the process that waits for it.
        let killed =
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        let errno = killed.map_or_else(|errno| errno, |()| become_hook(hook, place, streams));
        rustix::io::write(&tells, &errno.raw_os_error().to_le_bytes()).unwrap_or_default();
        NOT_EXECUTED
    })?;
    drop(tells);
    let ended = rustix::io::retry_on_intr(|| {
        waitid(WaitId::PidFd(inner.pidfd.as_fd()), WaitIdOptions::EXITED)
    })?
    .ok_or(Errno::CHILD)?;
    match (ended.exit_status(), ended.terminating_signal()) {
        (Some(NOT_EXECUTED), _) => errno_from(&told).map_or(Ok(NOT_EXECUTED), Err),
        (Some(status), _) => Ok(status),
        (None, Some(signal)) => Ok(128 + signal),
        (None, None) => Ok(1),
    }
}

/// Comes back only with an error.
fn become_hook(hook: &Hook, place: &Place<'_>, streams: [BorrowedFd<'_>; 3]) -> Errno {
    let prepare = || {
        rustix::process::chdir(place.cwd).or_else(|_gone| rustix::process::chdir(c"/"))?;
        // The sources are above the streams: this process's own were open before.
        for (source, target) in streams.into_iter().zip(0..) {
            fd::place_at(source, target)?;
        }
        fd::close_range_cloexec(3)?;
        rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
        signal::reset_for_exec();
        Ok(())
    };
    match prepare().and_then(|()| hook.image.exec(&hook.path)) {
        Ok(never) => match never {},
        Err(errno) => errno,
    }
}

/// The number that a child wrote. Its end of the pipe is closed, so this never waits.
fn errno_from(pipe: &OwnedFd) -> Option<Errno> {
    let mut raw = [0_u8; 4];
    let read = rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut raw)).ok()?;
    let number = i32::from_le_bytes(raw);
    (read == raw.len() && (1..4096).contains(&number)).then(|| Errno::from_raw_os_error(number))
}

fn memfd(flags: MemfdFlags) -> Result<OwnedFd, SysError> {
    rustix::fs::memfd_create(c"hook", flags).map_err(SysError::of("memfd_create", || "hook"))
}

/// An empty file for [`fill`].
pub(crate) fn sealed_file() -> Result<OwnedFd, SysError> {
    memfd(MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
}

/// Fills the file for good: a hook that writes to its standard input changes nothing for the next.
pub(super) fn fill(file: &OwnedFd, text: &[u8]) -> Result<(), SysError> {
    let mut left = text;
    while !left.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(file, left))
            .map_err(SysError::of("write", || "a hook's state"))?;
        left = &left[written..];
    }
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(file, seals)
        .and_then(|()| rustix::fs::seek(file, rustix::fs::SeekFrom::Start(0)))
        .map(drop)
        .map_err(SysError::of("fcntl", || "F_ADD_SEALS"))
}

/// What a hook has said, its beginning.
fn text_of(output: OwnedFd) -> String {
    let mut text = Vec::new();
    if rustix::fs::seek(&output, rustix::fs::SeekFrom::Start(0)).is_ok() {
        // What cannot be read is left out: the failure itself is told anyway.
        drop(std::fs::File::from(output).take(OUTPUT_BYTES_MAX).read_to_end(&mut text));
    }
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    if text.is_empty() { text } else { format!(": {text}") }
}

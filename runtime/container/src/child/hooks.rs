//! `startContainer` hooks: programs of the container, run just before its own and confined as it
//! is, for their files may be the image's.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use corten_sys_linux::clone::{CloneArgs, clone3_plain};
use corten_sys_linux::rustix::io::Errno;
use corten_sys_linux::{fd, seccomp, signal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::Common;
use super::report::{At as _, Failure, Outcome, Step};
use crate::plan::{Hook, Load};

/// The hooks, and the state that each reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartHooks<'a> {
    pub(crate) hooks: &'a [Hook],
    pub(crate) state: BorrowedFd<'a>,
}

/// The status of a child that could not become the hook.
const NOT_EXECUTED: i32 = 125;

/// Runs all, in order. `state` is where the file of [`StartHooks::state`] is by now.
pub(super) fn run<'a>(common: &'a Common<'_>, state: BorrowedFd<'_>) -> Outcome<'a, ()> {
    let Some(StartHooks { hooks, .. }) = &common.start_hooks else { return Ok(()) };
    hooks.iter().try_for_each(|hook| one(common, hook, state))
}

fn one<'a>(common: &Common<'_>, hook: &'a Hook, state: BorrowedFd<'_>) -> Outcome<'a, ()> {
    let path = hook.path.to_bytes();
    let step = Step::StartHook;
    rustix::fs::seek(state, rustix::fs::SeekFrom::Start(0)).at(step, path)?;
    let (told, tells) = pipe_with(PipeFlags::CLOEXEC).at(step, path)?;
    let made = clone3_plain(&CloneArgs::default(), || {
        let errno = become_hook(common, hook, state);
        rustix::io::write(&tells, &errno.raw_os_error().to_le_bytes()).unwrap_or_default();
        NOT_EXECUTED
    })
    .at(step, path)?;
    drop(tells);
    let process = made.pidfd.as_fd();
    if let Some(timeout) = hook.timeout
        && !ended(process, timeout).at(step, path)?
    {
        // ESRCH: it has ended at this very moment.
        pidfd_send_signal(process, Signal::KILL).unwrap_or_default();
        wait(process).at(step, path)?;
        return Err(Failure::new(Step::StartHookTimeout, path, Errno::TIMEDOUT));
    }
    match wait(process).at(step, path)? {
        Some(0) => Ok(()),
        Some(NOT_EXECUTED) => {
            let mut raw = [0_u8; 4];
            let read = rustix::io::retry_on_intr(|| rustix::io::read(&told, &mut raw));
            let number = i32::from_le_bytes(raw);
            let errno = if read == Ok(4) && (1..4096).contains(&number) {
                Errno::from_raw_os_error(number)
            } else {
                Errno::CANCELED
            };
            Err(Failure::new(step, path, errno))
        }
        _failed => Err(Failure::new(Step::StartHookStatus, path, Errno::CANCELED)),
    }
}

/// Comes back only with an error.
fn become_hook(common: &Common<'_>, hook: &Hook, state: BorrowedFd<'_>) -> Errno {
    let prepare = || {
        fd::place_at(state, 0)?;
        fd::close_range_cloexec(3)?;
        // A filter that was loaded earlier is inherited.
        let late = common.seccomp.filter(|one| one.load(common.process) == Load::Last);
        if let Some(filter) = late {
            seccomp::install(filter.program(), filter.flags())?;
        }
        signal::reset_for_exec();
        Ok(())
    };
    match prepare().and_then(|()| hook.image.exec(&hook.path)) {
        Ok(never) => match never {},
        Err(errno) => errno,
    }
}

/// Reaps the child; its status, unless a signal ended it.
fn wait(process: BorrowedFd<'_>) -> rustix::io::Result<Option<i32>> {
    rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(process), WaitIdOptions::EXITED))?
        .ok_or(Errno::CHILD)
        .map(|status| status.exit_status())
}

fn ended(process: BorrowedFd<'_>, timeout: Duration) -> rustix::io::Result<bool> {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timespec = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timespec)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => (),
            Err(errno) => return Err(errno),
        }
    }
}

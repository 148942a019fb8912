//! From created to gone.

use std::time::Duration;

use corten_runtime_cgroup::{Cgroup, CgroupPath, Hierarchies};
use corten_sys_linux::rustix::io::Errno;
use corten_sys_linux::{SysError, signal};
use rustix::fs::{Mode, OFlags};

use crate::state::{FIFO_FILE, State};
use crate::{ContainerId, LifecycleError, StateDir, StateError, Status, hooks};

const SIGKILL: i32 = 9;
/// How long processes may take to end after SIGKILL.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Lets a container go that was created with a FIFO.
///
/// # Errors
/// `Status` when it does not wait to be started.
pub fn start(states: &StateDir, id: &ContainerId) -> Result<(), LifecycleError> {
    let state = states.load(id)?;
    let status = states.status(&state);
    let wrong = |status| LifecycleError::Status { action: "start", id: id.to_string(), status };
    if status != Status::Created {
        return Err(wrong(status));
    }
    let path = states.container(id).join(FIFO_FILE);
    let describe = || path.display().to_string();
    let system = |source| LifecycleError::System { step: "open the start FIFO", source };
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fifo = match rustix::fs::open(&path, flags, Mode::empty()) {
        Ok(fifo) => fifo,
        // Nobody reads: the process has ended. No FIFO: its start is a socket, not this.
        Err(Errno::NXIO) => return Err(wrong(Status::Stopped)),
        Err(errno) => return Err(system(SysError::of("open", describe)(errno))),
    };
    rustix::io::write(&fifo, &[0]).map_err(SysError::of("write", describe)).map_err(system)?;
    let executed = hooks::after_release(states, &state, &path, &fifo);
    states.mark_started(id)?;
    executed
}

/// Sends a signal to a container's first process, or to `all` of its processes.
///
/// # Errors
/// `NotRunning` when it has none.
pub fn kill(
    states: &StateDir,
    id: &ContainerId,
    number: i32,
    all: bool,
) -> Result<(), LifecycleError> {
    let state = states.load(id)?;
    if all {
        return kill_all(&state, number);
    }
    let process = state.process().ok_or(LifecycleError::NotRunning)?;
    let sent = process.send_signal(number);
    // Without a pid namespace of its own, the others outlive the first.
    if number == SIGKILL && !state.has_namespace("pid") {
        kill_all(&state, number)?;
    }
    match sent {
        Err(error) if error.errno == Errno::SRCH => Err(LifecycleError::NotRunning),
        other => {
            other.map_err(|source| LifecycleError::System { step: "signal the container", source })
        }
    }
}

fn kill_all(state: &State, number: i32) -> Result<(), LifecycleError> {
    let error = |source| cgroup_error(state, source);
    let Some(group) = open_cgroup(state)? else { return Ok(()) };
    if number == SIGKILL {
        return group.kill().map_err(error);
    }
    for pid in group.pids().map_err(error)? {
        match signal::kill(pid, number) {
            // It may have ended since it was listed.
            Ok(()) | Err(Errno::SRCH) => (),
            Err(errno) => {
                let source = SysError::of("kill", || pid.as_raw_nonzero().to_string())(errno);
                return Err(LifecycleError::System { step: "signal the container", source });
            }
        }
    }
    Ok(())
}

/// Forgets a container and removes its cgroup. One that waits to be started is ended first; one that
/// runs only with `force`. With `force`, one that is unknown is fine.
///
/// Every step is tried even if one before it failed; the first failure is returned.
///
/// # Errors
/// `Status` for one that runs; what could not be removed.
pub fn delete(states: &StateDir, id: &ContainerId, force: bool) -> Result<(), LifecycleError> {
    let state = match states.load(id) {
        Ok(state) => state,
        Err(StateError::NotFound { .. }) if force => {
            // What a maker that was killed has left.
            return Ok(states.remove(id)?);
        }
        Err(error) => return Err(error.into()),
    };
    let status = states.status(&state);
    match status {
        Status::Stopped | Status::Created => (),
        Status::Creating | Status::Running if force => (),
        Status::Creating | Status::Running => {
            return Err(LifecycleError::Status { action: "delete", id: id.to_string(), status });
        }
    }
    let poststop = hooks::Poststop::of_state(states, &state);
    let ended = end(&state);
    let removed = remove_cgroup(&state);
    // While processes or the cgroup are left the state stays, so that delete can be tried again.
    ended.and(removed)?;
    states.remove(id)?;
    poststop.run();
    Ok(())
}

fn end(state: &State) -> Result<(), LifecycleError> {
    let Some(process) = state.process() else { return Ok(()) };
    match process.send_signal(SIGKILL) {
        Err(error) if error.errno != Errno::SRCH => {
            return Err(LifecycleError::System { step: "end the container", source: error });
        }
        _sent_or_gone => (),
    }
    match process.wait_ended(END_TIMEOUT) {
        Ok(true) => Ok(()),
        Ok(false) => Err(LifecycleError::StillRunning {
            id: state.id.clone(),
            waited_ms: END_TIMEOUT.as_secs() * 1000,
        }),
        Err(source) => Err(LifecycleError::System { step: "wait for the container", source }),
    }
}

fn remove_cgroup(state: &State) -> Result<(), LifecycleError> {
    let error = |source| cgroup_error(state, source);
    let Some(group) = open_cgroup(state)? else { return Ok(()) };
    // Only what is left is killed: on Linux 6.18 one write to cgroup.kill spoils a cgroup.
    if !group.pids().map_err(error)?.is_empty() {
        group.kill().map_err(error)?;
    }
    group.remove().map_err(error)
}

fn open_cgroup(state: &State) -> Result<Option<Cgroup>, LifecycleError> {
    if state.cgroup_path.is_empty() {
        // One that an unprivileged user has made without.
        return Ok(None);
    }
    let error = |source| cgroup_error(state, source);
    let path = CgroupPath::new(&state.cgroup_path).map_err(error)?;
    let hierarchies = Hierarchies::probe().map_err(error)?;
    match Cgroup::open(&hierarchies, &path) {
        Ok(group) => Ok(Some(group)),
        Err(source) if source.errno() == Some(Errno::NOENT) => Ok(None),
        Err(source) => Err(error(source)),
    }
}

fn cgroup_error(state: &State, source: corten_runtime_cgroup::Error) -> LifecycleError {
    LifecycleError::Cgroup { path: state.cgroup_path.clone(), source }
}

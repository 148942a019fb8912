//! What is done to a container as a whole while it runs: stop and go, limits, a list of what runs.

use corten_runtime_cgroup::{Cgroup, Resources};
use oci_spec::runtime::LinuxResources;
use rustix::process::Pid;

use crate::lifecycle::{cgroup_error, open_cgroup};
use crate::plan::resources;
use crate::state::State;
use crate::{ContainerId, LifecycleError, StateDir, Status};

/// Where a container is in its life, now, and whether it is paused.
#[must_use]
pub fn status(states: &StateDir, state: &State) -> Status {
    let status = states.status(state);
    if status == Status::Running && is_frozen(state) { Status::Paused } else { status }
}

/// A cgroup that cannot be looked at is on its way out, and what runs in it is not paused.
fn is_frozen(state: &State) -> bool {
    open_cgroup(state).ok().flatten().is_some_and(|group| group.frozen().unwrap_or(false))
}

/// Stops all processes of a container where they are.
///
/// # Errors
/// `NotRunning` for one that has ended; when they do not stop in time.
pub fn pause(states: &StateDir, id: &ContainerId) -> Result<(), LifecycleError> {
    let state = states.load(id)?;
    match states.status(&state) {
        Status::Created | Status::Running | Status::Paused => (),
        Status::Creating | Status::Stopped => return Err(LifecycleError::NotRunning),
    }
    existing(&state)?.freeze().map_err(|source| cgroup_error(&state, source))
}

/// Lets the processes of a paused container go on.
///
/// # Errors
/// `NotPaused` when it is not paused.
pub fn resume(states: &StateDir, id: &ContainerId) -> Result<(), LifecycleError> {
    let state = states.load(id)?;
    if !is_frozen(&state) {
        return Err(LifecycleError::NotPaused);
    }
    thaw(&state)
}

/// Lets stopped processes go on, if there are any.
pub(crate) fn thaw(state: &State) -> Result<(), LifecycleError> {
    let error = |source| cgroup_error(state, source);
    match open_cgroup(state)? {
        Some(group) if group.frozen().map_err(error)? => group.thaw().map_err(error),
        Some(_) | None => Ok(()),
    }
}

/// Changes the limits of a container that has not ended. What is not named stays as it is; rules
/// for devices cannot be changed. Returns what does not hold here, with `allow_missing`.
///
/// # Errors
/// `NotRunning` for one that has ended; what makes no sense, and what the kernel refuses.
pub fn update(
    states: &StateDir,
    id: &ContainerId,
    wanted: &LinuxResources,
    allow_missing: bool,
) -> Result<Vec<String>, LifecycleError> {
    let state = states.load(id)?;
    if states.status(&state) == Status::Stopped {
        return Err(LifecycleError::NotRunning);
    }
    let wanted = Resources { allow_missing, ..resources::limits(wanted)? };
    let missing =
        existing(&state)?.apply(&wanted).map_err(|source| cgroup_error(&state, source))?;
    Ok(missing.iter().map(ToString::to_string).collect())
}

/// All processes of a container, as the host counts, in order.
///
/// # Errors
/// When its cgroup cannot be read.
pub fn processes(states: &StateDir, id: &ContainerId) -> Result<Vec<Pid>, LifecycleError> {
    let state = states.load(id)?;
    let Some(group) = open_cgroup(&state)? else { return Ok(Vec::new()) };
    let mut pids = group.pids().map_err(|source| cgroup_error(&state, source))?;
    pids.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
    Ok(pids)
}

/// The cgroup of a container that has not ended, to read what it uses.
///
/// # Errors
/// `NotRunning` for one that has ended.
pub fn cgroup(states: &StateDir, id: &ContainerId) -> Result<Cgroup, LifecycleError> {
    let state = states.load(id)?;
    if states.status(&state) == Status::Stopped {
        return Err(LifecycleError::NotRunning);
    }
    existing(&state)
}

fn existing(state: &State) -> Result<Cgroup, LifecycleError> {
    open_cgroup(state)?.ok_or(LifecycleError::NotRunning)
}

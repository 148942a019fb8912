//! What needs `runtime/container`: run in the child that a job is, small steps apart.

use std::os::fd::OwnedFd;
use std::path::Path;

use corten_api_oci::{Bundle, parse_process};
use corten_runtime_cgroup::{Cgroup, CgroupPath, Error as CgroupError};
use corten_runtime_container::{
    Console, ContainerId, CreateError, Created, ExecOptions, LifecycleError, Parenthood, Plan,
    PlanOptions, StartGate, StateDir, StateError, Stdio, parse_failure,
};
use corten_sys_linux::signal;
use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::fault::{chain, errno, internal, invalid};
use crate::protocol::{Fault, FaultCode};

const SIGKILL: i32 = 9;

/// A process that was made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) pid: i32,
    /// The container's cgroup.
    pub(crate) cgroup: String,
    pub(crate) pidfd: OwnedFd,
    /// The terminal's other end.
    pub(crate) terminal: Option<OwnedFd>,
    /// What does not quite hold here.
    pub(crate) warnings: Vec<String>,
}

/// Standard streams of a new process.
#[derive(Debug)]
pub(crate) enum ChildStdio {
    /// A terminal, whose other end comes back.
    Terminal,
    /// These.
    Fds { stdin: OwnedFd, stdout: OwnedFd, stderr: OwnedFd },
}

impl From<ChildStdio> for Stdio {
    fn from(stdio: ChildStdio) -> Self {
        match stdio {
            ChildStdio::Terminal => Self::Terminal(Console::Keep),
            ChildStdio::Fds { stdin, stdout, stderr } => Self::Fds { stdin, stdout, stderr },
        }
    }
}

/// Makes a container, as a child of the caller's parent.
pub(crate) fn create(
    state_dir: &Path,
    id: &str,
    bundle: &Path,
    stdio: ChildStdio,
    gate: OwnedFd,
) -> Result<Made, Fault> {
    let (states, id) = open(state_dir, id)?;
    let bundle = Bundle::load(bundle)
        .map_err(|error| invalid("read bundle", bundle.display().to_string(), chain(&error)))?;
    let plan = Plan::new(&id, &bundle.spec, &PlanOptions::new(&bundle.path))
        .map_err(|error| invalid("plan", id.as_str(), chain(&error)))?;
    let gate = StartGate::Socket(gate);
    corten_runtime_container::create(&states, plan, stdio.into(), Parenthood::CallersParent, gate)
        .map_err(|error| create_fault("create", &id, &error))
        .and_then(|created| made(&states, &id, created))
}

/// Runs one more process in a container, as a child of the caller's parent.
pub(crate) fn exec(
    state_dir: &Path,
    id: &str,
    process: &serde_json::Value,
    stdio: ChildStdio,
) -> Result<Made, Fault> {
    let (states, id) = open(state_dir, id)?;
    let process = parse_process(process.to_string().as_bytes(), "process")
        .map_err(|error| invalid("read process", id.as_str(), chain(&error)))?;
    let options = ExecOptions::default();
    let parenthood = Parenthood::CallersParent;
    corten_runtime_container::exec(&states, &id, &process, stdio.into(), parenthood, &options)
        .map_err(|error| create_fault("exec", &id, &error))
        .and_then(|created| made(&states, &id, created))
}

/// Removes a container: processes left, cgroup, state.
pub(crate) fn delete(state_dir: &Path, id: &str) -> Result<(), Fault> {
    let (states, id) = open(state_dir, id)?;
    corten_runtime_container::delete(&states, &id, true)
        .map_err(|error| lifecycle_fault("delete", &id, &error))
}

/// The containers whose cgroups are below `parent`.
pub(crate) fn containers_below(
    state_dir: &Path,
    parent: &CgroupPath,
) -> Result<Vec<String>, Fault> {
    if !state_dir.exists() {
        return Ok(Vec::new());
    }
    let failed = |error| internal("list", state_dir.display().to_string(), &error);
    let states = StateDir::open(state_dir).map_err(failed)?.list().map_err(failed)?;
    Ok(states
        .into_iter()
        .filter(|state| {
            CgroupPath::new(&state.cgroup_path).is_ok_and(|path| parent.contains(&path))
        })
        .map(|state| state.id)
        .collect())
}

/// Lets a made container's program start. What comes of it comes through the gate: its end when the
/// program runs, else a record for [`start_failure`].
pub(crate) fn release(gate: &OwnedFd, id: &str) -> Result<(), Fault> {
    match rustix::net::send(gate, &[0], SendFlags::NOSIGNAL) {
        Ok(_) => Ok(()),
        Err(Errno::PIPE | Errno::CONNRESET) => {
            Err(Fault::new(FaultCode::State, "start", id, "has ended before it was started"))
        }
        Err(cause) => Err(errno("start", id, cause)),
    }
}

/// Notes on disk that a container's program runs.
pub(crate) fn mark_started(state_dir: &Path, id: &str) -> Result<(), Fault> {
    let (states, id) = open(state_dir, id)?;
    states.mark_started(&id).map_err(|error| internal("note the start", id.as_str(), &error))
}

/// Whether a container has hooks to run once its program runs.
pub(crate) fn has_poststart(state_dir: &Path, id: &str) -> bool {
    open(state_dir, id)
        .is_ok_and(|(states, id)| corten_runtime_container::has_poststart(&states, &id))
}

/// Runs the hooks of a container whose program runs; ends the container if one fails.
pub(crate) fn poststart(state_dir: &Path, id: &str) -> Result<(), Fault> {
    let (states, id) = open(state_dir, id)?;
    corten_runtime_container::poststart(&states, &id)
        .map_err(|error| lifecycle_fault("poststart", &id, &error))
}

/// What a container said instead of starting its program.
pub(crate) fn start_failure(id: &str, record: &[u8]) -> Fault {
    match parse_failure(record) {
        Some(failure) => {
            Fault::new(FaultCode::Internal, failure.step, failure.object, failure.errno.to_string())
        }
        None => internal("start", id, &std::io::Error::other("it said something odd")),
    }
}

/// A job's child, and so all containers, start with what the shim was given, not with the shim's own
/// lowered value. Raising it needs no privilege.
pub(crate) fn restore_oom_score_adj(value: &str) {
    if !value.is_empty() {
        std::fs::write("/proc/self/oom_score_adj", value).unwrap_or_default();
    }
}

/// Sends a signal to all processes of a cgroup.
pub(crate) fn signal_all(group: &Cgroup, number: i32) -> Result<(), CgroupError> {
    if number == SIGKILL {
        return group.kill();
    }
    for pid in group.pids()? {
        match signal::kill(pid, number) {
            // It may have ended since it was listed.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(source) => {
                let path = group.path().as_str().into();
                return Err(CgroupError::File { call: "kill a process of", path, source });
            }
        }
    }
    Ok(())
}

fn open(state_dir: &Path, id: &str) -> Result<(StateDir, ContainerId), Fault> {
    let id = ContainerId::new(id)
        .map_err(|error| invalid("check", "container_id", error.to_string()))?;
    let states = StateDir::open(state_dir)
        .map_err(|error| internal("open", state_dir.display().to_string(), &error))?;
    Ok((states, id))
}

fn made(states: &StateDir, id: &ContainerId, created: Created) -> Result<Made, Fault> {
    let state = states.load(id).map_err(|error| internal("load state", id.as_str(), &error))?;
    Ok(Made {
        pid: created.pid.as_raw_nonzero().get(),
        cgroup: state.cgroup_path,
        pidfd: created.pidfd,
        terminal: created.master,
        warnings: created.warnings,
    })
}

/// Keeps the child's step and object apart, so that a client can tell "no such program" from all
/// else.
fn create_fault(step: &str, id: &ContainerId, error: &CreateError) -> Fault {
    let code = match error {
        CreateError::Child(failure) => {
            return Fault::new(
                FaultCode::Internal,
                failure.step,
                failure.object.clone(),
                failure.errno.to_string(),
            );
        }
        CreateError::Plan(_) | CreateError::Terminal { .. } => FaultCode::Invalid,
        CreateError::State(error) => state_code(error),
        CreateError::CgroupInUse { .. } => FaultCode::Exists,
        CreateError::NotRunning { .. } => FaultCode::State,
        CreateError::Cgroup { source: CgroupError::ControllerMissing { .. }, .. } => {
            FaultCode::Invalid
        }
        CreateError::Cgroup { .. }
        | CreateError::Prepare { .. }
        | CreateError::Parent { .. }
        | CreateError::NetDevice { .. }
        | CreateError::Hook(_)
        | CreateError::Ended { .. } => FaultCode::Internal,
    };
    Fault::new(code, step, id.as_str(), chain(error))
}

fn lifecycle_fault(step: &str, id: &ContainerId, error: &LifecycleError) -> Fault {
    let code = match error {
        LifecycleError::State(error) => state_code(error),
        LifecycleError::Status { .. } | LifecycleError::NotRunning => FaultCode::State,
        LifecycleError::System { .. }
        | LifecycleError::Program(_)
        | LifecycleError::Hook(_)
        | LifecycleError::Cgroup { .. }
        | LifecycleError::StillRunning { .. } => FaultCode::Internal,
    };
    Fault::new(code, step, id.as_str(), chain(error))
}

fn state_code(error: &StateError) -> FaultCode {
    match error {
        StateError::NotFound { .. } => FaultCode::NotFound,
        StateError::Exists { .. } => FaultCode::Exists,
        StateError::File { .. } | StateError::Damaged { .. } => FaultCode::Internal,
    }
}

//! Hooks in the runtime's hands: who runs when, and what they are told (runtime.md, "Lifecycle").
//!
//! `prestart` and `createRuntime` run in the runtime's namespaces, `createContainer` in the
//! container's, both once everything is mounted and before the root changes. `startContainer` is
//! the child's to run (`child::hooks`). `poststart` and `poststop` run in later calls, so they are
//! kept beside the state: what becomes of `config.json` meanwhile does not matter.

mod run;

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use corten_sys_linux::SysError;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;
use serde::Serialize;

use crate::plan::{Hook, Hooks, Plan};
use crate::state::State;
use crate::{
    ChildFailure, ContainerId, CreateError, HookError, LifecycleError, StateDir, StateError,
    Status, child,
};

pub(crate) use run::sealed_file;
use run::{Place, run_all};

/// What of a container's hooks is left to run after it was made.
const HOOKS_FILE: &str = "hooks.json";

/// What a hook reads on its standard input (runtime.md, "State").
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told<'a> {
    pub(crate) oci_version: &'a str,
    id: &'a str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    bundle: &'a Path,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    annotations: &'a std::collections::BTreeMap<String, String>,
}

impl<'a> Told<'a> {
    pub(crate) fn of_plan(plan: &'a Plan, status: Status, pid: Option<i32>) -> Self {
        Self {
            oci_version: &plan.oci_version,
            id: plan.id.as_str(),
            status,
            pid,
            bundle: &plan.bundle,
            annotations: &plan.annotations,
        }
    }

    pub(crate) fn of_state(state: &'a State, status: Status, pid: Option<i32>) -> Self {
        Self {
            oci_version: &state.oci_version,
            id: &state.id,
            status,
            pid,
            bundle: &state.bundle,
            annotations: &state.annotations,
        }
    }

    fn to_json(&self) -> Vec<u8> {
        // Strings and numbers only: there is nothing in it that could not be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The hooks of `create`. The child waits with everything mounted; its root is still the host's.
pub(crate) fn while_created(
    plan: &Plan,
    pid: Pid,
    child: BorrowedFd<'_>,
) -> Result<(), CreateError> {
    let Hooks { prestart, create_runtime, create_container, .. } = &plan.hooks;
    let bundle = cwd_of(&plan.bundle);
    let state = Told::of_plan(plan, Status::Creating, Some(pid.as_raw_nonzero().get())).to_json();
    let here = Place { cwd: &bundle, inside: None };
    run_all(prestart.iter().chain(create_runtime), &state, &here)?;
    if create_container.is_empty() {
        return Ok(());
    }
    let state = Told::of_plan(plan, Status::Creating, Some(own_pid(pid)?)).to_json();
    let inside =
        Place { cwd: &plan.rootfs_text, inside: Some((child, plan.namespaces.own_kinds())) };
    run_all(create_container, &state, &inside)?;
    Ok(())
}

/// What `startContainer` hooks will read: their state, with the pid that the container sees.
pub(crate) fn tell_start(plan: &Plan, pid: Pid, file: &OwnedFd) -> Result<(), CreateError> {
    let state = Told::of_plan(plan, Status::Created, Some(own_pid(pid)?)).to_json();
    run::fill(file, &state)
        .map_err(|source| CreateError::Parent { step: "write a hook's state", source })
}

/// A process's id as it sees itself: the last of `NSpid` (proc(5)).
fn own_pid(pid: Pid) -> Result<i32, CreateError> {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    std::fs::read_to_string(&path)
        .ok()
        .and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
            line.split_ascii_whitespace().next_back()?.parse().ok()
        })
        .ok_or_else(|| CreateError::Parent {
            step: "find the process's id in its namespace",
            source: SysError::of("read", || path)(Errno::SRCH),
        })
}

/// Keeps what runs later. Nothing is written for the many containers without.
pub(crate) fn keep(states: &StateDir, plan: &Plan) -> Result<(), StateError> {
    let Some(later) = &plan.later_hooks else { return Ok(()) };
    let path = states.container(&plan.id).join(HOOKS_FILE);
    std::fs::write(&path, later).map_err(|source| StateError::File {
        action: "write",
        path,
        source,
    })
}

fn kept(states: &StateDir, id: &str) -> Result<Hooks, StateError> {
    let path = states.root().join(id).join(HOOKS_FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Hooks::default()),
        Err(source) => return Err(StateError::File { action: "read", path, source }),
    };
    let given = serde_json::from_slice(&text)
        .map_err(|source| StateError::Damaged { path: path.clone(), source })?;
    Hooks::new(Some(&given)).map_err(|error| StateError::Damaged {
        path,
        source: <serde_json::Error as serde::de::Error>::custom(error),
    })
}

/// The end of a `start` through the FIFO: waits until the program has been executed, then runs the
/// `poststart` hooks.
///
/// # Errors
/// What the child could not do (a `startContainer` hook, the program); a failed `poststart` hook,
/// after which the container has been ended.
pub(crate) fn after_release(
    states: &StateDir,
    state: &State,
    path: &Path,
    fifo: &OwnedFd,
) -> Result<(), LifecycleError> {
    if let Some(failure) = until_executed(path, fifo)? {
        return Err(LifecycleError::Program(failure));
    }
    poststart_of(states, state)
}

/// The `poststart` hooks of a container that was released through a socket.
///
/// # Errors
/// A hook that failed; the container has been ended then.
pub fn poststart(states: &StateDir, id: &ContainerId) -> Result<(), LifecycleError> {
    poststart_of(states, &states.load(id)?)
}

/// Whether a container has `poststart` hooks.
#[must_use]
pub fn has_poststart(states: &StateDir, id: &ContainerId) -> bool {
    kept(states, id.as_str()).map_or(true, |hooks| !hooks.poststart.is_empty())
}

fn poststart_of(states: &StateDir, state: &State) -> Result<(), LifecycleError> {
    let hooks = kept(states, &state.id)?.poststart;
    if hooks.is_empty() {
        return Ok(());
    }
    let told = Told::of_state(state, Status::Running, Some(state.pid)).to_json();
    let cwd = cwd_of(&state.bundle);
    run_all(&hooks, &told, &Place { cwd: &cwd, inside: None }).map_err(|error| {
        if let Some(process) = state.process() {
            // ESRCH: it has ended by itself. The hook's failure is the one to tell.
            drop(process.send_signal(9));
        }
        LifecycleError::Hook(error)
    })
}

/// Waits until nobody has the FIFO open for reading: the program has been executed, or the process
/// has ended, and then what it wrote into the FIFO says why.
fn until_executed(path: &Path, fifo: &OwnedFd) -> Result<Option<ChildFailure>, LifecycleError> {
    let error = |call, errno| LifecycleError::System {
        step: "wait for the program to be executed",
        source: SysError::of(call, || path.display().to_string())(errno),
    };
    loop {
        // No event is asked for but the end of the last reader, which comes unasked (poll(2)).
        let mut fds = [PollFd::new(fifo, PollFlags::empty())];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) if fds[0].revents().is_empty() => (),
            Ok(_) => break,
            Err(errno) => return Err(error("poll", errno)),
        }
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let read_end =
        rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| error("open", errno))?;
    let mut record = [0_u8; child::RECORD_BYTES_MAX];
    match rustix::io::retry_on_intr(|| rustix::io::read(&read_end, &mut record)) {
        Ok(0) | Err(Errno::AGAIN) => Ok(None),
        Ok(read) => match child::parse(&record[..read]) {
            Some(child::Message::Failed(failure)) => Ok(Some(failure)),
            // Its own byte: it ended at its gate, before it read it.
            _other => Err(LifecycleError::NotRunning),
        },
        Err(errno) => Err(error("read", errno)),
    }
}

/// The `poststop` hooks of a container that is about to be forgotten.
#[derive(Debug)]
pub(crate) struct Poststop {
    hooks: Vec<Hook>,
    told: Vec<u8>,
    bundle: CString,
}

impl Poststop {
    pub(crate) fn of_plan(plan: &Plan) -> Self {
        Self {
            hooks: plan.hooks.poststop.clone(),
            told: Told::of_plan(plan, Status::Stopped, None).to_json(),
            bundle: cwd_of(&plan.bundle),
        }
    }

    /// Read before the state is removed; what cannot be read is logged.
    pub(crate) fn of_state(states: &StateDir, state: &State) -> Self {
        let hooks = kept(states, &state.id).unwrap_or_else(|error| {
            tracing::warn!(container = state.id, %error, "poststop hooks are lost");
            Hooks::default()
        });
        Self {
            hooks: hooks.poststop,
            told: Told::of_state(state, Status::Stopped, None).to_json(),
            bundle: cwd_of(&state.bundle),
        }
    }

    /// Runs all of them; one that fails is logged and the others still run.
    pub(crate) fn run(&self) {
        for hook in &self.hooks {
            let place = Place { cwd: &self.bundle, inside: None };
            if let Err(error) = run_all([hook], &self.told, &place) {
                tracing::warn!(error = chain(&error), "a poststop hook failed");
            }
        }
    }
}

fn chain(error: &HookError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The working directory of a hook: the bundle, which may be gone by the time of `poststop`.
fn cwd_of(bundle: &Path) -> CString {
    CString::new(bundle.as_os_str().as_bytes()).unwrap_or_default()
}

//! What can go wrong, one enum per family of operations.

use std::path::PathBuf;

use corten_sys_linux::SysError;
use corten_sys_linux::rustix::io::Errno;

/// A specification that cannot be made a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A field's value makes no sense.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field's JSON path.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// A field that would have to be ignored.
    #[error("{field} is not supported: {reason}")]
    Unsupported {
        /// The field's JSON path.
        field: String,
        /// Why, and what to do.
        reason: String,
    },
}

impl PlanError {
    pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    pub(crate) fn unsupported(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unsupported { field: field.into(), reason: reason.into() }
    }
}

/// A hook that did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It could not be run.
    #[error("{field}: run {path}")]
    System {
        /// Its JSON path.
        field: String,
        /// Its program.
        path: String,
        /// The call that failed.
        #[source]
        source: SysError,
    },
    /// It said that it failed.
    #[error("{field}: {path} ended with {how}{output}")]
    Failed {
        /// Its JSON path.
        field: String,
        /// Its program.
        path: String,
        /// Its status or signal.
        how: String,
        /// The beginning of what it wrote, after a colon; or nothing.
        output: String,
    },
    /// It took longer than it may.
    #[error("{field}: {path} was killed after its timeout of {seconds} s")]
    Timeout {
        /// Its JSON path.
        field: String,
        /// Its program.
        path: String,
        /// The timeout.
        seconds: u64,
    },
}

/// The state folder could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There is no such container.
    #[error("container does not exist: {id}")]
    NotFound {
        /// Its id.
        id: String,
    },
    /// There is one already.
    #[error("container with given ID already exists: {id}")]
    Exists {
        /// Its id.
        id: String,
    },
    /// A file could not be read or written.
    #[error("{action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A state file is not what this program writes.
    #[error("state file {} is damaged: remove the folder once its processes are gone", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// What the child said before it ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.describe())]
pub struct ChildFailure {
    /// What it was doing, such as `mount`.
    pub step: &'static str,
    /// To what: a path inside the container, a program, a limit.
    pub object: String,
    /// What the kernel answered.
    #[source]
    pub errno: Errno,
}

impl ChildFailure {
    /// A program that is not there is told in the words that engines and their users know.
    fn describe(&self) -> String {
        let Self { step, object, errno } = self;
        if *step != crate::child::PROGRAM {
            return format!("{step} {object:?}");
        }
        if *errno == Errno::NOENT && !object.contains('/') {
            return format!("exec: {object:?}: executable file not found in $PATH");
        }
        format!("exec: {object:?}")
    }
}

/// A process that could not be made; nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The specification.
    #[error("invalid specification")]
    Plan(#[from] PlanError),
    /// The state folder.
    #[error("state")]
    State(#[from] StateError),
    /// The cgroup could not be made or limited.
    #[error("cgroup {path}")]
    Cgroup {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: corten_runtime_cgroup::Error,
    },
    /// The cgroup is another container's.
    #[error("cgroup {path} already holds processes: it must be this container's own")]
    CgroupInUse {
        /// Its path.
        path: String,
    },
    /// Something the specification names could not be opened or set up.
    #[error("{field}")]
    Prepare {
        /// The field's JSON path.
        field: String,
        /// Why.
        #[source]
        source: SysError,
    },
    /// A system call of the parent's failed.
    #[error("{step}")]
    Parent {
        /// What it was for.
        step: &'static str,
        /// The call.
        #[source]
        source: SysError,
    },
    /// A step of the child's failed.
    #[error("container process")]
    Child(#[from] ChildFailure),
    /// A network device could not be given to the container.
    #[error("{field}")]
    NetDevice {
        /// The field's JSON path.
        field: String,
        /// Why.
        #[source]
        source: corten_sys_netlink::NetlinkError,
    },
    /// A hook failed.
    #[error("hook")]
    Hook(#[from] HookError),
    /// The child was killed before it was ready.
    #[error("the container's process ended before it was ready ({how})")]
    Ended {
        /// How it ended, as far as known.
        how: String,
    },
    /// Terminal and standard streams do not fit together.
    #[error("process.terminal: {reason}")]
    Terminal {
        /// What is wrong and what to do.
        reason: &'static str,
    },
    /// The container is not in a state for this.
    #[error("cannot exec in a {status} container")]
    NotRunning {
        /// Its status.
        status: crate::Status,
    },
}

/// A container could not be started, signalled or removed.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// The state folder.
    #[error("state")]
    State(#[from] StateError),
    /// The container is in the wrong state.
    #[error("cannot {action} container {id} that is {status}")]
    Status {
        /// What was asked.
        action: &'static str,
        /// Which container.
        id: String,
        /// What it is.
        status: crate::Status,
    },
    /// A signal to a container without a process.
    #[error("container not running")]
    NotRunning,
    /// The program could not be executed, or a `startContainer` hook failed.
    #[error("container process")]
    Program(#[source] ChildFailure),
    /// A `poststart` hook failed.
    #[error("hook")]
    Hook(#[source] HookError),
    /// A system call failed.
    #[error("{step}")]
    System {
        /// What it was for.
        step: &'static str,
        /// The call.
        #[source]
        source: SysError,
    },
    /// Its cgroup could not be signalled or removed.
    #[error("cgroup {path}")]
    Cgroup {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: corten_runtime_cgroup::Error,
    },
    /// Its processes did not end in time.
    #[error("container {id} still has processes after {waited_ms} ms of SIGKILL")]
    StillRunning {
        /// Which container.
        id: String,
        /// How long was waited.
        waited_ms: u64,
    },
}

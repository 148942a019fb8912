//! The service's side of the shims: one small process per sandbox that owns its containers.
//!
//! [`Shims`] starts and finds them, [`Shim`] is a conversation with one. The service proper knows
//! only these traits, so tests put a shim of their own behind them.

mod client;
mod spawn;

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::mpsc;

pub(crate) use spawn::ProcessShims;

/// What a shim is told of its sandbox when it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SandboxPlan {
    pub(crate) sandbox_id: String,
    /// Its folder: socket, log, record of exits, shared memory.
    pub(crate) dir: PathBuf,
    /// Where the namespaces are pinned.
    pub(crate) namespace_dir: PathBuf,
    pub(crate) hostname: Option<String>,
    pub(crate) net: Sharing,
    pub(crate) ipc: Sharing,
    pub(crate) uts: Sharing,
    pub(crate) pid: PidSharing,
    pub(crate) sysctls: Vec<(String, String)>,
    pub(crate) cgroup_parent: String,
}

/// Whose namespace a sandbox uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// One of its own, shared by its containers.
    Pod,
    /// The node's.
    Host,
}

/// Whose pid namespace the containers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PidSharing {
    /// One for all containers of the sandbox.
    Pod,
    /// Each its own.
    Container,
    /// The node's.
    Host,
}

/// A container to be made from a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewContainer {
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) log_path: Option<PathBuf>,
    pub(crate) terminal: bool,
    pub(crate) stdin: bool,
    pub(crate) stdin_once: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exited {
    /// 128 + the signal's number when one ended it.
    pub(crate) code: i32,
    /// Nanoseconds since the epoch.
    pub(crate) at_ns: i64,
    pub(crate) oom_killed: bool,
    /// It was killed because its time was up.
    pub(crate) timed_out: bool,
}

/// What a shim knows of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerReport {
    pub(crate) id: String,
    pub(crate) pid: Option<i32>,
    /// Nanoseconds since the epoch; nothing before the start.
    pub(crate) started_at_ns: Option<i64>,
    pub(crate) exited: Option<Exited>,
}

/// What a shim tells on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ShimEvent {
    /// A container's first process ended.
    Exit { container_id: String, exited: Exited },
    /// The kernel killed a process of the container for want of memory.
    Oom { container_id: String },
}

/// A conversation with a shim, and what it tells. The channel ends when the shim is lost.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) shim: Arc<dyn Shim>,
    pub(crate) events: mpsc::Receiver<ShimEvent>,
}

/// Something asked of a shim failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShimError {
    /// There is none at that socket.
    #[error("connect to the shim at {}", socket.display())]
    Connect {
        socket: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// It went away, or closed the connection.
    #[error("the shim is gone")]
    Lost,
    /// It does not answer.
    #[error("the shim did not answer within {seconds} s")]
    Timeout { seconds: u64 },
    /// It answered with something else than was asked, or speaks another version.
    #[error("the shim's answer makes no sense: {what}")]
    Protocol { what: String },
    /// It could not be started.
    #[error("start the shim: {what}")]
    Spawn { what: String },
    /// It refused.
    #[error("{}", fault_text(step, object, message))]
    Fault { code: FaultCode, step: String, object: String, message: String },
}

/// Why a shim refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultCode {
    NotFound,
    Exists,
    Invalid,
    State,
    Internal,
}

/// The step in which a container's program is looked for.
const FIND_PROGRAM: &str = "find program";

fn fault_text(step: &str, object: &str, message: &str) -> String {
    let parts = [step, object, message];
    let said: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    said.join(": ")
}

impl ShimError {
    /// The shim says that there is no such container.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Fault { code: FaultCode::NotFound, .. })
    }

    /// The container's program is not there, or not to be executed.
    pub(crate) fn is_of_program(&self) -> bool {
        matches!(self, Self::Fault { step, .. } if step == FIND_PROGRAM)
    }

    /// Nobody is there to ask.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Lost | Self::Connect { .. })
    }
}

/// Starts shims, and finds those that run.
pub(crate) trait Shims: Send + Sync + fmt::Debug {
    /// Starts the shim of a new sandbox; nothing is left behind when that fails.
    fn start(&self, plan: SandboxPlan) -> BoxFuture<'_, Result<Connection, ShimError>>;
    /// Connects to the shim whose folder is `dir`.
    fn attach<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, Result<Connection, ShimError>>;
    /// How the container ended, as a shim that is gone has recorded it below `dir`.
    fn recorded_exit(&self, dir: &Path, container_id: &str) -> Option<Exited>;
}

/// A conversation with one shim. Every call has its own time limit.
pub(crate) trait Shim: Send + Sync + fmt::Debug {
    /// Makes a container that waits to be started; its pid.
    fn create(&self, container: NewContainer) -> BoxFuture<'_, Result<i32, ShimError>>;
    /// Lets it run; when that was, in nanoseconds since the epoch.
    fn start<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<i64, ShimError>>;
    /// Runs another process in it, with the given standard streams, and kills its process group
    /// when it takes longer than `limit`; its pid.
    fn exec<'a>(
        &'a self,
        id: &'a str,
        exec_id: &'a str,
        process: serde_json::Value,
        stdio: [OwnedFd; 3],
        limit: Option<Duration>,
    ) -> BoxFuture<'a, Result<i32, ShimError>>;
    /// Runs another process in it, on a terminal; the terminal's other end.
    fn exec_terminal<'a>(
        &'a self,
        id: &'a str,
        exec_id: &'a str,
        process: serde_json::Value,
    ) -> BoxFuture<'a, Result<OwnedFd, ShimError>>;
    /// Waits until such a process has ended.
    fn wait_exec<'a>(
        &'a self,
        id: &'a str,
        exec_id: &'a str,
    ) -> BoxFuture<'a, Result<Exited, ShimError>>;
    /// Signals a process, or with `all` each process of the container.
    fn kill<'a>(
        &'a self,
        id: &'a str,
        exec_id: Option<&'a str>,
        signal: i32,
        all: bool,
    ) -> BoxFuture<'a, Result<(), ShimError>>;
    /// All its containers.
    fn state(&self) -> BoxFuture<'_, Result<Vec<ContainerReport>, ShimError>>;
    /// Forgets a container that has ended.
    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), ShimError>>;
    /// Opens the log file anew, after it was renamed.
    fn reopen_log<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), ShimError>>;
    /// Sets the size of the terminal of a container, or of such a process: columns and rows.
    fn resize<'a>(
        &'a self,
        id: &'a str,
        exec_id: Option<&'a str>,
        size: (u16, u16),
    ) -> BoxFuture<'a, Result<(), ShimError>>;
    /// Has what a container writes copied to pipes: standard output (or its terminal's) and
    /// standard error. Ends when there is no more; true if we were too slow and were cut off.
    fn attach<'a>(
        &'a self,
        id: &'a str,
        stdout: Option<OwnedFd>,
        stderr: Option<OwnedFd>,
    ) -> BoxFuture<'a, Result<bool, ShimError>>;
    /// What writes to a container's standard input, or terminal; does not block.
    fn open_stdin<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<OwnedFd, ShimError>>;
    /// Ends a container's standard input.
    fn close_stdin<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), ShimError>>;
    /// Ends the shim, and whatever still runs in the sandbox.
    fn shutdown(&self) -> BoxFuture<'_, Result<(), ShimError>>;
}

//! What a shim and its client say to each other. No IO.
//!
//! The shim listens on the stream socket [`SOCKET`] in its folder, for root only. Both sides send
//! frames: a length (u32, little endian, 1 to [`FRAME_BYTES_MAX`]) and that many bytes of JSON: a
//! [`Request`] one way, a [`Message`] the other. File descriptors travel as `SCM_RIGHTS` with a
//! frame's first byte; the frame says how many are its own, and they are taken in the order in
//! which they came.
//!
//! A connection may send requests without waiting; each is answered once, with its id, not
//! necessarily in order: [`Op::Wait`] is answered when the process ends. [`Op::Subscribe`] turns on
//! events for the connection.
//!
//! An old shim outlives the upgrade of its client: [`Op::Hello`] tells the shim's version, which
//! the client then has to speak. What a shim does not know is refused with
//! [`FaultCode::Invalid`], never ignored: so operations can be added within a version, and a client
//! that uses a newer one on an old shim is told.

mod frame;
mod sandbox;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use frame::{Decoder, FrameError, decode, encode};
pub use sandbox::{Namespaces, PidNamespace, PodNamespace, Ready, SandboxSpec, Startup};

/// The protocol's version.
pub const VERSION: u32 = 1;
/// A frame's length without its prefix.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// File descriptors that come with one frame.
pub const FDS_PER_FRAME_MAX: usize = 3;
/// Events that wait for a slow subscriber; past them it is told [`Event::Lagged`].
pub const EVENTS_QUEUED_MAX: usize = 1024;
/// Ended execs that nobody waited for yet, in one container; past them the oldest is forgotten.
pub const EXECS_KEPT_MAX: usize = 64;
/// Clients that are attached to one container.
pub const ATTACHED_MAX: usize = 64;
/// The socket's name in the shim's folder.
pub const SOCKET: &str = "shim.sock";
/// The [`SandboxSpec`]'s name in the shim's folder.
pub const SANDBOX_SPEC: &str = "sandbox.json";
/// The folder, in the shim's, of one file of [`Exited`] for each container that ended.
pub const EXITS: &str = "exits";
/// The shim's own log, in its folder.
pub const LOG: &str = "shim.log";

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`VERSION`].
    pub v: u32,
    /// Chosen by the client; comes back in the [`Reply`].
    pub id: u64,
    /// What is asked.
    pub op: Op,
}

impl Request {
    /// A request of this version.
    #[must_use]
    pub fn new(id: u64, op: Op) -> Self {
        Self { v: VERSION, id, op }
    }

    /// Reads a request from a frame.
    ///
    /// # Errors
    /// The reply to be sent instead, when at least the id could be read; without one there is
    /// nothing to answer and the connection is of no use.
    pub fn parse(frame: &[u8]) -> Result<Self, Box<Result<Reply, FrameError>>> {
        #[derive(Deserialize)]
        struct Envelope {
            v: u32,
            id: u64,
        }
        let envelope: Envelope = decode(frame).map_err(|error| Box::new(Err(error)))?;
        let invalid = |message: String| {
            let fault = Fault::new(FaultCode::Invalid, "parse", "request", message);
            Box::new(Ok(Reply { id: envelope.id, result: Err(fault) }))
        };
        if envelope.v != VERSION {
            return Err(invalid(format!(
                "protocol version {} is not spoken here; use {VERSION}",
                envelope.v
            )));
        }
        serde_json::from_slice(frame).map_err(|error| invalid(error.to_string()))
    }
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// Who is there? Answered by [`Answer::Hello`].
    Hello,
    /// Makes a container from `<bundle>/config.json`, up to the point where its program would
    /// start. Answered by [`Answer::Created`].
    Create {
        /// Its id.
        container_id: String,
        /// The OCI bundle.
        bundle: PathBuf,
        /// The log file, in CRI's format; without one, output is thrown away.
        #[serde(default)]
        log_path: Option<PathBuf>,
        /// One terminal instead of three streams; must equal the spec's `process.terminal`.
        #[serde(default)]
        terminal: bool,
        /// Keeps standard input open, fed from the FIFO `<shim's folder>/stdin/<container id>`.
        #[serde(default)]
        stdin: bool,
        /// Standard input ends with [`Op::CloseStdin`] and stays so.
        #[serde(default)]
        stdin_once: bool,
    },
    /// Lets a made container's program start. Answered by [`Answer::Started`].
    Start {
        /// Which.
        container_id: String,
    },
    /// Runs one more process in a container. Answered by [`Answer::Created`]; its end is an
    /// [`Event::Exit`] and the answer to [`Op::Wait`].
    Exec {
        /// In which.
        container_id: String,
        /// Its id in that container.
        exec_id: String,
        /// The OCI spec's `process`.
        process: serde_json::Value,
        /// File descriptors that come with this frame: 3 (standard input, output and error), or 0
        /// (`/dev/null`, or a terminal whose other end comes back with the answer).
        #[serde(default)]
        stdio: u8,
        /// After this long its process group is killed.
        #[serde(default)]
        timeout_ms: Option<u64>,
    },
    /// Sends a signal. Answered by [`Answer::Done`].
    Kill {
        /// To the container's first process, …
        container_id: String,
        /// … or to this exec's.
        #[serde(default)]
        exec_id: Option<String>,
        /// The signal's number.
        signal: i32,
        /// To all processes of the container.
        #[serde(default)]
        all: bool,
    },
    /// Waits for an end. Answered by [`Answer::Exited`], when it has come.
    Wait {
        /// Of the container's first process, …
        container_id: String,
        /// … or of this exec's.
        #[serde(default)]
        exec_id: Option<String>,
    },
    /// How is everything? Answered by [`Answer::State`].
    State,
    /// Removes a container that has stopped: processes left in its cgroup, the cgroup, its state
    /// and its record of exit. Answered by [`Answer::Done`].
    Delete {
        /// Which.
        container_id: String,
    },
    /// Goes on in a new file of the same name, the old one having been moved away. Answered by
    /// [`Answer::Done`].
    ReopenLog {
        /// Whose.
        container_id: String,
    },
    /// Sets a terminal's size. Answered by [`Answer::Done`].
    Resize {
        /// The container's, …
        container_id: String,
        /// … or this exec's.
        #[serde(default)]
        exec_id: Option<String>,
        /// In characters.
        width: u16,
        /// In characters.
        height: u16,
    },
    /// Copies what a container writes from now on to pipes, beside its log. Answered by
    /// [`Answer::Detached`] when the container has ended, or the client has closed its ends, or has
    /// let them fill up: the shim never waits for a client, so how long one may sleep is the size
    /// that it gave its pipes.
    Attach {
        /// Whose; made, and not ended.
        container_id: String,
        /// The first file descriptor of this frame gets the standard output, or what is written to
        /// the terminal.
        stdout: bool,
        /// The next one gets the standard error; a terminal has none.
        stderr: bool,
    },
    /// Asks for a way to write to a container's standard input, or to its terminal. Answered by
    /// [`Answer::Stdin`]. What comes of it is never the last writer: the container sees an end only
    /// after [`Op::CloseStdin`].
    OpenStdin {
        /// Whose.
        container_id: String,
    },
    /// Ends a container's standard input; a terminal's stays open, but is given to nobody else.
    /// Answered by [`Answer::Done`].
    CloseStdin {
        /// Whose.
        container_id: String,
    },
    /// Turns on events for this connection. Answered by [`Answer::Done`]; events from then on
    /// follow.
    Subscribe,
    /// Ends the shim: unpins the namespaces, removes mounts and socket. Answered by
    /// [`Answer::Done`]. Refused while there are containers.
    Shutdown {
        /// Kills and deletes the containers that there are.
        #[serde(default)]
        force: bool,
    },
}

/// What a shim sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// To one request.
    Reply(Reply),
    /// To subscribers.
    Event(Event),
}

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The request's.
    pub id: u64,
    /// How it went.
    pub result: Result<Answer, Fault>,
}

/// A request that went well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To [`Op::Hello`].
    Hello {
        /// The protocol's version that the shim speaks.
        version: u32,
        /// The shim's process.
        pid: i32,
        /// Its sandbox.
        sandbox_id: String,
    },
    /// To [`Op::Create`] and [`Op::Exec`].
    Created {
        /// The process, in the host's pid namespace.
        pid: i32,
        /// File descriptors that come with this frame: 1 for an exec with a terminal (its other
        /// end), else 0.
        fds: u8,
    },
    /// To [`Op::Start`].
    Started {
        /// Nanoseconds since 1970.
        at_ns: u64,
    },
    /// To [`Op::Wait`].
    Exited(Exited),
    /// To [`Op::Attach`], when it is over.
    Detached {
        /// The client was too slow: it has missed output, and was cut off.
        cut_off: bool,
    },
    /// To [`Op::OpenStdin`].
    Stdin {
        /// File descriptors that come with this frame: 1, not blocking.
        fds: u8,
    },
    /// To [`Op::State`].
    State {
        /// All there are, in order of creation.
        containers: Vec<ContainerState>,
    },
    /// To all else.
    Done,
}

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{step} {object}: {message}")]
pub struct Fault {
    /// What kind of failure.
    pub code: FaultCode,
    /// What was being done.
    pub step: String,
    /// To what.
    pub object: String,
    /// What went wrong, with its causes.
    pub message: String,
}

impl Fault {
    /// A fault.
    pub fn new(
        code: FaultCode,
        step: impl Into<String>,
        object: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { code, step: step.into(), object: object.into(), message: message.into() }
    }
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultCode {
    /// No such container or exec.
    NotFound,
    /// There is one of that name.
    Exists,
    /// The request makes no sense, or asks for what is not supported.
    Invalid,
    /// Not in this state, such as starting what runs.
    State,
    /// The kernel or the disk refused.
    Internal,
}

/// What happens by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A container's first process, or an exec, ended.
    Exit {
        /// Whose.
        container_id: String,
        /// Which exec; none for the container itself.
        exec_id: Option<String>,
        /// How.
        exited: Exited,
    },
    /// The OOM killer took a process of a container, not necessarily its first.
    Oom {
        /// Whose.
        container_id: String,
    },
    /// This subscriber was too slow and missed events: [`Op::State`] tells how things are.
    Lagged {
        /// How many events were lost.
        missed: u64,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// Its status; 128 + the signal's number if a signal ended it.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// When, in nanoseconds since 1970.
    pub at_ns: u64,
    /// The OOM killer was at work in the container by then, and SIGKILL ended this process.
    pub oom_killed: bool,
    /// It was killed because its time was up ([`Op::Exec`]).
    #[serde(default)]
    pub timed_out: bool,
}

/// How a container is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerState {
    /// Its id.
    pub id: String,
    /// Its first process, in the host's pid namespace, while it lives.
    pub pid: Option<i32>,
    /// Where it is in its life.
    pub status: ContainerStatus,
    /// Nanoseconds since 1970.
    pub created_at_ns: u64,
    /// Nanoseconds since 1970, once started.
    pub started_at_ns: Option<u64>,
    /// How it ended, once it has.
    pub exited: Option<Exited>,
}

/// The OCI states of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerStatus {
    /// Being made.
    Creating,
    /// Made, its program not started.
    Created,
    /// Its program runs.
    Running,
    /// Its program has ended.
    Stopped,
}

#[cfg(test)]
mod tests;

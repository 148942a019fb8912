//! What a URL stands for.

/// Which streams are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamFlags {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error; never with a terminal.
    pub stderr: bool,
    /// A terminal, and messages about its size.
    pub tty: bool,
}

/// Run a command in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// Which.
    pub container_id: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Its streams.
    pub streams: StreamFlags,
}

/// Join a container's first process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// Which.
    pub container_id: String,
    /// Its streams.
    pub streams: StreamFlags,
}

/// Reach ports of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortForward {
    /// Which.
    pub sandbox_id: String,
    /// The ports, for the protocols whose clients do not name them later.
    pub ports: Vec<u16>,
}

/// Any of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Exec(Exec),
    Attach(Attach),
    PortForward(PortForward),
}

impl Request {
    /// What the URL's path begins with.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Exec(_) => "exec",
            Self::Attach(_) => "attach",
            Self::PortForward(_) => "portforward",
        }
    }
}

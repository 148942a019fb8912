//! The shim's state and its loop.

mod attach;
mod clients;
mod jobs;
mod making;
mod outputs;
mod processes;
mod requests;
mod shutdown;

use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use corten_sys_linux::signal::{SignalFd, SignalSet};
use rustix::event::epoll::EventFlags;

use crate::connection::Connection;
use crate::container::{Asker, Container};
use crate::fault::{io, sys};
use crate::journal::Journal;
use crate::poller::{DeadlineKey, Deadlines, Poller, READ, Token};
use crate::protocol::{Fault, SOCKET, SandboxSpec};
use crate::record::Records;
use crate::sandbox::Sandbox;

use jobs::Job;

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGPIPE: i32 = 13;
const SIGTERM: i32 = 15;
const SIGCHLD: i32 = 17;

/// Without an event for this long the shim gives memory back.
const QUIET_AFTER: Duration = Duration::from_secs(5);

/// What woke the loop.
#[derive(Debug, Clone)]
enum Source {
    Listener,
    Signals,
    Connection,
    /// A job's process has ended.
    Job,
    /// A container wrote something.
    Output {
        container: String,
    },
    /// A container's first process, or an exec, has ended.
    Process {
        container: String,
        exec: Option<String>,
    },
    /// The program of a container that is being started runs, or does not.
    Gate {
        container: String,
    },
    /// The memory controller has something to say.
    Oom {
        container: String,
    },
}

/// What is to be done at a time.
#[derive(Debug)]
enum Due {
    /// An exec's time is up.
    ExecTimeout { container: String, exec: String, number: u64 },
    /// A job's.
    JobTimeout { token: Token },
    /// Nothing has happened for a while.
    Quiet,
    /// v1 tells of an OOM before it kills: look again.
    OomCheck { container: String },
}

/// The shim.
#[derive(Debug)]
pub(crate) struct Shim {
    dir: PathBuf,
    spec: SandboxSpec,
    sandbox: Sandbox,
    journal: Journal,
    records: Records,
    poller: Poller,
    listener: Option<UnixListener>,
    signals: SignalFd,
    sources: BTreeMap<Token, Source>,
    connections: BTreeMap<Token, Connection>,
    containers: BTreeMap<String, Container>,
    jobs: BTreeMap<Token, Job>,
    deadlines: Deadlines<Due>,
    /// When this will have been quiet.
    quiet: Option<DeadlineKey>,
    /// Numbers execs.
    next_exec: u64,
    /// What the shim's own processes had before the shim lowered its own.
    oom_score_adj: String,
    /// A child has ended that may be nobody's.
    strays: bool,
    /// Once asked to end: who asked, if it was a client.
    ending: Option<Option<Asker>>,
    ended: bool,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
}

impl Shim {
    /// Makes the sandbox and listens.
    pub(crate) fn start(
        dir: &Path,
        spec: SandboxSpec,
        oom_score_adj: String,
    ) -> Result<Self, Fault> {
        let journal = Journal::open(dir.join(crate::protocol::LOG));
        let taken = [SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGCHLD];
        let signals =
            SignalFd::new(SignalSet::of(&taken)).map_err(|error| sys("block signals", &error))?;
        let mut poller = Poller::new()?;
        let mut sandbox = Sandbox::make(dir, &spec)?;
        let listening = listen(&dir.join(SOCKET)).and_then(|listener| {
            let token = poller.add(&listener, READ)?;
            let signal_token = poller.add(&signals, READ)?;
            Ok((listener, token, signal_token, Records::open(dir)?))
        });
        let (listener, token, signal_token, records) = match listening {
            Ok(listening) => listening,
            Err(mut fault) => {
                std::fs::remove_file(dir.join(SOCKET)).unwrap_or_default();
                for also in sandbox.teardown() {
                    fault.message = format!("{}; then, undoing it: {also}", fault.message);
                }
                return Err(fault);
            }
        };
        Ok(Self {
            dir: dir.to_owned(),
            spec,
            sandbox,
            journal,
            records,
            poller,
            listener: Some(listener),
            signals,
            sources: BTreeMap::from([(token, Source::Listener), (signal_token, Source::Signals)]),
            connections: BTreeMap::new(),
            containers: BTreeMap::new(),
            jobs: BTreeMap::new(),
            deadlines: Deadlines::default(),
            quiet: None,
            next_exec: 0,
            oom_score_adj,
            strays: false,
            ending: None,
            ended: false,
            buffer: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Goes on until the shim is told to end.
    pub(crate) fn run(&mut self) -> Result<(), Fault> {
        self.journal.note(&format!("sandbox {} is ready", self.spec.sandbox_id));
        self.postpone_quiet();
        let mut ready = Vec::new();
        while !self.ended {
            self.poller.wait(&mut ready, self.deadlines.timeout(Instant::now()))?;
            if !ready.is_empty() {
                self.postpone_quiet();
            }
            for (token, flags) in ready.drain(..) {
                // What an earlier event of this round closed is passed over.
                if let Some(source) = self.sources.get(&token).cloned() {
                    self.dispatch(token, source, flags);
                }
            }
            let now = Instant::now();
            while let Some(due) = self.deadlines.pop_due(now) {
                self.due(due);
            }
            if self.strays {
                self.reap_strays();
            }
            self.advance_ending();
        }
        Ok(())
    }

    fn dispatch(&mut self, token: Token, source: Source, flags: EventFlags) {
        match source {
            Source::Listener => self.accept(),
            Source::Signals => self.on_signal(),
            Source::Connection => self.on_connection(token, flags),
            Source::Job => self.on_job_end(token),
            Source::Output { container } => self.on_output(&container, token),
            Source::Process { container, exec: None } => self.on_container_end(&container),
            Source::Process { container, exec: Some(exec) } => self.on_exec_end(&container, &exec),
            Source::Gate { container } => self.on_gate(&container),
            Source::Oom { container } => self.on_oom(&container),
        }
    }

    fn due(&mut self, due: Due) {
        match due {
            Due::ExecTimeout { container, exec, number } => {
                self.on_exec_timeout(&container, &exec, number);
            }
            Due::JobTimeout { token } => self.on_job_timeout(token),
            Due::OomCheck { container } => self.check_oom(&container),
            Due::Quiet => self.on_quiet(),
        }
    }

    fn postpone_quiet(&mut self) {
        if let Some(key) = self.quiet.take() {
            self.deadlines.cancel(key);
        }
        self.quiet = Some(self.deadlines.add(Instant::now() + QUIET_AFTER, Due::Quiet));
    }

    /// Most of the code is for making containers, and a pod's shim mostly waits.
    fn on_quiet(&mut self) {
        self.quiet = None;
        (self.buffer, self.scratch) = (Vec::new(), Vec::new());
        if let Err(cause) = corten_sys_linux::memory::release_code_pages() {
            self.journal.note(&format!("release code pages: {cause}"));
        }
    }

    fn on_signal(&mut self) {
        while let Ok(Some(signal)) = self.signals.next() {
            match signal {
                SIGTERM | SIGINT => {
                    self.journal.note(&format!("signal {signal}: ends, with all containers"));
                    if self.ending.is_none() {
                        self.ending = Some(None);
                    }
                }
                SIGCHLD => self.strays = true,
                // The terminal that the client was started from has gone, or an attached client,
                // which the write to its pipe has told already.
                _ => {}
            }
        }
    }

    /// Registers a source.
    fn watch(
        &mut self,
        fd: impl std::os::fd::AsFd,
        interest: EventFlags,
        source: Source,
    ) -> Result<Token, Fault> {
        let token = self.poller.add(fd, interest)?;
        self.sources.insert(token, source);
        Ok(token)
    }

    fn unwatch(&mut self, fd: impl std::os::fd::AsFd, token: Token) {
        self.poller.remove(fd);
        self.sources.remove(&token);
    }

    /// Before the process ends although it should not.
    pub(crate) fn last_words(&mut self, fault: &Fault) {
        self.note("ends although containers may be left", fault);
    }

    fn note(&mut self, what: &str, fault: &Fault) {
        self.journal.note(&format!("{what}: {fault}"));
    }

    /// The client's folder of this container's standard input.
    fn stdin_dir(&self) -> PathBuf {
        self.dir.join("stdin")
    }
}

/// Nanoseconds since 1970.
pub(crate) fn now_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}

/// Listens for root only. A socket that a shim left behind when it was killed is replaced: its
/// folder belongs to one sandbox, and the client starts no second shim in it.
fn listen(path: &Path) -> Result<UnixListener, Fault> {
    use std::os::unix::fs::PermissionsExt as _;
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(Fault::new(
            crate::protocol::FaultCode::Exists,
            "listen",
            path.display().to_string(),
            "another shim answers there",
        ));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(io("unlink", path, &error));
        }
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(|error| io("listen", path, &error))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| io("chmod", path, &error))?;
    listener.set_nonblocking(true).map_err(|error| io("listen", path, &error))?;
    Ok(listener)
}

//! A conversation with a shim over its socket.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use corten_runtime_shim::protocol::{
    self, Answer, Decoder, Event, Fault, FaultCode as WireCode, Message, Op, Request,
};
use corten_sys_linux::fdpass;
use corten_task::Tasks;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use super::{
    Connection, ContainerReport, Exited, FaultCode, NewContainer, Shim, ShimError, ShimEvent,
};

/// A shim answers at once, but for what the kernel takes its time for under load.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Ending a sandbox waits for its processes to be gone.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests on their way to one shim.
const REQUESTS_MAX: usize = 64;
/// Events not yet taken in; a connection that would need more is given up and made anew.
const EVENTS_MAX: usize = 1024;
const READ_BYTES: usize = 16 * 1024;

/// Descriptors that came and belong to no answer yet.
const FDS_HELD_MAX: usize = 16;

/// An answer with the descriptors that came with it.
type Answered = Result<(Answer, Vec<OwnedFd>), ShimError>;

/// One request on its way.
#[derive(Debug)]
struct Outgoing {
    op: Op,
    fds: Vec<OwnedFd>,
    answer: oneshot::Sender<Answered>,
}

/// The side of a connection that asks; a task of its own reads and writes.
#[derive(Debug)]
struct Client {
    requests: mpsc::Sender<Outgoing>,
}

/// Connects, makes sure that both speak the same version, and asks for events.
pub(super) async fn connect(socket: PathBuf, tasks: &Tasks) -> Result<Connection, ShimError> {
    let opened = match tokio::time::timeout(CONNECT_TIMEOUT, UnixStream::connect(&socket)).await {
        Ok(opened) => opened,
        Err(_elapsed) => return Err(ShimError::Timeout { seconds: CONNECT_TIMEOUT.as_secs() }),
    };
    let stream = opened.map_err(|source| ShimError::Connect { socket, source })?;
    let (requests, incoming) = mpsc::channel(REQUESTS_MAX);
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    tasks.spawn("shim connection", async move {
        let mut conversation = Conversation {
            stream,
            fds: VecDeque::new(),
            pending: BTreeMap::new(),
            next_id: 1,
            events: sender,
        };
        if let Err(cause) = conversation.run(incoming).await {
            tracing::debug!(%cause, "a shim's connection ended");
        }
    });
    let client = Client { requests };
    let answer = client.ask(Op::Hello).await?.0;
    let Answer::Hello { version, .. } = answer else { return Err(unexpected(&answer)) };
    if version != protocol::VERSION {
        let what = format!("it speaks version {version}, not {}", protocol::VERSION);
        return Err(ShimError::Protocol { what });
    }
    client.done(Op::Subscribe).await?;
    Ok(Connection { shim: std::sync::Arc::new(client), events })
}

fn unexpected(answer: &Answer) -> ShimError {
    ShimError::Protocol { what: format!("unexpected {answer:?}") }
}

/// What the task of a connection holds.
#[derive(Debug)]
struct Conversation {
    stream: UnixStream,
    fds: VecDeque<OwnedFd>,
    pending: BTreeMap<u64, oneshot::Sender<Answered>>,
    next_id: u64,
    events: mpsc::Sender<ShimEvent>,
}

impl Conversation {
    /// Until either side ends it. Those who wait for an answer then learn that the shim is lost,
    /// because the senders of their answers are dropped.
    async fn run(&mut self, mut incoming: mpsc::Receiver<Outgoing>) -> io::Result<()> {
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            tokio::select! {
                request = incoming.recv() => match request {
                    Some(request) => self.send(request).await?,
                    None => return Ok(()),
                },
                received = receive(&self.stream, &mut buffer) => {
                    let received = received?;
                    if received.bytes == 0 {
                        return Ok(());
                    }
                    self.fds.extend(received.fds);
                    if self.fds.len() > FDS_HELD_MAX {
                        return Err(io::Error::other("descriptors that belong to no answer"));
                    }
                    decoder.push(&buffer[..received.bytes]);
                    while let Some(frame) = decoder.next_frame().map_err(io::Error::other)? {
                        let message = protocol::decode(frame).map_err(io::Error::other)?;
                        self.take_in(message)?;
                    }
                }
            }
        }
    }

    fn take_in(&mut self, message: Message) -> io::Result<()> {
        let event = match message {
            Message::Reply(reply) => {
                let count = reply.result.as_ref().map_or(0, fds_of);
                if count > self.fds.len() {
                    return Err(io::Error::other("an answer without its descriptors"));
                }
                let fds: Vec<OwnedFd> = self.fds.drain(..count).collect();
                if let Some(sender) = self.pending.remove(&reply.id) {
                    let answer = reply.result.map(|answer| (answer, fds));
                    // The one who asked may have given up.
                    drop(sender.send(answer.map_err(ShimError::from)));
                }
                return Ok(());
            }
            Message::Event(event) => event,
        };
        let event = match event {
            Event::Exit { container_id, exec_id: None, exited } => {
                ShimEvent::Exit { container_id, exited: exited.into() }
            }
            // Whoever runs a command waits for it by name.
            Event::Exit { exec_id: Some(_), .. } => return Ok(()),
            Event::Oom { container_id } => ShimEvent::Oom { container_id },
            // A new connection asks how things are.
            Event::Lagged { missed } => {
                return Err(io::Error::other(format!("{missed} events were missed")));
            }
        };
        self.events.try_send(event).map_err(io::Error::other)
    }

    async fn send(&mut self, request: Outgoing) -> io::Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        let frame = match protocol::encode(&Request::new(id, request.op)) {
            Ok(frame) => frame,
            Err(error) => {
                let what = error.to_string();
                drop(request.answer.send(Err(ShimError::Protocol { what })));
                return Ok(());
            }
        };
        self.pending.insert(id, request.answer);
        let mut fds = request.fds;
        let mut sent = 0;
        while sent < frame.len() {
            let rest = &frame[sent..];
            sent += self
                .stream
                .async_io(Interest::WRITABLE, || send_with(&self.stream, rest, &fds))
                .await?;
            // They went with the first byte.
            fds.clear();
        }
        Ok(())
    }
}

async fn receive(stream: &UnixStream, buffer: &mut [u8]) -> io::Result<fdpass::Received> {
    let read = || fdpass::receive(stream, buffer).map_err(|error| error.errno.into());
    stream.async_io(Interest::READABLE, read).await
}

/// How many descriptors come with an answer.
fn fds_of(answer: &Answer) -> usize {
    match answer {
        Answer::Created { fds, .. } | Answer::Stdin { fds } => usize::from(*fds),
        Answer::Hello { .. }
        | Answer::Started { .. }
        | Answer::Exited(_)
        | Answer::Detached { .. }
        | Answer::State { .. }
        | Answer::Done => 0,
    }
}

fn send_with(stream: &UnixStream, bytes: &[u8], fds: &[OwnedFd]) -> io::Result<usize> {
    let borrowed: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
    let mut space = [std::mem::MaybeUninit::uninit();
        rustix::cmsg_space!(ScmRights(protocol::FDS_PER_FRAME_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::Error::other("more file descriptors than fit a message"));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(rustix::net::sendmsg(stream, &[io::IoSlice::new(bytes)], &mut control, flags)?)
}

impl Client {
    async fn ask(&self, op: Op) -> Answered {
        self.ask_within(op, Vec::new(), ANSWER_TIMEOUT).await
    }

    async fn ask_within(&self, op: Op, fds: Vec<OwnedFd>, limit: Duration) -> Answered {
        match tokio::time::timeout(limit, self.ask_for_ever(op, fds)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(ShimError::Timeout { seconds: limit.as_secs() }),
        }
    }

    /// For what has its end elsewhere: a process is waited for as long as it runs.
    async fn ask_for_ever(&self, op: Op, fds: Vec<OwnedFd>) -> Answered {
        let (answer, answered) = oneshot::channel();
        let request = Outgoing { op, fds, answer };
        self.requests.send(request).await.map_err(|_closed| ShimError::Lost)?;
        answered.await.map_err(|_dropped| ShimError::Lost)?
    }

    async fn done(&self, op: Op) -> Result<(), ShimError> {
        let (answer, _) = self.ask(op).await?;
        if answer == Answer::Done { Ok(()) } else { Err(unexpected(&answer)) }
    }
}

impl Shim for Client {
    fn create(&self, container: NewContainer) -> BoxFuture<'_, Result<i32, ShimError>> {
        let NewContainer { id, bundle, log_path, terminal, stdin, stdin_once } = container;
        let op = Op::Create { container_id: id, bundle, log_path, terminal, stdin, stdin_once };
        async move {
            let (answer, _) = self.ask(op).await?;
            let Answer::Created { pid, .. } = answer else { return Err(unexpected(&answer)) };
            Ok(pid)
        }
        .boxed()
    }

    fn start<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<i64, ShimError>> {
        async move {
            let (answer, _) = self.ask(Op::Start { container_id: id.to_owned() }).await?;
            let Answer::Started { at_ns } = answer else { return Err(unexpected(&answer)) };
            Ok(time(at_ns))
        }
        .boxed()
    }

    fn exec<'a>(
        &'a self,
        id: &'a str,
        exec_id: &'a str,
        process: serde_json::Value,
        stdio: [OwnedFd; 3],
        limit: Option<Duration>,
    ) -> BoxFuture<'a, Result<i32, ShimError>> {
        let timeout_ms = limit.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        let op = Op::Exec {
            container_id: id.to_owned(),
            exec_id: exec_id.to_owned(),
            process,
            stdio: 3,
            timeout_ms,
        };
        async move {
            let (answer, _) = self.ask_within(op, stdio.into(), ANSWER_TIMEOUT).await?;
            let Answer::Created { pid, .. } = answer else { return Err(unexpected(&answer)) };
            Ok(pid)
        }
        .boxed()
    }

    fn exec_terminal<'a>(
        &'a self,
        id: &'a str,
        exec_id: &'a str,
        process: serde_json::Value,
    ) -> BoxFuture<'a, Result<OwnedFd, ShimError>> {
        let (container_id, exec_id) = (id.to_owned(), exec_id.to_owned());
        let op = Op::Exec { container_id, exec_id, process, stdio: 0, timeout_ms: None };
        async move { only_fd(self.ask(op).await?) }.boxed()
    }

    fn wait_exec<'a>(
        &'a self,
        id: &'a str,
        exec_id: &'a str,
    ) -> BoxFuture<'a, Result<Exited, ShimError>> {
        let op = Op::Wait { container_id: id.to_owned(), exec_id: Some(exec_id.to_owned()) };
        async move {
            let (answer, _) = self.ask_for_ever(op, Vec::new()).await?;
            let Answer::Exited(exited) = answer else { return Err(unexpected(&answer)) };
            Ok(exited.into())
        }
        .boxed()
    }

    fn kill<'a>(
        &'a self,
        id: &'a str,
        exec_id: Option<&'a str>,
        signal: i32,
        all: bool,
    ) -> BoxFuture<'a, Result<(), ShimError>> {
        let exec_id = exec_id.map(str::to_owned);
        self.done(Op::Kill { container_id: id.to_owned(), exec_id, signal, all }).boxed()
    }

    fn state(&self) -> BoxFuture<'_, Result<Vec<ContainerReport>, ShimError>> {
        async move {
            let (answer, _) = self.ask(Op::State).await?;
            let Answer::State { containers } = answer else { return Err(unexpected(&answer)) };
            Ok(containers.into_iter().map(report).collect())
        }
        .boxed()
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), ShimError>> {
        self.done(Op::Delete { container_id: id.to_owned() }).boxed()
    }

    fn reopen_log<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), ShimError>> {
        self.done(Op::ReopenLog { container_id: id.to_owned() }).boxed()
    }

    fn resize<'a>(
        &'a self,
        id: &'a str,
        exec_id: Option<&'a str>,
        (width, height): (u16, u16),
    ) -> BoxFuture<'a, Result<(), ShimError>> {
        let (container_id, exec_id) = (id.to_owned(), exec_id.map(str::to_owned));
        self.done(Op::Resize { container_id, exec_id, width, height }).boxed()
    }

    fn attach<'a>(
        &'a self,
        id: &'a str,
        stdout: Option<OwnedFd>,
        stderr: Option<OwnedFd>,
    ) -> BoxFuture<'a, Result<bool, ShimError>> {
        let op = Op::Attach {
            container_id: id.to_owned(),
            stdout: stdout.is_some(),
            stderr: stderr.is_some(),
        };
        let fds = [stdout, stderr].into_iter().flatten().collect();
        async move {
            let (answer, _) = self.ask_for_ever(op, fds).await?;
            let Answer::Detached { cut_off } = answer else { return Err(unexpected(&answer)) };
            Ok(cut_off)
        }
        .boxed()
    }

    fn open_stdin<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<OwnedFd, ShimError>> {
        let op = Op::OpenStdin { container_id: id.to_owned() };
        async move { only_fd(self.ask(op).await?) }.boxed()
    }

    fn close_stdin<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), ShimError>> {
        self.done(Op::CloseStdin { container_id: id.to_owned() }).boxed()
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), ShimError>> {
        async move {
            let op = Op::Shutdown { force: true };
            let (answer, _) = self.ask_within(op, Vec::new(), SHUTDOWN_TIMEOUT).await?;
            if answer == Answer::Done { Ok(()) } else { Err(unexpected(&answer)) }
        }
        .boxed()
    }
}

fn only_fd((answer, fds): (Answer, Vec<OwnedFd>)) -> Result<OwnedFd, ShimError> {
    fds.into_iter().next().ok_or_else(|| unexpected(&answer))
}

fn time(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

fn report(state: protocol::ContainerState) -> ContainerReport {
    ContainerReport {
        id: state.id,
        pid: state.pid,
        started_at_ns: state.started_at_ns.map(time),
        exited: state.exited.map(Exited::from),
    }
}

impl From<protocol::Exited> for Exited {
    fn from(exited: protocol::Exited) -> Self {
        Self {
            code: exited.code,
            at_ns: time(exited.at_ns),
            oom_killed: exited.oom_killed,
            timed_out: exited.timed_out,
        }
    }
}

impl From<Fault> for ShimError {
    fn from(fault: Fault) -> Self {
        let code = match fault.code {
            WireCode::NotFound => FaultCode::NotFound,
            WireCode::Exists => FaultCode::Exists,
            WireCode::Invalid => FaultCode::Invalid,
            WireCode::State => FaultCode::State,
            WireCode::Internal => FaultCode::Internal,
        };
        let Fault { step, object, message, .. } = fault;
        Self::Fault { code, step, object, message }
    }
}

/// How a container ended, from the file that its shim wrote; nothing when there is none.
pub(super) fn recorded_exit(dir: &Path, container_id: &str) -> Option<Exited> {
    let bytes = std::fs::read(dir.join(protocol::EXITS).join(container_id)).ok()?;
    serde_json::from_slice::<protocol::Exited>(&bytes).ok().map(Exited::from)
}

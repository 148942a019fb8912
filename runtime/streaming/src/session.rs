//! A SPDY/3.1 connection with its streams.
//!
//! Flow control: what is read is credited to the peer, which may go by it or not. What is sent goes
//! by TCP's own alone, because the one implementation that Kubernetes uses (moby/spdystream) never
//! gives credit: waiting for it would be waiting for ever.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use corten_task::{CancellationToken, Tasks};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf,
};
use tokio::sync::{mpsc, oneshot};

use crate::channel::{CHUNK_BYTES, Gone, Input, LINGER, Link, Outgoing, Output};
use crate::spdy::{Decoder, Encoder, Error, Frame, Headers, ResetStatus, StreamId};

/// Streams at a time; two for each connection that is forwarded.
const STREAMS_MAX: usize = 512;
/// New streams that nobody has looked at yet.
const INCOMING_MAX: usize = 64;

/// Which side of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its streams have odd numbers.
    Client,
    /// Its streams have even numbers.
    Server,
}

/// A connection.
#[derive(Debug)]
pub struct Session {
    incoming: mpsc::Receiver<Opened>,
    shared: Arc<Shared>,
}

/// A stream that the peer has opened. It is answered when it is accepted or refused.
#[derive(Debug)]
pub struct Opened {
    /// Its number.
    pub id: StreamId,
    /// What it is for.
    pub headers: Headers,
    input: Input,
    output: Output,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    link: Link,
    streams: Mutex<Streams>,
}

#[derive(Debug)]
struct Streams {
    open: BTreeMap<StreamId, Stream>,
    next_own: StreamId,
    last_peer: StreamId,
}

#[derive(Debug)]
struct Stream {
    /// Until the peer has ended it.
    input: Option<mpsc::Sender<Bytes>>,
    output_ended: bool,
    /// Of a stream of ours that is not accepted yet.
    accepted: Option<oneshot::Sender<()>>,
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the peer breaks the protocol: {0}")]
    Protocol(#[from] Error),
    #[error("the peer breaks the protocol: {0}")]
    Wrong(&'static str),
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    #[error("nothing happened on it for a long time")]
    Idle,
    #[error("the other half has ended")]
    Gone,
}

impl From<Gone> for Ended {
    fn from(_gone: Gone) -> Self {
        Self::Gone
    }
}

impl Session {
    /// Starts to speak over `io`, which has been upgraded.
    pub fn start<T>(io: T, role: Role, tasks: &Tasks) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (link, queue) = Link::new();
        let (sender, incoming) = mpsc::channel(INCOMING_MAX);
        let next_own = match role {
            Role::Client => 1,
            Role::Server => 2,
        };
        let streams = Streams { open: BTreeMap::new(), next_own, last_peer: 0 };
        let shared = Arc::new(Shared { link, streams: Mutex::new(streams) });
        let session = Self { incoming, shared: Arc::clone(&shared) };
        let (reader, writer) = tokio::io::split(io);
        tasks.spawn("SPDY connection", async move {
            let frames = Frames { shared: Arc::clone(&shared), incoming: sender, role };
            let writing = Writing { shared: Arc::clone(&shared), writer, queue };
            run(&shared, read(reader, &frames), writing).await;
        });
        session
    }

    /// The next stream that the peer opens; none when the connection has ended.
    pub async fn next(&mut self) -> Option<Opened> {
        self.incoming.recv().await
    }

    /// Opens a stream, and waits until the peer accepts it.
    ///
    /// # Errors
    /// When it does not, or the connection has ended.
    pub async fn open(&self, headers: Headers) -> Result<(Input, Output), Gone> {
        let (accepted, answer) = oneshot::channel();
        let (id, input) = {
            let mut streams = self.shared.streams();
            let id = streams.next_own;
            streams.next_own += 2;
            let (sender, input) = self.shared.link.input(id);
            let stream =
                Stream { input: Some(sender), output_ended: false, accepted: Some(accepted) };
            streams.open.insert(id, stream);
            (id, input)
        };
        let frame = Frame::SynStream {
            stream: id,
            associated: 0,
            priority: 0,
            fin: false,
            unidirectional: false,
            headers,
        };
        self.shared.link.send(Outgoing::Frame(frame)).await?;
        match self.shared.link.gone.run_until_cancelled(answer).await {
            Some(Ok(())) => Ok((input, self.shared.link.output(id))),
            Some(Err(_)) | None => Err(Gone),
        }
    }

    /// Cancelled when the connection has ended.
    #[must_use]
    pub fn gone(&self) -> CancellationToken {
        self.shared.link.gone.clone()
    }

    /// Sends what is queued, says good-bye, and waits for the end.
    pub async fn close(self) {
        if self.shared.link.send(Outgoing::Close).await.is_ok() {
            self.shared.link.gone.cancelled().await;
        }
    }
}

impl Opened {
    /// Takes the stream.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn accept(self) -> Result<(Input, Output), Gone> {
        let frame = Frame::SynReply { stream: self.id, fin: false, headers: Headers::new() };
        self.shared.link.send(Outgoing::Frame(frame)).await?;
        Ok((self.input, self.output))
    }

    /// Does not take the stream.
    pub async fn refuse(self) {
        self.shared.streams().open.remove(&self.id);
        let frame = Frame::RstStream { stream: self.id, status: ResetStatus::REFUSED_STREAM };
        // A peer that has gone need not be told.
        drop(self.shared.link.send(Outgoing::Frame(frame)).await);
    }
}

impl Shared {
    fn streams(&self) -> std::sync::MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until either side ends the connection.
async fn run<T: AsyncWrite>(
    shared: &Shared,
    read: impl Future<Output = Result<(), Ended>>,
    mut writing: Writing<T>,
) {
    let ended = {
        tokio::pin!(read);
        tokio::select! {
            ended = &mut read => ended,
            ended = writing.run() => match ended {
                // Closing with input unread would be a reset, and what was sent last could be lost.
                Ok(()) => match tokio::time::timeout(LINGER, &mut read).await {
                    Ok(ended) => ended,
                    Err(_elapsed) => Ok(()),
                },
                Err(ended) => Err(ended),
            },
            () = shared.link.activity.idle() => Err(Ended::Idle),
        }
    };
    if let Err(cause) = ended {
        tracing::debug!(%cause, "a SPDY connection ends");
    }
    shared.link.gone.cancel();
    shared.streams().open.clear();
}

async fn read(mut reader: ReadHalf<impl AsyncRead>, frames: &Frames) -> Result<(), Ended> {
    let mut decoder = Decoder::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = reader.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        frames.shared.link.activity.touch();
        decoder.push(&buffer[..count]);
        while let Some(frame) = decoder.next_frame()? {
            if matches!(frame, Frame::Goaway { .. }) {
                return Ok(());
            }
            frames.take_in(frame).await?;
        }
    }
}

/// What becomes of the frames that come.
struct Frames {
    shared: Arc<Shared>,
    incoming: mpsc::Sender<Opened>,
    role: Role,
}

impl Frames {
    async fn take_in(&self, frame: Frame) -> Result<(), Ended> {
        match frame {
            Frame::SynStream { stream, fin, headers, .. } => {
                self.opened(stream, fin, headers).await
            }
            Frame::SynReply { stream, fin, .. } => {
                let mut streams = self.shared.streams();
                if let Some(one) = streams.open.get_mut(&stream) {
                    if let Some(accepted) = one.accepted.take() {
                        // Whoever waited may have given up.
                        accepted.send(()).unwrap_or_default();
                    }
                    if fin {
                        streams.input_ended(stream);
                    }
                }
                Ok(())
            }
            Frame::RstStream { stream, .. } => {
                self.shared.streams().open.remove(&stream);
                Ok(())
            }
            Frame::Data { stream, fin, bytes } => self.data(stream, fin, bytes).await,
            Frame::Headers { stream, fin, .. } => {
                if fin {
                    self.shared.streams().input_ended(stream);
                }
                Ok(())
            }
            Frame::Ping { id } => {
                // An answer to one of ours has our parity; we send none.
                let from_client = id % 2 == 1;
                if from_client == (self.role == Role::Server) {
                    self.shared.link.send(Outgoing::Frame(Frame::Ping { id })).await?;
                }
                Ok(())
            }
            Frame::Settings { .. } | Frame::WindowUpdate { .. } | Frame::Goaway { .. } => Ok(()),
        }
    }

    async fn opened(&self, id: StreamId, fin: bool, headers: Headers) -> Result<(), Ended> {
        let refused = {
            let mut streams = self.shared.streams();
            let peers = (id % 2 == 1) == (self.role == Role::Server);
            if !peers || id <= streams.last_peer {
                return Err(Ended::Wrong("a stream's number must be the peer's own, and rise"));
            }
            streams.last_peer = id;
            let link = &self.shared.link;
            let (sender, input) = link.input(id);
            let opened = Opened {
                id,
                headers,
                input,
                output: link.output(id),
                shared: Arc::clone(&self.shared),
            };
            let room = streams.open.len() < STREAMS_MAX;
            if room && self.incoming.try_send(opened).is_ok() {
                let input = (!fin).then_some(sender);
                streams.open.insert(id, Stream { input, output_ended: false, accepted: None });
                false
            } else {
                true
            }
        };
        if refused {
            let frame = Frame::RstStream { stream: id, status: ResetStatus::REFUSED_STREAM };
            self.shared.link.send(Outgoing::Frame(frame)).await?;
        }
        Ok(())
    }

    async fn data(&self, id: StreamId, fin: bool, bytes: Bytes) -> Result<(), Ended> {
        let input = self.shared.streams().open.get(&id).and_then(|stream| stream.input.clone());
        if let Some(input) = input
            && !bytes.is_empty()
        {
            // Nobody wants it any more: it is dropped, and what is behind it goes on.
            drop(input.send(bytes).await);
        }
        if fin {
            self.shared.streams().input_ended(id);
        }
        Ok(())
    }
}

impl Streams {
    fn input_ended(&mut self, id: StreamId) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.input = None;
            if stream.output_ended {
                self.open.remove(&id);
            }
        }
    }

    fn output_ended(&mut self, id: StreamId) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.output_ended = true;
            if stream.input.is_none() {
                self.open.remove(&id);
            }
        }
    }
}

struct Writing<T> {
    shared: Arc<Shared>,
    writer: WriteHalf<T>,
    queue: mpsc::Receiver<Outgoing>,
}

impl<T: AsyncWrite> Writing<T> {
    /// Until told to close.
    async fn run(&mut self) -> Result<(), Ended> {
        let mut encoder = Encoder::new();
        loop {
            let mut frames = Vec::new();
            let mut last = false;
            tokio::select! {
                outgoing = self.queue.recv() => match outgoing {
                    Some(Outgoing::Data { channel, bytes }) => {
                        frames.push(Frame::Data { stream: channel, fin: false, bytes });
                    }
                    Some(Outgoing::End { channel }) => {
                        self.shared.streams().output_ended(channel);
                        let bytes = Bytes::new();
                        frames.push(Frame::Data { stream: channel, fin: true, bytes });
                    }
                    Some(Outgoing::Frame(frame)) => frames.push(frame),
                    Some(Outgoing::Close) | None => {
                        let last_stream = self.shared.streams().last_peer;
                        frames.push(Frame::Goaway { last_stream, status: 0 });
                        last = true;
                    }
                },
                () = self.shared.link.credits.changed() => {
                    let credits = self.shared.link.credits.take();
                    for (stream, delta_bytes) in credits {
                        frames.push(Frame::WindowUpdate { stream, delta_bytes });
                        frames.push(Frame::WindowUpdate { stream: 0, delta_bytes });
                    }
                }
            }
            for frame in frames {
                let (mut bytes, content) = encoder.encode(frame)?;
                bytes.extend_from_slice(&content);
                self.writer.write_all(&bytes).await?;
            }
            self.writer.flush().await?;
            self.shared.link.activity.touch();
            if last {
                self.writer.shutdown().await?;
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! The ends of channels that share one connection, whatever its protocol is.
//!
//! Each channel has a short queue of its own; the connection has one more for all that goes out. A
//! channel that nobody reads from makes the connection wait, once its queue is full.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use corten_task::CancellationToken;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::spdy::Frame;

/// Read and sent at a time.
pub(crate) const CHUNK_BYTES: usize = 16 << 10;
/// Chunks that wait in a channel.
const CHANNEL_QUEUE: usize = 8;
/// What waits to go out.
const OUT_QUEUE: usize = 16;
/// Credit is given back once that much was read: half of a peer's first window.
const CREDIT_BYTES_MIN: u32 = 32 << 10;
/// A connection on which nothing at all happens for so long is closed, as Kubernetes does.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(4 * 60 * 60);
/// After our last word the peer has so long to end the connection.
pub(crate) const LINGER: Duration = Duration::from_secs(5);

pub(crate) type ChannelId = u32;

/// What is to go out, in order.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Data {
        channel: ChannelId,
        bytes: Bytes,
    },
    /// Nothing else will come on it.
    End {
        channel: ChannelId,
    },
    /// Only over SPDY.
    Frame(Frame),
    /// The connection's end.
    Close,
}

/// The connection is no more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection has ended")]
pub struct Gone;

/// What the channels of a connection share.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    queue: mpsc::Sender<Outgoing>,
    pub(crate) gone: CancellationToken,
    pub(crate) credits: Arc<Credits>,
    pub(crate) activity: Activity,
}

impl Link {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Outgoing>) {
        let (queue, receiver) = mpsc::channel(OUT_QUEUE);
        let link = Self {
            queue,
            gone: CancellationToken::new(),
            credits: Arc::default(),
            activity: Activity::new(),
        };
        (link, receiver)
    }

    pub(crate) async fn send(&self, outgoing: Outgoing) -> Result<(), Gone> {
        match self.gone.run_until_cancelled(self.queue.send(outgoing)).await {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(Gone),
        }
    }

    pub(crate) fn input(&self, channel: ChannelId) -> (mpsc::Sender<Bytes>, Input) {
        let (sender, queue) = mpsc::channel(CHANNEL_QUEUE);
        (sender, Input { channel, queue, owed_bytes: 0, credits: Arc::clone(&self.credits) })
    }

    pub(crate) fn output(&self, channel: ChannelId) -> Output {
        Output { channel, link: self.clone() }
    }
}

/// Where bytes come from.
#[derive(Debug)]
pub struct Input {
    channel: ChannelId,
    queue: mpsc::Receiver<Bytes>,
    owed_bytes: u32,
    credits: Arc<Credits>,
}

impl Input {
    /// The next bytes; none when the peer has ended the channel or the connection has ended. Safe
    /// to be dropped while it waits.
    pub async fn read(&mut self) -> Option<Bytes> {
        let bytes = self.queue.recv().await?;
        self.owed_bytes =
            self.owed_bytes.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        if self.owed_bytes >= CREDIT_BYTES_MIN {
            self.credits.give(self.channel, std::mem::take(&mut self.owed_bytes));
        }
        Some(bytes)
    }

    /// Writes all that comes into `target`, until the channel ends.
    ///
    /// # Errors
    /// When `target` takes no more.
    pub async fn copy_to(&mut self, target: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        while let Some(bytes) = self.read().await {
            target.write_all(&bytes).await?;
            target.flush().await?;
        }
        Ok(())
    }
}

/// Where bytes go to.
#[derive(Debug)]
pub struct Output {
    channel: ChannelId,
    link: Link,
}

impl Output {
    /// Queues bytes; waits while the connection is slow.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn write(&self, bytes: Bytes) -> Result<(), Gone> {
        self.link.send(Outgoing::Data { channel: self.channel, bytes }).await
    }

    /// Tells the peer that nothing else will come on this channel.
    pub async fn end(self) {
        // A peer that has gone need not be told.
        drop(self.link.send(Outgoing::End { channel: self.channel }).await);
    }

    /// Sends all that comes from `source`, until it ends or cannot be read any more.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn copy_from(&self, source: &mut (impl AsyncRead + Unpin)) -> Result<(), Gone> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            match source.read(&mut buffer).await {
                // EIO is how a terminal whose other end is closed says so.
                Ok(0) | Err(_) => return Ok(()),
                Ok(count) => self.write(Bytes::copy_from_slice(&buffer[..count])).await?,
            }
        }
    }
}

/// How many more bytes a peer may send on each channel, where the protocol counts them. Bounded by
/// the number of channels.
#[derive(Debug, Default)]
pub(crate) struct Credits {
    owed: Mutex<BTreeMap<ChannelId, u32>>,
    changed: Notify,
}

impl Credits {
    fn give(&self, channel: ChannelId, bytes: u32) {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = owed.entry(channel).or_default();
        *sum = sum.saturating_add(bytes).min(u32::MAX >> 1);
        drop(owed);
        self.changed.notify_one();
    }

    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn take(&self) -> BTreeMap<ChannelId, u32> {
        std::mem::take(&mut *self.owed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// When anything last happened on a connection.
#[derive(Debug, Clone)]
pub(crate) struct Activity {
    last: watch::Sender<Instant>,
}

impl Activity {
    fn new() -> Self {
        Self { last: watch::Sender::new(Instant::now()) }
    }

    pub(crate) fn touch(&self) {
        self.last.send_replace(Instant::now());
    }

    /// Ends when nothing has happened for [`IDLE_MAX`].
    pub(crate) async fn idle(&self) {
        loop {
            let until = *self.last.borrow() + IDLE_MAX;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

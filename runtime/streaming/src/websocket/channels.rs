//! The channel protocols: `channel.k8s.io` and its versions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};
use corten_task::Tasks;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::channel::{ChannelId, Gone, Input, LINGER, Link, Outgoing};

/// From version 5 on: a message on this channel ends the one that it names.
const CLOSE_SIGNAL: u8 = 255;

/// How channels and bytes become messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Binary messages: the channel's number, and the bytes.
    Binary,
    /// Text messages: the channel's digit, and the bytes in base64.
    Base64,
    /// Binary messages, and a channel can be ended alone.
    WithClose,
}

impl Codec {
    pub(crate) fn encode(self, channel: ChannelId, bytes: &Bytes) -> Result<Message, String> {
        let number = u8::try_from(channel).map_err(|_large| "too many channels".to_owned())?;
        match self {
            Self::Binary | Self::WithClose => {
                let mut message = BytesMut::with_capacity(1 + bytes.len());
                message.put_u8(number);
                message.put_slice(bytes);
                Ok(Message::Binary(message.freeze()))
            }
            Self::Base64 => {
                let mut text = String::from(char::from(b'0'.wrapping_add(number)));
                STANDARD.encode_string(bytes, &mut text);
                Ok(Message::text(text))
            }
        }
    }

    /// What a message from the client says; nothing for an empty one.
    pub(crate) fn decode(self, message: &Bytes) -> Result<Option<Said>, String> {
        let Some((first, rest)) = message.split_first() else { return Ok(None) };
        match self {
            Self::WithClose if *first == CLOSE_SIGNAL => match rest {
                [channel] => Ok(Some(Said::End { channel: (*channel).into() })),
                _ => Err("one channel must follow the signal to close it".to_owned()),
            },
            Self::Binary | Self::WithClose => {
                Ok(Some(Said::Data { channel: (*first).into(), bytes: message.slice(1..) }))
            }
            Self::Base64 => {
                let channel = first.wrapping_sub(b'0').into();
                let bytes = STANDARD.decode(rest).map_err(|error| error.to_string())?;
                Ok(Some(Said::Data { channel, bytes: bytes.into() }))
            }
        }
    }
}

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Data { channel: ChannelId, bytes: Bytes },
    End { channel: ChannelId },
}

/// A connection's channels.
#[derive(Debug)]
pub(crate) struct Channels {
    /// In order; none for those the client does not write to.
    pub(crate) inputs: Vec<Option<Input>>,
    pub(crate) link: Link,
}

impl Channels {
    pub(crate) fn take_input(&mut self, channel: usize) -> Option<Input> {
        self.inputs.get_mut(channel).and_then(Option::take)
    }

    /// Sends what is queued, says good-bye, and waits for the end.
    pub(crate) async fn close(self) {
        if self.link.send(Outgoing::Close).await.is_ok() {
            self.link.gone.cancelled().await;
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the connection broke: {0}")]
    WebSocket(#[from] Box<Error>),
    #[error("the client breaks the protocol: {0}")]
    Wrong(String),
    #[error("nothing happened on it for a long time")]
    Idle,
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::WebSocket(Box::new(error))
    }
}

/// Starts to speak; `readable` says for each channel whether the client writes to it.
pub(crate) fn start<T>(
    websocket: WebSocketStream<T>,
    codec: Codec,
    readable: &[bool],
    tasks: &Tasks,
) -> Channels
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (link, queue) = Link::new();
    let (mut senders, mut inputs) = (Vec::new(), Vec::new());
    for (channel, readable) in (0..).zip(readable) {
        let (sender, input) = link.input(channel);
        senders.push(readable.then_some(sender));
        inputs.push(readable.then_some(input));
    }
    let (sink, source) = websocket.split();
    let ours = link.clone();
    tasks.spawn("WebSocket connection", async move {
        if let Err(cause) = run((source, senders), (sink, queue), codec, &ours).await {
            tracing::debug!(%cause, "a WebSocket connection ends");
        }
        ours.gone.cancel();
    });
    Channels { inputs, link }
}

type Senders = Vec<Option<mpsc::Sender<Bytes>>>;

async fn run<T: AsyncRead + AsyncWrite + Unpin>(
    (source, senders): (SplitStream<WebSocketStream<T>>, Senders),
    (mut sink, queue): (SplitSink<WebSocketStream<T>, Message>, mpsc::Receiver<Outgoing>),
    codec: Codec,
    link: &Link,
) -> Result<(), Ended> {
    let read = read(source, senders, codec, link);
    tokio::pin!(read);
    let written = tokio::select! {
        ended = &mut read => return ended,
        ended = write(&mut sink, queue, codec, link) => ended,
        () = link.activity.idle() => return Err(Ended::Idle),
    };
    written?;
    // The client answers with a message of its own that it closes.
    match tokio::time::timeout(LINGER, &mut read).await {
        Ok(ended) => ended,
        Err(_elapsed) => Ok(()),
    }
}

async fn read<T: AsyncRead + AsyncWrite + Unpin>(
    mut source: SplitStream<WebSocketStream<T>>,
    mut senders: Senders,
    codec: Codec,
    link: &Link,
) -> Result<(), Ended> {
    while let Some(message) = source.next().await {
        link.activity.touch();
        let bytes = match message? {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => text.into(),
            // Pings are answered below.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            Message::Close(_) => return Ok(()),
        };
        match codec.decode(&bytes).map_err(Ended::Wrong)? {
            Some(Said::Data { channel, bytes }) => {
                // Channels that there are not, or that nobody reads any more, are passed over.
                if let Some(Some(sender)) = senders.get(channel as usize)
                    && !bytes.is_empty()
                {
                    drop(sender.send(bytes).await);
                }
            }
            Some(Said::End { channel }) => match senders.get_mut(channel as usize) {
                Some(sender) => *sender = None,
                None => return Err(Ended::Wrong(format!("there is no channel {channel}"))),
            },
            None => {}
        }
    }
    Ok(())
}

/// Until told to close.
async fn write<T: AsyncRead + AsyncWrite + Unpin>(
    sink: &mut SplitSink<WebSocketStream<T>, Message>,
    mut queue: mpsc::Receiver<Outgoing>,
    codec: Codec,
    link: &Link,
) -> Result<(), Ended> {
    while let Some(outgoing) = queue.recv().await {
        match outgoing {
            Outgoing::Data { channel, bytes } => {
                sink.send(codec.encode(channel, &bytes).map_err(Ended::Wrong)?).await?;
                link.activity.touch();
            }
            // The protocol has no word for it from this side.
            Outgoing::End { .. } | Outgoing::Frame(_) => {}
            Outgoing::Close => break,
        }
    }
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    sink.send(Message::Close(Some(frame))).await?;
    Ok(())
}

impl From<Gone> for Ended {
    fn from(gone: Gone) -> Self {
        Self::Wrong(gone.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn codec() -> impl Strategy<Value = Codec> {
        prop_oneof![Just(Codec::Binary), Just(Codec::Base64), Just(Codec::WithClose)]
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            codec in codec(),
            channel in 0..200_u32,
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            // In base64 a channel is one character.
            let channel = if codec == Codec::Base64 { channel % 10 } else { channel };
            let bytes = Bytes::from(bytes);
            let message = codec.encode(channel, &bytes).unwrap();
            prop_assert_eq!(message.is_text(), codec == Codec::Base64);
            let said = codec.decode(&message.into_data()).unwrap();
            prop_assert_eq!(said, Some(Said::Data { channel, bytes }));
        }

        #[test]
        fn bytes_of_a_stranger_do_no_harm(
            codec in codec(),
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            drop(codec.decode(&bytes.into()));
        }
    }

    #[test]
    fn only_version_5_can_end_a_channel() {
        let signal = Bytes::from_static(&[255, 0]);
        assert_eq!(Codec::WithClose.decode(&signal), Ok(Some(Said::End { channel: 0 })));
        let data = Said::Data { channel: 255, bytes: Bytes::from_static(&[0]) };
        assert_eq!(Codec::Binary.decode(&signal), Ok(Some(data)));
        Codec::WithClose.decode(&Bytes::from_static(&[255])).unwrap_err();
        Codec::WithClose.decode(&Bytes::from_static(&[255, 0, 0])).unwrap_err();
    }
}

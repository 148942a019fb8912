//! Frames.

use bytes::Bytes;

use super::Headers;

/// Names a stream of a connection: 31 bits; odd if the client opened it.
pub type StreamId = u32;

/// One frame. Of a data frame the decoder gives the pieces in which it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    SynStream {
        /// The new stream.
        stream: StreamId,
        /// One that it belongs to, or 0.
        associated: StreamId,
        /// 0 (highest) to 7.
        priority: u8,
        /// Nothing else will come on it.
        fin: bool,
        /// Nothing may be answered on it.
        unidirectional: bool,
        /// What it is for.
        headers: Headers,
    },
    /// Accepts a stream.
    SynReply {
        /// Which.
        stream: StreamId,
        /// Nothing else will come on it.
        fin: bool,
        /// What is said about it.
        headers: Headers,
    },
    /// Ends a stream at once, both ways.
    RstStream {
        /// Which.
        stream: StreamId,
        /// Why.
        status: ResetStatus,
    },
    /// How the peer would like things.
    Settings {
        /// Each a wish.
        settings: Vec<Setting>,
    },
    /// Comes back as it is.
    Ping {
        /// Odd if the client asked.
        id: u32,
    },
    /// No stream after the named one is dealt with.
    Goaway {
        /// The last that was.
        last_stream: StreamId,
        /// 0 is fine, 1 a protocol error, 2 an internal one.
        status: u32,
    },
    /// More headers for a stream.
    Headers {
        /// Which.
        stream: StreamId,
        /// Nothing else will come on it.
        fin: bool,
        /// They.
        headers: Headers,
    },
    /// So many more bytes may be sent.
    WindowUpdate {
        /// On which stream; 0 for all together.
        stream: StreamId,
        /// 1 to 2^31 - 1.
        delta_bytes: u32,
    },
    /// Content of a stream.
    Data {
        /// Which.
        stream: StreamId,
        /// Nothing else will come on it.
        fin: bool,
        /// It; empty for an end alone.
        bytes: Bytes,
    },
}

/// One wish of a SETTINGS frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Whether it is to be, or was, kept for another connection.
    pub flags: u8,
    /// What it is about; 24 bits.
    pub id: u32,
    /// The wish.
    pub value: u32,
}

/// Why a stream is reset: draft 3.1, section 2.6.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResetStatus(pub u32);

impl ResetStatus {
    /// The peer does not keep to the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// There is no such stream.
    pub const INVALID_STREAM: Self = Self(2);
    /// Not taken, and nothing was done for it.
    pub const REFUSED_STREAM: Self = Self(3);
    /// Not needed any more.
    pub const CANCEL: Self = Self(5);
    /// There is a stream of that id.
    pub const STREAM_IN_USE: Self = Self(8);
}

//! SPDY/3.1's frames, as far as Kubernetes' clients use them. No IO.
//!
//! [`Encoder`] and [`Decoder`] each hold one direction's header compression: a connection needs one
//! of both at either end, and every frame has to go through them in order. The source is the SPDY
//! protocol, draft 3.1, section 2.

mod decoder;
mod dictionary;
mod encoder;
mod frame;
mod headers;
#[cfg(test)]
mod tests;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use frame::{Frame, ResetStatus, Setting, StreamId};
pub use headers::Headers;

/// A control frame's payload; longer ones are refused. A block of headers is a few hundred bytes.
pub const CONTROL_BYTES_MAX: usize = 64 << 10;
/// A block of headers, unpacked.
pub const HEADER_BLOCK_BYTES_MAX: usize = 64 << 10;
/// Names in one block of headers.
pub const HEADERS_MAX: usize = 256;
/// What a data frame can hold at most: its length has 24 bits.
pub const DATA_BYTES_MAX: usize = (1 << 24) - 1;

const VERSION: u16 = 3;
const FRAME_HEADER_BYTES: usize = 8;
const FLAG_FIN: u8 = 1;
const FLAG_UNIDIRECTIONAL: u8 = 2;

/// Kinds of control frames.
mod kind {
    pub(super) const SYN_STREAM: u16 = 1;
    pub(super) const SYN_REPLY: u16 = 2;
    pub(super) const RST_STREAM: u16 = 3;
    pub(super) const SETTINGS: u16 = 4;
    pub(super) const PING: u16 = 6;
    pub(super) const GOAWAY: u16 = 7;
    pub(super) const HEADERS: u16 = 8;
    pub(super) const WINDOW_UPDATE: u16 = 9;
}

/// Bytes that are no SPDY/3.1, or more of it than is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another version of the protocol.
    #[error("a frame of SPDY version {version}; {VERSION} is spoken here")]
    Version {
        /// Which.
        version: u16,
    },
    /// A control frame whose length cannot be right, or is more than is taken.
    #[error("a control frame of kind {kind} with {length_bytes} bytes")]
    Length {
        /// Its kind.
        kind: u16,
        /// Its length.
        length_bytes: usize,
    },
    /// A field has a value that it must not have.
    #[error("{field} of a control frame of kind {kind} must not be {value}")]
    Field {
        /// The frame's kind.
        kind: u16,
        /// Which field.
        field: &'static str,
        /// What it is.
        value: u32,
    },
    /// A block of headers that cannot be read; the compression's state is lost with it.
    #[error("a block of headers {problem}")]
    Headers {
        /// What is wrong with it.
        problem: &'static str,
    },
}

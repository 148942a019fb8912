//! From bytes to frames.

use bytes::{Buf as _, Bytes, BytesMut};

use super::headers::Unpacker;
use super::{
    CONTROL_BYTES_MAX, Error, FLAG_FIN, FLAG_UNIDIRECTIONAL, FRAME_HEADER_BYTES, Frame,
    ResetStatus, Setting, StreamId, VERSION, kind,
};

const SETTING_BYTES: usize = 8;

/// One direction's decoder. It holds at most one control frame and what was pushed last; a data
/// frame is given out in pieces, as they come.
#[derive(Debug)]
pub struct Decoder {
    unpacker: Unpacker,
    buffer: BytesMut,
    /// A data frame of which more is to come.
    data: Option<Data>,
}

#[derive(Debug)]
struct Data {
    stream: StreamId,
    fin: bool,
    left_bytes: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// One for a new connection.
    #[must_use]
    pub fn new() -> Self {
        Self { unpacker: Unpacker::new(), buffer: BytesMut::new(), data: None }
    }

    /// Takes bytes as they came. Call [`Decoder::next_frame`] until it has none before pushing
    /// more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, if it is there. Kinds of frames that the protocol does not have are passed
    /// over, as it demands.
    ///
    /// # Errors
    /// When there cannot be one: the connection is of no more use.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(data) = self.data.take() {
                return Ok(self.piece(data));
            }
            if self.buffer.len() < FRAME_HEADER_BYTES {
                return Ok(None);
            }
            let mut header = &self.buffer[..FRAME_HEADER_BYTES];
            let (first, second) = (header.get_u32(), header.get_u32());
            let flags = (second >> 24) as u8;
            let length_bytes = (second & 0xff_ffff) as usize;
            if first & 0x8000_0000 == 0 {
                self.buffer.advance(FRAME_HEADER_BYTES);
                let fin = flags & FLAG_FIN != 0;
                if length_bytes == 0 {
                    return Ok(Some(Frame::Data { stream: first, fin, bytes: Bytes::new() }));
                }
                self.data = Some(Data { stream: first, fin, left_bytes: length_bytes });
                continue;
            }
            let (version, kind) = ((first >> 16) as u16 & 0x7fff, first as u16);
            if version != VERSION {
                return Err(Error::Version { version });
            }
            if length_bytes > CONTROL_BYTES_MAX {
                return Err(Error::Length { kind, length_bytes });
            }
            if self.buffer.len() < FRAME_HEADER_BYTES + length_bytes {
                return Ok(None);
            }
            self.buffer.advance(FRAME_HEADER_BYTES);
            let payload = self.buffer.split_to(length_bytes).freeze();
            if let Some(frame) = self.control(kind, flags, payload)? {
                return Ok(Some(frame));
            }
        }
    }

    /// Whether more of a data frame is to come.
    #[cfg(test)]
    pub(super) fn in_data(&self) -> bool {
        self.data.is_some()
    }

    /// As much of a data frame as has come.
    fn piece(&mut self, mut data: Data) -> Option<Frame> {
        if self.buffer.is_empty() {
            self.data = Some(data);
            return None;
        }
        let count = data.left_bytes.min(self.buffer.len());
        let bytes = self.buffer.split_to(count).freeze();
        data.left_bytes -= count;
        let last = data.left_bytes == 0;
        let frame = Frame::Data { stream: data.stream, fin: data.fin && last, bytes };
        if !last {
            self.data = Some(data);
        }
        Some(frame)
    }

    fn control(&mut self, kind: u16, flags: u8, payload: Bytes) -> Result<Option<Frame>, Error> {
        let mut fields = Fields { kind, length_bytes: payload.len(), rest: payload };
        let fin = flags & FLAG_FIN != 0;
        let frame = match kind {
            kind::SYN_STREAM => {
                let stream = fields.stream()?;
                let associated = fields.id()?;
                let priority = (fields.word16()? >> 13) as u8;
                let unidirectional = flags & FLAG_UNIDIRECTIONAL != 0;
                let headers = self.unpacker.unpack(&fields.rest)?;
                Frame::SynStream { stream, associated, priority, fin, unidirectional, headers }
            }
            kind::SYN_REPLY => {
                let stream = fields.stream()?;
                Frame::SynReply { stream, fin, headers: self.unpacker.unpack(&fields.rest)? }
            }
            kind::HEADERS => {
                let stream = fields.stream()?;
                Frame::Headers { stream, fin, headers: self.unpacker.unpack(&fields.rest)? }
            }
            kind::RST_STREAM => {
                let stream = fields.stream()?;
                let status = fields.not_zero("status")?;
                fields.end()?;
                Frame::RstStream { stream, status: ResetStatus(status) }
            }
            kind::SETTINGS => Frame::Settings { settings: fields.settings()? },
            kind::PING => {
                let id = fields.word()?;
                fields.end()?;
                Frame::Ping { id }
            }
            kind::GOAWAY => {
                let last_stream = fields.id()?;
                let status = fields.word()?;
                fields.end()?;
                Frame::Goaway { last_stream, status }
            }
            kind::WINDOW_UPDATE => {
                let stream = fields.id()?;
                let delta_bytes = fields.id()?;
                fields.end()?;
                if delta_bytes == 0 {
                    return Err(fields.wrong("delta", 0));
                }
                Frame::WindowUpdate { stream, delta_bytes }
            }
            _ => return Ok(None),
        };
        Ok(Some(frame))
    }
}

/// What is left of a control frame.
struct Fields {
    kind: u16,
    length_bytes: usize,
    rest: Bytes,
}

impl Fields {
    fn too_short(&self) -> Error {
        Error::Length { kind: self.kind, length_bytes: self.length_bytes }
    }

    fn wrong(&self, field: &'static str, value: u32) -> Error {
        Error::Field { kind: self.kind, field, value }
    }

    fn word(&mut self) -> Result<u32, Error> {
        self.rest.try_get_u32().map_err(|_short| self.too_short())
    }

    fn word16(&mut self) -> Result<u16, Error> {
        self.rest.try_get_u16().map_err(|_short| self.too_short())
    }

    /// 31 bits.
    fn id(&mut self) -> Result<u32, Error> {
        Ok(self.word()? & (u32::MAX >> 1))
    }

    fn stream(&mut self) -> Result<StreamId, Error> {
        let id = self.id()?;
        if id == 0 { Err(self.wrong("stream", 0)) } else { Ok(id) }
    }

    fn not_zero(&mut self, field: &'static str) -> Result<u32, Error> {
        let value = self.word()?;
        if value == 0 { Err(self.wrong(field, 0)) } else { Ok(value) }
    }

    fn settings(&mut self) -> Result<Vec<Setting>, Error> {
        let count = self.word()? as usize;
        if Some(self.rest.len()) != count.checked_mul(SETTING_BYTES) {
            return Err(self.too_short());
        }
        let mut settings = Vec::with_capacity(count);
        for _ in 0..count {
            let (word, value) = (self.word()?, self.word()?);
            settings.push(Setting { flags: (word >> 24) as u8, id: word & 0xff_ffff, value });
        }
        Ok(settings)
    }

    fn end(&self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.too_short()) }
    }
}

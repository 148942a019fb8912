//! From frames to bytes.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::headers::Packer;
use super::{
    CONTROL_BYTES_MAX, DATA_BYTES_MAX, Error, FLAG_FIN, FLAG_UNIDIRECTIONAL, FRAME_HEADER_BYTES,
    Frame, Headers, Setting, VERSION, kind,
};

/// One direction's encoder.
#[derive(Debug)]
pub struct Encoder {
    packer: Packer,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// One for a new connection.
    #[must_use]
    pub fn new() -> Self {
        Self { packer: Packer::new() }
    }

    /// The frame's bytes: what goes before its content, and its content, which is not copied.
    ///
    /// # Errors
    /// When it is longer than a frame can be.
    pub fn encode(&mut self, frame: Frame) -> Result<(BytesMut, Bytes), Error> {
        let control = match frame {
            Frame::Data { stream, fin, bytes } => return data(stream, fin, bytes),
            Frame::SynStream { stream, associated, priority, fin, unidirectional, headers } => {
                let mut payload = BytesMut::new();
                payload.put_u32(id(stream));
                payload.put_u32(id(associated));
                payload.put_u8((priority & 7) << 5);
                payload.put_u8(0);
                let flags = flag(fin, FLAG_FIN) | flag(unidirectional, FLAG_UNIDIRECTIONAL);
                self.with_headers(kind::SYN_STREAM, flags, payload, &headers)?
            }
            Frame::SynReply { stream, fin, headers } => {
                let payload = words(&[id(stream)]);
                self.with_headers(kind::SYN_REPLY, flag(fin, FLAG_FIN), payload, &headers)?
            }
            Frame::Headers { stream, fin, headers } => {
                let payload = words(&[id(stream)]);
                self.with_headers(kind::HEADERS, flag(fin, FLAG_FIN), payload, &headers)?
            }
            Frame::RstStream { stream, status } => {
                control(kind::RST_STREAM, 0, &words(&[id(stream), status.0]))?
            }
            Frame::Settings { settings } => control(kind::SETTINGS, 0, &wishes(&settings))?,
            Frame::Ping { id } => control(kind::PING, 0, &words(&[id]))?,
            Frame::Goaway { last_stream, status } => {
                control(kind::GOAWAY, 0, &words(&[id(last_stream), status]))?
            }
            Frame::WindowUpdate { stream, delta_bytes } => {
                control(kind::WINDOW_UPDATE, 0, &words(&[id(stream), id(delta_bytes)]))?
            }
        };
        Ok((control, Bytes::new()))
    }

    fn with_headers(
        &mut self,
        kind: u16,
        flags: u8,
        mut payload: BytesMut,
        headers: &Headers,
    ) -> Result<BytesMut, Error> {
        payload.put_slice(&self.packer.pack(headers)?);
        control(kind, flags, &payload)
    }
}

/// The highest bit is reserved.
fn id(number: u32) -> u32 {
    number & (u32::MAX >> 1)
}

fn flag(is: bool, flag: u8) -> u8 {
    if is { flag } else { 0 }
}

fn words(words: &[u32]) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(4 * words.len());
    for word in words {
        bytes.put_u32(*word);
    }
    bytes
}

fn wishes(settings: &[Setting]) -> BytesMut {
    let mut payload = words(&[u32::try_from(settings.len()).unwrap_or(u32::MAX)]);
    for setting in settings {
        payload.put_u32(u32::from(setting.flags) << 24 | setting.id & 0xff_ffff);
        payload.put_u32(setting.value);
    }
    payload
}

fn control(kind: u16, flags: u8, payload: &[u8]) -> Result<BytesMut, Error> {
    let too_long = Error::Length { kind, length_bytes: payload.len() };
    if payload.len() > CONTROL_BYTES_MAX {
        return Err(too_long);
    }
    let length = u32::try_from(payload.len()).map_err(|_too_large| too_long)?;
    let mut bytes = BytesMut::with_capacity(FRAME_HEADER_BYTES + payload.len());
    bytes.put_u16(0x8000 | VERSION);
    bytes.put_u16(kind);
    bytes.put_u32(u32::from(flags) << 24 | length);
    bytes.put_slice(payload);
    Ok(bytes)
}

fn data(stream: u32, fin: bool, content: Bytes) -> Result<(BytesMut, Bytes), Error> {
    let length_bytes = content.len();
    match u32::try_from(length_bytes) {
        Ok(length) if length_bytes <= DATA_BYTES_MAX => {
            let mut bytes = BytesMut::with_capacity(FRAME_HEADER_BYTES);
            bytes.put_u32(id(stream));
            bytes.put_u32(u32::from(flag(fin, FLAG_FIN)) << 24 | length);
            Ok((bytes, content))
        }
        Ok(_) | Err(_) => Err(Error::Length { kind: 0, length_bytes }),
    }
}

//! Frames: a length and JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::FRAME_BYTES_MAX;

const PREFIX_BYTES: usize = 4;

/// Bytes that are no frame, or cannot be one.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`FRAME_BYTES_MAX`], or empty.
    #[error("a frame of {length_bytes} bytes; 1 to {FRAME_BYTES_MAX} are allowed")]
    Length {
        /// What its prefix says.
        length_bytes: usize,
    },
    /// Not the JSON that was expected.
    #[error("a frame that is not what it should be")]
    Json {
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
}

/// A frame ready to be sent, with its prefix.
///
/// # Errors
/// When it would be too long.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; PREFIX_BYTES];
    serde_json::to_writer(&mut frame, value).map_err(|source| FrameError::Json { source })?;
    let length_bytes = frame.len() - PREFIX_BYTES;
    match u32::try_from(length_bytes) {
        Ok(length) if length_bytes <= FRAME_BYTES_MAX => {
            frame[..PREFIX_BYTES].copy_from_slice(&length.to_le_bytes());
            Ok(frame)
        }
        Ok(_) | Err(_) => Err(FrameError::Length { length_bytes }),
    }
}

/// What a frame says.
///
/// # Errors
/// When it says something else.
pub fn decode<T: DeserializeOwned>(frame: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(frame).map_err(|source| FrameError::Json { source })
}

/// Cuts a stream of bytes into frames. Holds at most one frame and what was pushed last.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that belong to frames already given out.
    taken: usize,
}

impl Decoder {
    /// Takes bytes as they came. Call [`Decoder::next_frame`] until it has none before pushing more.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.capacity() > 64 << 10 && self.buffer.len() < 4 << 10 {
            // One large frame must not cost memory for ever.
            self.buffer.shrink_to(4 << 10);
        }
    }

    /// The next whole frame without its prefix, if it has come.
    ///
    /// # Errors
    /// When the next frame's length is not allowed; the stream is then of no use any more.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let rest = &self.buffer[self.taken..];
        let Some((prefix, body)) = rest.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let length_bytes = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
        if length_bytes == 0 || length_bytes > FRAME_BYTES_MAX {
            return Err(FrameError::Length { length_bytes });
        }
        if body.len() < length_bytes {
            return Ok(None);
        }
        let start = self.taken + PREFIX_BYTES;
        self.taken = start + length_bytes;
        Ok(Some(&self.buffer[start..start + length_bytes]))
    }

    /// Whether a frame has begun to come and is not there yet.
    #[must_use]
    pub fn is_midway(&self) -> bool {
        self.taken < self.buffer.len()
    }
}

//! What the host and the agent in a virtual machine say to each other.
//!
//! Over one virtio-serial port: the host sends one [`Request`] as a line of JSON; the agent
//! answers with frames, each a byte that tells the kind, a length (u32, little endian) and bytes.
//!
//! Non-goals: more than one command per boot. Privileges: none here.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

/// The port's name.
pub const PORT: &str = "corten.0";
/// Where the payload is mounted.
pub const PAYLOAD: &str = "/payload";
/// The longest frame.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// A command to run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables beside PATH.
    pub environment: BTreeMap<String, String>,
    /// Seconds since the epoch: a machine's clock may start anywhere.
    pub time: i64,
}

/// What the agent tells.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// A piece of the command's output, standard error included.
    Output(Vec<u8>),
    /// It ended with this code, 128 and more for a signal.
    Exit(i32),
    /// It could not be run.
    Failed(String),
}

impl Frame {
    /// Writes the frame whole.
    ///
    /// # Errors
    /// When the port can't be written, or the frame is too long.
    pub fn write(&self, port: &mut impl Write) -> io::Result<()> {
        let (kind, bytes) = match self {
            Self::Output(bytes) => (b'o', bytes.clone()),
            Self::Exit(code) => (b'x', code.to_le_bytes().to_vec()),
            Self::Failed(text) => (b'f', text.as_bytes().to_vec()),
        };
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(io::Error::other("the frame is too long"));
        }
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let mut frame = vec![kind];
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(&bytes);
        port.write_all(&frame)?;
        port.flush()
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// When the port can't be read, or what comes is no frame.
    pub fn read(port: &mut impl Read) -> io::Result<Self> {
        let mut head = [0; 5];
        port.read_exact(&mut head)?;
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::other("the frame is too long"));
        }
        let mut bytes = vec![0; length];
        port.read_exact(&mut bytes)?;
        match head[0] {
            b'o' => Ok(Self::Output(bytes)),
            b'x' => bytes
                .try_into()
                .map(|code| Self::Exit(i32::from_le_bytes(code)))
                .map_err(|_code| io::Error::other("an exit code has four bytes")),
            b'f' => Ok(Self::Failed(String::from_utf8_lossy(&bytes).into_owned())),
            other => Err(io::Error::other(format!("a frame of the unknown kind {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_as_they_were_sent() {
        let frames =
            [Frame::Output(b"text".to_vec()), Frame::Exit(137), Frame::Failed("no".to_owned())];
        let mut wire = Vec::new();
        for frame in &frames {
            frame.write(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        for frame in frames {
            assert_eq!(Frame::read(&mut wire).unwrap(), frame);
        }
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused() {
        Frame::read(&mut &[b'o', 255, 255, 255, 255][..]).unwrap_err();
    }
}

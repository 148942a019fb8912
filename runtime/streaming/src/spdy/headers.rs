//! Blocks of headers: names and values, compressed in one stream for a whole connection.

use bytes::{Buf as _, BufMut as _};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::dictionary::dictionary;
use super::{Error, HEADER_BLOCK_BYTES_MAX, HEADERS_MAX};

/// Names and values, in order. Names are lower case; a name with several values has them joined by
/// NUL, as on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more; the name in lower case.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// A header's value; of several the first.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        value.split('\0').next()
    }

    fn write(&self) -> Vec<u8> {
        let length = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX);
        let mut plain = Vec::new();
        plain.put_u32(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        for (name, value) in &self.0 {
            for text in [name, value] {
                plain.put_u32(length(text));
                plain.put_slice(text.as_bytes());
            }
        }
        plain
    }

    fn read(mut plain: &[u8]) -> Result<Self, Error> {
        let count = take_u32(&mut plain)?;
        if count as usize > HEADERS_MAX {
            return Err(wrong("has too many names"));
        }
        let mut headers: Vec<(String, String)> = Vec::new();
        for _ in 0..count {
            let name = take_text(&mut plain)?;
            let value = take_text(&mut plain)?;
            if name.is_empty() {
                return Err(wrong("has an empty name"));
            }
            let name = name.to_ascii_lowercase();
            if headers.iter().any(|(known, _)| *known == name) {
                return Err(wrong("has a name twice"));
            }
            headers.push((name, value));
        }
        if !plain.is_empty() {
            return Err(wrong("is longer than what it holds"));
        }
        Ok(Self(headers))
    }
}

fn wrong(problem: &'static str) -> Error {
    Error::Headers { problem }
}

fn take_u32(bytes: &mut &[u8]) -> Result<u32, Error> {
    bytes.try_get_u32().map_err(|_short| wrong("ends too early"))
}

fn take_text(bytes: &mut &[u8]) -> Result<String, Error> {
    let length = take_u32(bytes)? as usize;
    let Some((text, rest)) = bytes.split_at_checked(length) else {
        return Err(wrong("ends too early"));
    };
    *bytes = rest;
    match std::str::from_utf8(text) {
        Ok(text) => Ok(text.to_owned()),
        Err(_not_text) => Err(wrong("is not text")),
    }
}

/// Compresses the blocks of one direction.
#[derive(Debug)]
pub(super) struct Packer {
    zlib: Compress,
}

impl Packer {
    pub(super) fn new() -> Self {
        let mut zlib = Compress::new(Compression::fast(), true);
        // Fails only once data has gone through.
        let with_dictionary = zlib.set_dictionary(dictionary());
        debug_assert!(with_dictionary.is_ok());
        Self { zlib }
    }

    pub(super) fn pack(&mut self, headers: &Headers) -> Result<Vec<u8>, Error> {
        let plain = headers.write();
        let mut packed = Vec::with_capacity(plain.len() / 2 + 64);
        let start = self.zlib.total_in();
        loop {
            let taken = consumed(self.zlib.total_in() - start);
            let room = packed.capacity();
            self.zlib
                .compress_vec(&plain[taken..], &mut packed, FlushCompress::Sync)
                .map_err(|_no_detail| wrong("cannot be compressed"))?;
            // With room left, all of it has been flushed.
            if packed.len() < room {
                return Ok(packed);
            }
            packed.reserve(64);
        }
    }
}

/// Decompresses the blocks of one direction.
#[derive(Debug)]
pub(super) struct Unpacker {
    zlib: Decompress,
}

impl Unpacker {
    pub(super) fn new() -> Self {
        Self { zlib: Decompress::new(true) }
    }

    pub(super) fn unpack(&mut self, packed: &[u8]) -> Result<Headers, Error> {
        let mut plain = Vec::with_capacity(HEADER_BLOCK_BYTES_MAX.min(packed.len() * 4 + 256));
        let start = self.zlib.total_in();
        loop {
            let taken = consumed(self.zlib.total_in() - start);
            let room = plain.capacity();
            match self.zlib.decompress_vec(&packed[taken..], &mut plain, FlushDecompress::Sync) {
                Ok(Status::Ok | Status::BufError) => {
                    let taken = consumed(self.zlib.total_in() - start);
                    if plain.len() < room {
                        if taken < packed.len() {
                            return Err(wrong("cannot be decompressed"));
                        }
                        return Headers::read(&plain);
                    }
                    if plain.len() >= HEADER_BLOCK_BYTES_MAX {
                        return Err(wrong("is too long"));
                    }
                    plain.reserve(plain.len().min(HEADER_BLOCK_BYTES_MAX - plain.len()).max(1));
                }
                Ok(Status::StreamEnd) => return Err(wrong("ends the compression")),
                Err(error) if error.needs_dictionary().is_some() => {
                    self.zlib
                        .set_dictionary(dictionary())
                        .map_err(|_other| wrong("needs another dictionary"))?;
                }
                Err(_no_detail) => return Err(wrong("cannot be decompressed")),
            }
        }
    }
}

fn consumed(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

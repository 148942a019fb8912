//! SHA-256 digests, as OCI documents write them.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// `sha256:` and 64 lower-case hexadecimal digits (OCI image spec, "Digests"). Other algorithms
/// are refused: no registry uses them, and a weak one would be a way in.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// A text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not of the form sha256:<64 hexadecimal digits>")]
pub struct InvalidDigest {
    text: String,
}

const PREFIX: &str = "sha256:";

impl Digest {
    /// The digest of `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self::finish(Sha256::new().chain_update(content))
    }

    fn finish(hash: Sha256) -> Self {
        use fmt::Write as _;
        let mut text = String::with_capacity(PREFIX.len() + 64);
        text.push_str(PREFIX);
        for byte in hash.finalize() {
            write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        }
        Self(text)
    }

    /// `sha256:…`
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 digits: safe as a file's name.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0[PREFIX.len()..]
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let valid = text.strip_prefix(PREFIX).is_some_and(|hex| {
            hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        });
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            let shown = &text[..text.floor_char_boundary(100)];
            Err(InvalidDigest { text: shown.to_owned() })
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Passes bytes on and hashes them; never more than `bytes_max`, so that a source that lies about
/// its size can't fill the disk.
pub(crate) struct HashingReader<R> {
    inner: R,
    hash: Sha256,
    count: u64,
    bytes_max: u64,
}

impl<R: Read> HashingReader<R> {
    pub(crate) fn new(inner: R, bytes_max: u64) -> Self {
        Self { inner, hash: Sha256::new(), count: 0, bytes_max }
    }

    /// Reads what is left and tells the digest and length of all that was there.
    pub(crate) fn finish(mut self) -> io::Result<(Digest, u64)> {
        let mut rest = vec![0; 64 * 1024];
        while self.read(&mut rest)? > 0 {}
        Ok((Digest::finish(self.hash), self.count))
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.count += count as u64;
        if self.count > self.bytes_max {
            let limit = self.bytes_max;
            return Err(io::Error::other(format!("more than {limit} bytes")));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sha256_in_lower_case_is_a_digest() {
        let good = Digest::of(b"");
        assert_eq!(
            good.as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(good.as_str().parse(), Ok(good.clone()));
        for bad in ["", "sha256:", "sha256:../../etc/passwd", "md5:00", &good.as_str()[..70]] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
        good.as_str().to_uppercase().parse::<Digest>().unwrap_err();
    }

    #[test]
    fn a_reader_stops_at_its_bound() {
        let mut reader = HashingReader::new(&b"four"[..], 3);
        reader.read(&mut [0; 8]).unwrap_err();
    }
}

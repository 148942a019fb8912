//! The key that signs service-account tokens.

use std::path::Path;

use rcgen::KeyPair;

use crate::file::{read, write_private, write_public};
use crate::{FileError, PkiError};

/// An ECDSA P-256 key: `sa.key` and `sa.pub` in a folder.
#[derive(Debug)]
pub struct ServiceAccountKey {
    private_pem: String,
    public_pem: String,
    public_raw: Vec<u8>,
}

impl ServiceAccountKey {
    /// The key in `folder`, made when there is none.
    ///
    /// # Errors
    /// [`PkiError`] when `sa.key` can't be read, is no key, or can't be written.
    pub fn load_or_create(folder: &Path) -> Result<Self, PkiError> {
        let path = folder.join("sa.key");
        let key = match read(&path)? {
            Some(pem) => KeyPair::from_pem(&pem)
                .map_err(|source| PkiError::unusable(path.display().to_string(), source))?,
            None => {
                let key = KeyPair::generate().map_err(PkiError::Key)?;
                write_private(&path, key.serialize_pem().as_bytes())?;
                key
            }
        };
        let key = Self {
            private_pem: key.serialize_pem(),
            public_pem: key.public_key_pem(),
            public_raw: key.public_key_raw().to_owned(),
        };
        key.publish(folder)?;
        Ok(key)
    }

    fn publish(&self, folder: &Path) -> Result<(), FileError> {
        let path = folder.join("sa.pub");
        if read(&path)?.as_deref() == Some(self.public_pem.as_str()) {
            return Ok(());
        }
        write_public(&path, self.public_pem.as_bytes())
    }

    /// The private key: PKCS #8, PEM.
    #[must_use]
    pub fn private_pem(&self) -> &str {
        &self.private_pem
    }

    /// The public key: SubjectPublicKeyInfo, PEM.
    #[must_use]
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// The public point, uncompressed: `04 || x || y`, 65 bytes (SEC 1, section 2.3.3).
    #[must_use]
    pub fn public_point(&self) -> &[u8] {
        &self.public_raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let first = ServiceAccountKey::load_or_create(folder.path()).unwrap();
        let second = ServiceAccountKey::load_or_create(folder.path()).unwrap();
        assert_eq!(first.public_pem(), second.public_pem());
        assert_eq!(first.public_point().len(), 65);
    }

    #[test]
    fn a_corrupt_key_is_named_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("sa.key"), "not a key").unwrap();
        let error = ServiceAccountKey::load_or_create(folder.path()).unwrap_err();
        assert!(error.to_string().contains("sa.key is not usable"), "{error}");
        let kept = std::fs::read_to_string(folder.path().join("sa.key")).unwrap();
        assert_eq!(kept, "not a key");
    }
}

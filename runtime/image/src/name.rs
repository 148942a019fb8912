//! Image names.

use std::fmt;

/// A name with its registry and its tag or digest spelled out: `busybox` is
/// `docker.io/library/busybox:latest`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Reference(oci_client::Reference);

/// A text is not an image's name.
#[derive(Debug, thiserror::Error)]
#[error("{name:?} is not an image name; expected [registry/]repository[:tag][@sha256:digest]")]
pub struct InvalidName {
    name: String,
    #[source]
    source: oci_client::ParseError,
}

impl Reference {
    /// Reads a name, filling in what docker fills in.
    ///
    /// # Errors
    /// [`InvalidName`] when the text does not follow the grammar of names.
    pub fn parse(name: &str) -> Result<Self, InvalidName> {
        name.parse().map(Self).map_err(|source| InvalidName { name: name.to_owned(), source })
    }

    /// `registry/repository`.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("{}/{}", self.0.registry(), self.0.repository())
    }

    /// The tag that is asked for; none when the digest alone decides.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        if self.0.digest().is_some() { None } else { self.0.tag() }
    }

    /// The digest that is asked for.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.0.digest()
    }

    /// The name as it is listed: with a tag, or with a digest.
    #[must_use]
    pub fn canonical(&self) -> String {
        match (self.digest(), self.tag()) {
            (Some(digest), _) => format!("{}@{digest}", self.repository()),
            (None, Some(tag)) => format!("{}:{tag}", self.repository()),
            (None, None) => format!("{}:latest", self.repository()),
        }
    }

    pub(crate) fn inner(&self) -> &oci_client::Reference {
        &self.0
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_docker_does() {
        let hex = "a".repeat(64);
        for (given, canonical) in [
            ("busybox", "docker.io/library/busybox:latest".to_owned()),
            ("me/app:1", "docker.io/me/app:1".to_owned()),
            ("localhost:5000/app", "localhost:5000/app:latest".to_owned()),
            (&format!("r.io/a:1@sha256:{hex}"), format!("r.io/a@sha256:{hex}")),
        ] {
            assert_eq!(Reference::parse(given).unwrap().canonical(), canonical);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["", "UPPER", "a b", "a:b:c", "../etc", "a@sha256:12"] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }
}

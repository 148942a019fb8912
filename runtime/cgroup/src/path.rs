//! Where in a hierarchy a cgroup is.

use std::fmt;

use crate::Error;

/// The path of a cgroup from a hierarchy's mount: absolute, normalised, without `..`.
///
/// Comparing two of them goes component by component ([`CgroupPath::contains`]): as a prefix of
/// strings, `/pod1` would hold `/pod10`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CgroupPath(String);

/// `PATH_MAX` less room for the mount point and a control file's name.
const PATH_BYTES_MAX: usize = 3072;

impl CgroupPath {
    /// Checks and normalises a path: repeated and trailing slashes go, the leading one is added.
    ///
    /// # Errors
    /// A component `..` or `.`, a NUL or newline, an empty path, one that is too long.
    pub fn new(path: &str) -> Result<Self, Error> {
        let invalid = |reason| Error::InvalidPath { path: path.to_owned(), reason };
        if path.is_empty() {
            return Err(invalid("is empty"));
        }
        if path.len() > PATH_BYTES_MAX {
            return Err(invalid("is longer than 3072 bytes"));
        }
        if path.contains(['\0', '\n']) {
            return Err(invalid("has a NUL or a newline in it"));
        }
        let mut normalised = String::with_capacity(path.len() + 1);
        for component in path.split('/').filter(|component| !component.is_empty()) {
            if component == "." || component == ".." {
                return Err(invalid("has a component \".\" or \"..\""));
            }
            if component.len() > 255 {
                return Err(invalid("has a component longer than 255 bytes"));
            }
            normalised.push('/');
            normalised.push_str(component);
        }
        if normalised.is_empty() {
            normalised.push('/');
        }
        Ok(Self(normalised))
    }

    /// The path of a child.
    ///
    /// # Errors
    /// As [`CgroupPath::new`], and when `name` is not one component.
    pub fn join(&self, name: &str) -> Result<Self, Error> {
        if name.is_empty() || name.contains('/') {
            return Err(Error::InvalidPath {
                path: name.to_owned(),
                reason: "is not the name of one cgroup",
            });
        }
        Self::new(&format!("{}/{name}", self.0))
    }

    /// The path as text, with its leading slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the top of the hierarchy.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// The cgroup above; none above the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.rfind('/').unwrap_or(0);
        Some(Self(if end == 0 { "/".to_owned() } else { self.0[..end].to_owned() }))
    }

    /// Whether `other` is this cgroup or one below it.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        let mut theirs = other.components();
        self.components().all(|component| theirs.next() == Some(component))
    }

    /// The names from the top down.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|component| !component.is_empty())
    }

    /// For the `*at` calls below a hierarchy's root.
    pub(crate) fn relative(&self) -> &str {
        if self.is_root() { "." } else { &self.0[1..] }
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised() {
        for (given, normal) in [
            ("a", "/a"),
            ("/a//b/", "/a/b"),
            ("/", "/"),
            ("//", "/"),
            ("kube..pods", "/kube..pods"),
        ] {
            assert_eq!(CgroupPath::new(given).unwrap().as_str(), normal);
        }
    }

    #[test]
    fn hostile_paths_are_refused() {
        let long_name = "x".repeat(256);
        let long_path = "a/".repeat(2000);
        for given in ["", "..", "/a/../b", "a/./b", "a\0b", "a\nb", &long_name, &long_path] {
            assert!(CgroupPath::new(given).is_err(), "{given:?}");
        }
        let root = CgroupPath::new("/").unwrap();
        for name in ["", "a/b", "..", "/"] {
            assert!(root.join(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn containment_is_by_component() {
        let path = |text| CgroupPath::new(text).unwrap();
        assert!(path("/pod1").contains(&path("/pod1")));
        assert!(path("/pod1").contains(&path("/pod1/a")));
        assert!(path("/").contains(&path("/pod1")));
        assert!(!path("/pod1").contains(&path("/pod10")));
        assert!(!path("/pod1/a").contains(&path("/pod1")));
    }

    #[test]
    fn parents_end_at_the_root() {
        let path = CgroupPath::new("/a/b").unwrap();
        let parent = path.parent().unwrap();
        assert_eq!(parent.as_str(), "/a");
        assert_eq!(parent.parent().unwrap().as_str(), "/");
        assert_eq!(parent.parent().unwrap().parent(), None);
        assert_eq!(parent.parent().unwrap().join("c").unwrap().as_str(), "/c");
    }
}

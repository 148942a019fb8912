//! Container names.

/// How long an id may be: more than any engine uses.
const ID_BYTES_MAX: usize = 1024;

/// A container's id, safe as a file name and as the last part of a cgroup's path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

/// An id that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("container id {id:?}: {reason}")]
pub struct IdError {
    /// What was given, shortened.
    pub id: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl ContainerId {
    /// Checks an id: 1 to 1024 of `A-Z a-z 0-9 + . _ -`, and neither `.` nor `..`.
    ///
    /// # Errors
    /// What is wrong.
    pub fn new(id: &str) -> Result<Self, IdError> {
        let error = |reason| IdError { id: id.chars().take(64).collect(), reason };
        if id.is_empty() {
            return Err(error("is empty"));
        }
        if id.len() > ID_BYTES_MAX {
            return Err(error("is longer than 1024 bytes"));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "+._-".contains(c);
        if !id.chars().all(allowed) {
            return Err(error("has a character other than A-Z a-z 0-9 + . _ -"));
        }
        if id == "." || id == ".." {
            return Err(error("is a directory's name for itself or its parent"));
        }
        Ok(Self(id.to_owned()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ContainerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_would_leave_their_folder_are_refused() {
        for id in ["", ".", "..", "a/b", "../x", "a b", "a\0b", "ü", &"x".repeat(1025)] {
            ContainerId::new(id).unwrap_err();
        }
        for id in ["a", "abc_1.2-3+4", "...", &"x".repeat(1024)] {
            assert_eq!(ContainerId::new(id).unwrap().as_str(), id);
        }
    }
}
